"""Random fields: the image is what the truth says."""

import numpy as np
import pytest
from scipy.signal import convolve

from napari_sbd.simulate import ldos_kernel, random_field
from napari_sbd.simulate.fields import _Defects, _shifted_sum

KERNEL = ldos_kernel(21, -2.3)


def random_kernel(window):
    return np.random.default_rng(1).standard_normal(window)


def modelled(sample):
    return sum(convolve(x, a, "same") for x, a in zip(sample.activations, sample.kernels, strict=True))


@pytest.mark.parametrize("window", [(21, 21), (8, 8), (7, 10)])
def test_map_convolved_with_the_kernel_is_the_clean_image(window):
    field = random_field(random_kernel(window), (64, 70), 0.01, bias=3.0, signed=True, seed=2)
    np.testing.assert_allclose(field.clean, modelled(field) + 3.0, atol=1e-12)
    extended = convolve(field.extended_activations[0], field.kernel, "valid") + 3.0
    np.testing.assert_allclose(field.clean, extended, atol=1e-12)


@pytest.mark.parametrize("window", [7, 8])
def test_a_defect_is_where_its_kernel_has_the_centre(window):
    kernel = np.zeros((window, window))
    kernel[(window - 1) // 2, (window - 1) // 2] = 1
    field = random_field(kernel, (40, 40), 0.01, snr_db=None, seed=1)
    np.testing.assert_allclose(field.image, field.activations[0], atol=1e-12)
    np.testing.assert_array_equal(np.argwhere(field.image > 0.5), field.positions)


def test_defects_outside_the_frame_reach_in():
    field = random_field(KERNEL, (96, 96), 0.005, outside=True, snr_db=None, seed=4)
    extended = field.extended_activations
    assert np.count_nonzero(extended) > np.count_nonzero(field.activations) == len(field.positions)
    np.testing.assert_allclose(convolve(extended[0], field.kernel, "valid"), field.clean, atol=1e-12)
    assert np.abs(modelled(field) - field.clean).max() > 0.1


def test_no_defects_outside_by_default():
    field = random_field(KERNEL, (96, 96), 0.005, seed=4)
    assert np.count_nonzero(field.extended_activations) == len(field.positions)


def test_several_types_have_their_own_densities():
    field = random_field([KERNEL, ldos_kernel(21, -2.0)], (128, 128), [0.01, 0.002], snr_db=None)
    counts = np.bincount(field.types)
    assert abs(counts[0] - 164) < 40
    assert abs(counts[1] - 33) < 18
    np.testing.assert_allclose(field.clean, modelled(field), atol=1e-12)
    with pytest.raises(ValueError, match="2 defect types"):
        _ = field.kernel


def test_counts_are_bernoulli():
    counts = [len(random_field(KERNEL, (64, 64), 0.01, seed=seed).positions) for seed in range(60)]
    assert np.mean(counts) == pytest.approx(41, abs=3)
    assert np.var(counts) == pytest.approx(41, rel=0.6)


@pytest.mark.parametrize("snr_db", [20.0, 0.0])
def test_noise_has_the_stated_power(snr_db):
    field = random_field(KERNEL, (128, 128), 0.01, snr_db=snr_db)
    noise = field.image - field.clean
    assert 10 * np.log10(field.clean.var() / noise.var()) == pytest.approx(snr_db, abs=0.2)
    assert noise.std() == pytest.approx(field.noise_std, rel=0.03)


def test_amplitudes_are_spread_and_signed():
    field = random_field(KERNEL, (128, 128), 0.02, signed=True, amplitude_spread=0.3)
    sizes = np.abs(field.amplitudes)
    assert 0.7 <= sizes.min() < 0.75
    assert 1.25 < sizes.max() <= 1.3
    assert 0.3 < np.mean(field.amplitudes > 0) < 0.7


@pytest.mark.parametrize("options", [{}, {"outside": True, "signed": True}, {"subpixel": True}])
def test_the_seed_gives_the_field_again(options):
    first, again, other = (random_field(KERNEL, (64, 64), 0.01, seed=s, **options) for s in (5, 5, 6))
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.positions, again.positions)
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("outside", [False, True])
def test_subpixel_kernels_are_shifted_exactly(outside):
    """A kernel known in closed form at every place: shifting its samples must give its shifted samples."""

    def gaussian(row, col):
        rows, cols = np.indices((31, 31)) - 15
        return np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / (2 * 2.0**2))

    frame, norm = (80, 90), np.linalg.norm(gaussian(0, 0))
    field = random_field(gaussian(0, 0), frame, 0.003, subpixel=True, outside=outside, snr_db=None, seed=3)
    assert np.abs(field.positions - np.rint(field.positions)).max() > 0.3
    if not outside:
        rows, cols = np.indices(frame)
        exact = sum(np.exp(-((rows - r) ** 2 + (cols - c) ** 2) / 8) for r, c in field.positions) / norm
        np.testing.assert_allclose(field.clean, exact, atol=1e-6)
    assert np.count_nonzero(field.activations) <= len(field.positions)
    assert np.all(np.array(np.nonzero(field.activations[0])).T.min(0) >= 0)


def test_subpixel_field_at_whole_pixels_is_the_grid_field():
    field = random_field(KERNEL, (50, 64), 0.01, snr_db=None)
    shifted = _shifted_sum(field.kernels, _Defects(field.positions, field.types, field.amplitudes), (50, 64))
    np.testing.assert_allclose(shifted, field.clean, atol=1e-12)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kernels": np.zeros((5, 5))}, "kernels"),
        ({"kernels": np.ones(5)}, "kernels"),
        ({"shape": (64,)}, "shape"),
        ({"shape": (64, 2)}, "shape"),
        ({"density": 0.0}, "density"),
        ({"density": 1.5}, "density"),
        ({"density": [0.1, 0.1]}, "density"),
        ({"density": 1e-9}, "no defect"),
        ({"amplitude_spread": 1.0}, "amplitude_spread"),
    ],
)
def test_wrong_input_is_named(changed, message):
    with pytest.raises(ValueError, match=message):
        random_field(**{"kernels": KERNEL, "shape": (64, 64), "density": 0.01} | changed)
