"""The result does not depend on units, scale, number format, place or seed."""

import dask.array
import numpy as np
import pytest

from napari_sbd.core.quality import kernel_similarity
from napari_sbd.core.recover import recover


@pytest.mark.parametrize("factor", [1e-9, 1e9, 1e-30, 1e30])
def test_scale(field, recovery, factor):
    scaled = recover(factor * field.image, kernel_size=11)
    assert kernel_similarity(scaled.kernels[0], recovery.kernels[0]) > 0.9999
    np.testing.assert_allclose(scaled.activations / factor, recovery.activations, atol=1e-3)
    assert scaled.noise / factor == pytest.approx(recovery.noise, rel=1e-3)
    np.testing.assert_allclose(scaled.defects["snr"], recovery.defects["snr"], rtol=1e-3)


@pytest.mark.parametrize("offset", [-1e4, 30.0])
def test_offset(field, recovery, offset):
    raised = recover(field.image + offset, kernel_size=11)
    assert kernel_similarity(raised.kernels[0], recovery.kernels[0]) > 0.9999
    assert raised.bias[0] == pytest.approx(recovery.bias[0] + offset, abs=0.1 * field.noise_std)
    np.testing.assert_allclose(raised.activations, recovery.activations, atol=1e-3)


def test_the_sign_of_the_image_is_the_kernels(field, recovery):
    negative = recover(-field.image, kernel_size=11)
    np.testing.assert_allclose(negative.kernels, -recovery.kernels, atol=1e-3)
    np.testing.assert_allclose(negative.activations, recovery.activations, atol=1e-2)
    np.testing.assert_allclose(negative.defects[["row", "col"]], recovery.defects[["row", "col"]], atol=1e-2)


def test_the_content_of_the_image_may_sit_elsewhere(kernel, rng):
    image = np.zeros((64, 64))
    for row, col in [(16, 18), (20, 40), (33, 27), (44, 46), (43, 17)]:
        image[row - 5 : row + 6, col - 5 : col + 6] += kernel
    image += rng.normal(0, 0.01, image.shape)
    here = recover(image, kernel_size=11)
    there = recover(np.roll(image, (5, -6), (0, 1)), kernel_size=11)
    assert kernel_similarity(here.kernels[0], there.kernels[0]) > 0.9999
    places = [np.array(sorted(map(tuple, r.defects[["row", "col"]].to_numpy()))) for r in (here, there)]
    np.testing.assert_allclose(places[1] - places[0], [[5, -6]] * 5, atol=0.05)


def test_transposing_the_image_transposes_the_result(field, recovery):
    turned = recover(field.image.T, kernel_size=11)
    assert kernel_similarity(turned.kernels[0, 0].T, recovery.kernels[0, 0]) > 0.999
    assert len(turned.defects) == len(recovery.defects)


def identical(first, second):
    np.testing.assert_array_equal(first.kernels, second.kernels)
    np.testing.assert_array_equal(first.extended_activations, second.extended_activations)
    np.testing.assert_array_equal(first.bias, second.bias)
    assert first.noise == second.noise
    assert first.defects.equals(second.defects)


@pytest.fixture(scope="module")
def counts(field):
    """The field in whole numbers from 0 to 255: exact in every number format."""
    image = field.image - field.image.min()
    return np.rint(255 * image / image.max())


@pytest.fixture(scope="module")
def of_counts(counts, quick):
    return recover(counts, **quick)


FORMATS = ["float32", ">f8", ">f4", "int16", ">i2", "uint8"]


@pytest.mark.parametrize("dtype", FORMATS)
def test_number_format(counts, of_counts, quick, dtype):
    identical(recover(counts.astype(dtype), **quick), of_counts)


def test_containers(counts, of_counts, quick):
    grey = np.repeat(counts[..., None], 3, axis=-1).astype("u1")
    lazy = dask.array.from_array(counts, chunks=17)
    for image in (counts.tolist(), lazy, np.asfortranarray(counts), counts[None], grey):
        identical(recover(image, **quick), of_counts)


def test_single_precision_is_enough(field, recovery):
    single = recover(field.image.astype("f4"), kernel_size=11)
    assert kernel_similarity(single.kernels[0], recovery.kernels[0]) > 0.9999


def test_the_same_seed_gives_the_same_bits(field, recovery):
    identical(recover(field.image, kernel_size=11, pixel_size=(0.2, 0.1), unit="nm"), recovery)


def test_another_seed_gives_the_same_kernel(field, recovery):
    other = recover(field.image, kernel_size=11, seed=12345)
    assert kernel_similarity(other.kernels[0], recovery.kernels[0]) > 0.9995
    np.testing.assert_allclose(other.defects[["row", "col"]], recovery.defects[["row", "col"]], atol=0.1)


def test_the_callers_random_numbers_do_not_matter(field, of_counts, counts, quick):
    np.random.seed(3)  # noqa: NPY002 - the global state that a user may have set
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    identical(recover(counts, **quick), of_counts)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_the_callers_image_and_mask_are_not_changed(field, quick):
    image, mask = field.image.copy(), np.ones(field.image.shape, bool)
    image[3, 4] = np.nan
    before = image.copy()
    recover(image, mask=mask, **quick)
    np.testing.assert_array_equal(image, before)
    assert mask.all()
