"""A kernel's core lies in the middle of its window, and the rows where the eye sees the defects."""

import numpy as np
import pytest

from napari_sbd.core.defects import core
from napari_sbd.core.quality import kernel_similarity
from napari_sbd.core.recover import recover
from napari_sbd.core.subpixel import cores_on_pixels
from napari_sbd.simulate import ldos_kernel, random_field


def signature(window, *blobs):
    """Gaussian blobs, each (row, col, width, height) from the window's middle."""
    rows, cols = np.mgrid[:window, :window] - (window - 1) // 2
    return sum(h * np.exp(-((rows - r) ** 2 + (cols - c) ** 2) / (2 * s**2)) for r, c, s, h in blobs)


def farthest(recovery, positions):
    """Distance from the rows to the nearest true places, as they are."""
    found = recovery.defects[["row", "col"]].to_numpy()
    return np.linalg.norm(found[:, None] - positions[None], axis=2).min(1).max()


@pytest.mark.parametrize("seed", range(3))
def test_noise_in_a_wide_window_does_not_move_it(seed):
    field = random_field(signature(9, (0, 0, 1.5, 1)), (160, 160), 6e-4, snr_db=3, seed=seed)
    recovery = recover(field.image, kernel_size=41, types=1, activations="positive")
    assert np.abs(core(recovery.kernels[0])[0]).max() < 1
    assert farthest(recovery, field.positions) < 1


def test_rows_between_pixels_are_true_without_any_shift():
    field = random_field(ldos_kernel(25), (192, 192), 6e-4, snr_db=20, seed=3, subpixel=True)
    recovery = recover(field.image, kernel_size=25, types=1, activations="positive")
    assert len(recovery.defects) == len(field.positions)
    assert farthest(recovery, field.positions) < 0.1


def test_a_signature_that_fills_its_window_is_not_cut():
    lopsided = signature(21, (-6, -6, 1.5, 1), (7, 7, 2, 0.4), (-7, 7, 2, -0.3), (7, -7, 2, 0.3))
    field = random_field(lopsided, (128, 128), 2e-3, snr_db=20, seed=0)
    recovery = recover(field.image, kernel_size=21, types=1, activations="positive")
    assert np.abs(core(recovery.kernels[0])[0]).max() > 2
    assert kernel_similarity(recovery.kernels[0], field.kernels[0]) > 0.999


def test_defects_on_pixels_stay_there():
    lopsided = signature(15, (0, 0, 1.5, 1), (1, 1, 2.5, 0.5))
    field = random_field(lopsided, (128, 128), 1e-3, snr_db=20, seed=0)
    recovery = recover(field.image, kernel_size=15, types=1, activations="positive")
    assert np.abs(core(recovery.kernels[0])[0]).min() > 0.1
    assert np.count_nonzero(recovery.activations) == len(recovery.defects)


def test_types_move_each_by_its_own():
    kernels = np.stack([signature(31, (0, 0, 1.5, 1)), signature(31, (0, 0, 3, 1), (0, 0, 1.5, -1))])
    field = random_field(kernels, (192, 192), 4e-4, snr_db=10, seed=0)
    recovery = recover(field.image, kernel_size=31, types=2, activations="positive")
    assert max(np.abs(core(kernel)[0]).max() for kernel in recovery.kernels) < 1
    assert farthest(recovery, field.positions) < 1


def test_a_symmetric_kernel_comes_on_to_a_pixel_and_another_stays():
    between = signature(21, (0.4, -0.3, 2, 1), (0.4, -0.3, 5, -0.3))[None, None]
    placed = cores_on_pixels(between / np.linalg.norm(between))
    assert np.abs(core(placed[0])[0]).max() < 0.02
    lopsided = signature(21, (0.4, -0.3, 2, 1), (5, 5, 2, 0.6), (6, -5, 2, -0.5))[None, None]
    lopsided /= np.linalg.norm(lopsided)
    np.testing.assert_allclose(cores_on_pixels(lopsided), lopsided, atol=1e-6)
