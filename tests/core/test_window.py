import numpy as np
import pytest
from scipy.signal import convolve

from napari_sbd.core.sphere import project
from napari_sbd.core.window import crop, lift, recentre, richest_window, shift

WINDOWS = [(5, 5), (6, 6), (4, 7)]
IMAGE = (20, 23)


def predicted(kernels, maps):
    atoms = zip(maps, kernels, strict=True)
    return np.array([[convolve(x, a, "valid") for a in slices] for x, slices in atoms]).sum(0)


def drawn(rng, window, types=1, slices=1):
    kernels = project(rng.standard_normal((types, slices, *window)))
    maps = rng.standard_normal((types, *(n + k - 1 for n, k in zip(IMAGE, window, strict=True))))
    return kernels, maps


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("margin", [(2, 3), (1, 0)])
def test_lift_keeps_the_prediction_and_crop_takes_it_back(rng, window, margin):
    kernels, maps = drawn(rng, window, 2, 3)
    higher, wider = lift(kernels, maps, margin)
    assert higher.shape[-2:] == (window[0] + 2 * margin[0], window[1] + 2 * margin[1])
    np.testing.assert_allclose(predicted(higher, wider), predicted(kernels, maps), atol=1e-10)
    again, narrower = crop(higher, wider, window)
    np.testing.assert_allclose(again, kernels)
    np.testing.assert_array_equal(narrower, maps)


@pytest.mark.parametrize("window", [(5, 5), (6, 6)])
@pytest.mark.parametrize("smaller", [(3, 3), (4, 4), (3, 4)])
def test_crop_keeps_activations_on_their_pixels_whatever_the_parity(window, smaller):
    """What a kernel shows of a defect inside the smaller window stays where it was in the image."""
    kernels = np.zeros((1, 1, *window))
    first = [(n - k) // 2 for n, k in zip(window, smaller, strict=True)]
    kernels[0, 0, first[0] + 1, first[1] + 2] = 1
    maps = np.zeros((1, *(n + k - 1 for n, k in zip(IMAGE, window, strict=True))))
    maps[0, 11, 13] = 1
    cut, less = crop(kernels, maps, smaller)
    np.testing.assert_allclose(predicted(cut, less), predicted(kernels, maps), atol=1e-12)


def test_crop_returns_to_unit_norm(rng):
    kernels, maps = drawn(rng, (9, 9), 2, 2)
    cut, _ = crop(kernels, maps, (5, 5))
    np.testing.assert_allclose(np.linalg.norm(cut.reshape(2, -1), axis=1), 1)


@pytest.mark.parametrize("offset", [(0, 0), (1, 4), (4, 2), (3, 0)])
@pytest.mark.parametrize("window", [(5, 5), (4, 6)])
def test_recentre_brings_the_content_to_the_middle_and_keeps_the_prediction(rng, window, offset):
    """The lifted window has room of its own: nothing that counts is lost, up to the border."""
    large = (window[0] + 4, window[1] + 4)
    kernels = np.zeros((1, 2, *large))
    content = rng.standard_normal((2, *window))
    kernels[0, :, offset[0] : offset[0] + window[0], offset[1] : offset[1] + window[1]] = content
    kernels = project(kernels)
    maps = np.zeros((1, *(n + k - 1 for n, k in zip(IMAGE, large, strict=True))))
    maps[0, 6:-6, 6:-6] = rng.standard_normal(maps[0, 6:-6, 6:-6].shape)
    centred, moved, changed = recentre(kernels, maps, window)
    assert changed is (offset != (2, 2))
    np.testing.assert_allclose(project(crop(centred, moved, window)[0]), project(content[None]))
    np.testing.assert_allclose(predicted(centred, moved), predicted(kernels, maps), atol=1e-10)


def test_recentre_leaves_its_input_alone_and_moves_types_apart(rng):
    kernels = np.zeros((2, 1, 9, 9))
    kernels[0, 0, :5, :5] = kernels[1, 0, 2:7, 4:] = 1
    kernels, maps = project(kernels), rng.standard_normal((2, 28, 31))
    before = kernels.copy(), maps.copy()
    centred, _, changed = recentre(kernels, maps, (5, 5))
    np.testing.assert_array_equal(kernels, before[0])
    np.testing.assert_array_equal(maps, before[1])
    assert changed
    np.testing.assert_allclose(centred[0], centred[1])


def test_richest_window_holds_most_and_of_equal_ones_is_the_best_centred():
    energy = np.zeros((12, 12))
    energy[6, 4:7] = 1
    assert richest_window(energy, (5, 5)) == (4, 3)  # all windows that hold the bar are equal
    energy[1, 11] = 2.5
    assert richest_window(energy, (5, 5)) == (4, 3)
    energy[1, 11] = 9
    row, col = richest_window(energy, (5, 5))
    assert row <= 1
    assert col == 7


def test_shift_loses_what_leaves_and_brings_in_zeros():
    array = np.arange(12.0).reshape(3, 4)
    expected = np.zeros((3, 4))
    expected[1:, :2] = array[:2, 2:]
    np.testing.assert_array_equal(shift(array, (1, -2)), expected)
    np.testing.assert_array_equal(shift(array, (0, 0)), array)
