import numpy as np
import pytest

from napari_sbd.core.descent import Iterate
from napari_sbd.core.kernel_fit import fit_kernels
from napari_sbd.core.objective import Objective
from napari_sbd.core.quality import kernel_similarity
from napari_sbd.core.shrinkage import noise_of_fit, shrunk, without_noise
from napari_sbd.core.sphere import project
from napari_sbd.core.symmetry import Orientation, Ties
from napari_sbd.core.tied import fit_tied
from napari_sbd.simulate import ldos_kernel
from napari_sbd.simulate.fields import convolved

WINDOW = 17


def errors(kernel, noise, rng, repeats=60):
    """Mean squared error of noisy kernels, and of the same ones shrunk."""
    noisy = kernel + noise * rng.standard_normal((repeats, 1, *kernel.shape))
    better = shrunk(noisy, noise**2)
    return tuple(np.square(it - kernel).sum((1, 2, 3)).mean() for it in (noisy, better))


@pytest.mark.parametrize("noise", [0.003, 0.01, 0.03])
def test_smooth_kernels_come_much_nearer_to_the_truth(noise):
    before, after = errors(ldos_kernel(WINDOW, -2.4), noise, np.random.default_rng(0))
    assert after < 0.6 * before


@pytest.mark.parametrize("noise", [0.001, 0.01, 0.05])
@pytest.mark.parametrize("shape", [(17, 17), (9, 21), (3, 3), (1, 5)])
def test_no_kernel_is_farther_from_the_truth_on_average_even_one_of_all_frequencies(shape, noise):
    rng = np.random.default_rng(1)
    rough = rng.standard_normal(shape)
    before, after = errors(rough / np.linalg.norm(rough), noise, rng, repeats=400)
    assert after < 1.01 * before


def test_a_single_bright_pixel_stays_sharp():
    point = np.zeros((WINDOW, WINDOW))
    point[8, 8] = 1
    rng = np.random.default_rng(2)
    better = shrunk((point + 0.01 * rng.standard_normal(point.shape))[None, None], 0.01**2)[0, 0]
    assert better[8, 8] > 0.95
    assert np.sort(np.abs(better), axis=None)[-2] < 0.05


def test_without_noise_nothing_changes():
    kernel = ldos_kernel(WINDOW, -2.4)[None, None].astype(np.float32)
    same = shrunk(kernel, 0.0)
    assert same.dtype == kernel.dtype
    np.testing.assert_allclose(same, kernel, atol=1e-6)


def test_each_type_and_slice_has_its_own_noise():
    rng = np.random.default_rng(3)
    kernels = rng.standard_normal((2, 3, WINDOW, WINDOW))
    variance = np.array([[0.1, 0.5, 0.0], [2.0, 0.3, 0.2]])[..., None, None]
    together = shrunk(kernels, variance)
    for number in np.ndindex(2, 3):
        alone = shrunk(kernels[number][None, None], variance[number])
        np.testing.assert_allclose(together[number], alone[0, 0], atol=1e-12)
    np.testing.assert_allclose(shrunk(3 * kernels, 9 * variance), 3 * together, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_noise_of_least_squares_is_told_from_what_is_left(scale):
    rng = np.random.default_rng(4)
    kernel = project(ldos_kernel(WINDOW, -2.4)[None, None])
    maps = (rng.random((1, 96 + WINDOW - 1, 96 + WINDOW - 1)) < 0.01).astype(float)
    mask = np.ones((1, 96, 96), bool)
    mask[0, :20, :30] = False
    image = convolved(maps, kernel[0]) + 0.03 * rng.standard_normal((96, 96))
    objective = Objective((scale * image)[None].astype(np.float32), mask, (WINDOW, WINDOW))
    fitted = fit_kernels(objective, maps.astype(np.float32))
    better = without_noise(objective, fitted)
    assert isinstance(better, Iterate)
    assert np.linalg.norm(better.kernels) == pytest.approx(1, abs=1e-5)
    before, after = (1 - kernel_similarity(it.kernels[0], kernel[0]) for it in (fitted, better))
    assert after < 0.7 * before


def test_a_type_without_defects_keeps_its_kernel():
    rng = np.random.default_rng(5)
    kernels = project(rng.standard_normal((2, 1, 9, 9)).astype(np.float32))
    maps = np.zeros((2, 40, 40), np.float32)
    maps[0, 20, ::10] = 1
    image = convolved(maps, kernels[:, 0]) + 0.1 * rng.standard_normal((32, 32))
    objective = Objective(image[None].astype(np.float32), np.ones((1, 32, 32), bool), (9, 9))
    freed = without_noise(objective, Iterate(kernels, maps, np.inf))
    np.testing.assert_allclose(freed.kernels[1], kernels[1], atol=1e-6)
    assert np.abs(freed.kernels[0] - kernels[0]).max() > 1e-4
    np.testing.assert_array_equal(freed.maps[1], 0)


def test_activations_that_share_a_defect_between_pixels_count_as_one():
    """Two halves beside each other tell a smooth kernel as well as one whole activation does."""
    kernel = project(ldos_kernel(WINDOW, -2.4)[None, None]).astype(np.float32)
    whole = np.zeros((1, 80, 80), np.float32)
    whole[0, 20:60:20, 20:60:20] = 1
    halves = (whole + np.roll(whole, 1, axis=2)) / 2
    noise = 0.03 * np.random.default_rng(6).standard_normal((64, 64))
    levels = []
    for maps in (whole, halves):
        image = (convolved(maps, kernel[0]) + noise)[None].astype(np.float32)
        objective = Objective(image, np.ones(image.shape, bool), (WINDOW, WINDOW))
        levels.append(noise_of_fit(objective, Iterate(kernel, maps, np.inf))[0, 0])
    np.testing.assert_allclose(levels[1][:4, :4], levels[0][:4, :4], rtol=0.2)
    assert levels[1][0, -1] > 5 * levels[0][0, -1]


def test_of_orientations_it_is_the_shape_that_is_shrunk():
    rng = np.random.default_rng(7)
    ties = Ties(tuple(Orientation(0, angle) for angle in (0, 90, 180, 270)))
    ramp = np.linspace(0.3, 1.7, WINDOW)
    lopsided = ldos_kernel(WINDOW, -2.4) * ramp[:, None] * ramp**0.5
    kernels = ties.of_shapes(lopsided[None, None])
    maps = (rng.random((4, 112, 112)) < 0.003).astype(np.float32)
    image = convolved(maps, kernels[:, 0]) + 0.03 * rng.standard_normal((96, 96))
    objective = Objective(image[None].astype(np.float32), np.ones((1, 96, 96), bool), (WINDOW, WINDOW))
    fitted = fit_tied(objective, maps, ties, kernels)
    better = without_noise(objective, fitted, ties)
    np.testing.assert_allclose(better.kernels, ties.tied(better.kernels), atol=1e-5)
    before, after = (1 - kernel_similarity(it.kernels[0], kernels[0]) for it in (fitted, better))
    assert after < 0.75 * before


def test_what_lies_outside_a_types_own_window_stays_zero():
    rng = np.random.default_rng(8)
    kernel = np.zeros((WINDOW, WINDOW))
    kernel[4:13, 4:13] = ldos_kernel(9, -2.4)
    ties = Ties((Orientation(0),), windows=((9, 9),))
    maps = (rng.random((1, 80, 80)) < 0.01).astype(np.float32)
    image = convolved(maps, kernel[None]) + 0.05 * rng.standard_normal((64, 64))
    objective = Objective(image[None].astype(np.float32), np.ones((1, 64, 64), bool), (WINDOW, WINDOW))
    fitted = fit_tied(objective, maps, ties, project(kernel[None, None]))
    better = without_noise(objective, fitted, ties)
    assert not better.kernels[0, 0, :4].any()
    before, after = (1 - kernel_similarity(it.kernels[0], kernel[None]) for it in (fitted, better))
    assert after < before
