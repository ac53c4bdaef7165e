import dask.array
import numpy as np
import pytest

from napari_sbd.core.observation import observe


@pytest.fixture
def counts(rng):
    return rng.integers(0, 200, (12, 14))


@pytest.mark.parametrize("dtype", ["f4", "f8", ">f8", ">f4", ">i2", "i2", "u1", "u2", ">u4", "i8", "f2"])
def test_every_real_dtype_gives_the_same_numbers(counts, dtype):
    seen = observe(counts.astype(dtype))
    assert seen.data.dtype == np.dtype(float)
    assert seen.data.dtype.isnative
    np.testing.assert_array_equal(seen.data, counts[None])
    assert seen.mask.all()
    assert seen.shape == (12, 14)


def test_lists_dask_arrays_and_views_give_the_same_numbers(counts):
    lazy = dask.array.from_array(counts, chunks=5)
    backwards = np.ascontiguousarray(counts[::-1, ::-1])[::-1, ::-1]
    for image in (counts.tolist(), lazy, backwards, np.asfortranarray(counts), counts > 100):
        np.testing.assert_array_equal(observe(image).data[0], np.asarray(image, float))


def test_the_callers_image_is_not_touched_and_not_shared(counts):
    image = counts.astype(float)
    image[2, 3] = np.nan
    before = image.copy()
    seen = observe(image)
    np.testing.assert_array_equal(image, before)
    assert not np.shares_memory(seen.data, image)


def test_pixels_that_are_not_finite_are_masked(counts):
    image = counts.astype(float)
    image[2, 3], image[4, 5], image[6, 7] = np.nan, np.inf, -np.inf
    seen = observe(image)
    assert sorted(map(tuple, np.argwhere(~seen.mask))) == [(0, 2, 3), (0, 4, 5), (0, 6, 7)]
    assert np.isfinite(seen.data).all()


def test_a_mask_holds_for_every_slice_or_for_each(counts, rng):
    stack = rng.standard_normal((5, 12, 14))
    one = rng.random((12, 14)) > 0.3
    each = rng.random((5, 12, 14)) > 0.3
    np.testing.assert_array_equal(observe(stack, mask=one).mask, np.broadcast_to(one, stack.shape))
    np.testing.assert_array_equal(observe(stack, mask=each).mask, each)
    np.testing.assert_array_equal(observe(counts, mask=one.astype(int).tolist()).mask[0], one)


@pytest.mark.parametrize("channels", [3, 4])
def test_equal_channels_become_grey_whatever_alpha_says(counts, channels):
    image = np.repeat(counts[..., None].astype("u1"), channels, axis=-1)
    if channels == 4:
        image[..., 3] = 255
    np.testing.assert_allclose(observe(image).data[0], counts)


def test_channels_that_compression_made_slightly_unequal_are_grey(counts, rng):
    image = np.repeat(counts[..., None], 3, axis=-1) + rng.integers(0, 2, (12, 14, 3))
    assert observe(image).data.shape == (1, 12, 14)


def test_a_stack_is_not_taken_for_colours(rng):
    assert observe(rng.standard_normal((3, 12, 14))).data.shape == (3, 12, 14)


@pytest.mark.parametrize(("given", "kept"), [(0.5, (0.5, 0.5)), ((0.5, 0.25), (0.5, 0.25))])
def test_pixel_size_is_kept_by_axis(counts, given, kept):
    assert observe(counts, pixel_size=given, unit="nm").pixel_size == kept


def colours():
    image = np.zeros((12, 14, 3))
    image[:6, :, 0] = 200
    return image


BAD = [
    (np.empty((0, 5)), {}, "empty"),
    ([], {}, "empty"),
    (np.full((9, 9), 4.2), {}, "constant"),
    (np.full((9, 9), np.nan), {}, "no finite pixel"),
    (np.full((9, 9), np.inf), {}, "no finite pixel"),
    (np.ones((9, 9), complex), {}, "complex.*real part"),
    (colours(), {}, "unequal channels.*grey"),
    (np.arange(9.0), {}, "1 dimension.*rows, cols"),
    (np.ones((2, 3, 9, 9)), {}, "4 dimensions"),
    (np.array(3.0), {}, "0 dimensions"),
    (np.eye(2), {}, "2×2 px.*at least"),
    (np.array([["a", "b"]]), {}, "not numbers"),
    ([[1, 2], [3]], {}, "not an array of numbers|not numbers"),
    (np.eye(9), {"mask": np.ones((8, 9), bool)}, "mask has shape.*must be"),
    (np.eye(9), {"mask": np.zeros((9, 9), bool)}, "no finite pixel inside the mask"),
    (np.eye(9), {"mask": ~np.eye(9, dtype=bool)}, "constant"),
    (np.eye(9), {"pixel_size": 0}, "pixel_size must be positive"),
    (np.eye(9), {"pixel_size": (1, float("nan"))}, "pixel_size must be positive"),
]


@pytest.mark.parametrize(("image", "options", "message"), BAD, ids=[m for *_, m in BAD])
def test_bad_input_is_named_together_with_the_remedy(image, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        observe(image, name="topo", **options)
    named = str(caught.value)
    assert named.startswith(("topo", "slice 0 of topo", "mask", "pixel_size"))


def test_a_constant_slice_is_named(rng):
    stack = rng.standard_normal((4, 9, 9))
    stack[2] = 1
    with pytest.raises(ValueError, match="slice 2 of topo is constant"):
        observe(stack, name="topo")
