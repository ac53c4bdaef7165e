"""Standard errors of the kernels, against the actual errors on simulated fields."""

import numpy as np
import pytest

from napari_sbd.core.quality import best_shift
from napari_sbd.core.recover import recover
from napari_sbd.simulate import ldos_kernel, random_field

KERNEL = ldos_kernel(15, -2.0)
QUICK = {"starts": 2, "kept": 1, "types": 1, "activations": "positive"}


def actual_error(found, truth):
    """What a kernel has that the true one, scaled, has not."""
    assert best_shift(found, truth) == (0, 0)
    return found - truth * np.vdot(found, truth) / np.vdot(truth, truth)


@pytest.mark.parametrize(("density", "snr_db", "seed"), [(1.5e-3, 20, 1), (1.5e-3, 5, 3), (1e-2, 10, 2)])
def test_errors_are_the_actual_ones(density, snr_db, seed):
    field = random_field(KERNEL, (128, 128), density, snr_db=snr_db, seed=seed)
    found = recover(field.image, kernel_size=15, **QUICK)
    errors = found.stability(seed=1)[0, 0]
    error = actual_error(found.kernels[0, 0], KERNEL)
    assert 1 / 1.5 < np.sqrt(np.mean(error**2) / np.mean(errors**2)) < 1.5
    assert 1 / 1.5 < np.std(error / errors) < 1.5
    assert (np.abs(error) < 2 * errors).mean() > 0.8


def test_what_differs_from_defect_to_defect_shows(rng):
    """Half of the defects carry a spot at one place of their signature: there the kernel is uncertain."""
    field = random_field(KERNEL, (128, 128), 1.5e-3, snr_db=25, seed=3)
    image = field.image.copy()
    for row, col in field.positions[::2].astype(int):
        image[(row - 3) % 128, (col + 4) % 128] += 0.3
    found = recover(image, kernel_size=15, **QUICK)
    assert best_shift(found.kernels[0, 0], KERNEL) == (0, 0)
    errors = found.stability()[0, 0]
    assert np.unravel_index(errors.argmax(), errors.shape) == (7 - 3, 7 + 4)
    assert errors.max() > 4 * np.median(errors)


def test_every_type_and_slice_has_its_errors():
    kernels = np.stack([ldos_kernel(15, energy) for energy in (-2.4, -1.9)])
    field = random_field(kernels[:1], (96, 96), 3e-3, snr_db=None, seed=1)
    other = random_field(kernels[1:], (96, 96), 3e-3, snr_db=None, seed=1)
    noise = np.random.default_rng(0).normal(0, 1, (2, 96, 96)) * np.array([0.01, 0.05])[:, None, None]
    found = recover(np.stack([field.clean, other.clean]) + noise, kernel_size=15, **QUICK)
    errors = found.stability(seed=3)
    assert errors.shape == found.kernels.shape == (1, 2, 15, 15)
    ratio = np.median(errors[0, 1]) / np.median(errors[0, 0])
    assert ratio == pytest.approx(5, rel=0.3)
    np.testing.assert_array_equal(errors, found.stability(seed=3))
    assert not np.array_equal(errors, found.stability(seed=4))


def test_too_few_defects_or_resamples_are_said(kernel):
    image = np.random.default_rng(0).normal(0, 0.01, (64, 64))
    image[20:31, 20:31] += kernel
    image[40:51, 42:53] += kernel
    found = recover(image, kernel_size=11, **QUICK)
    with pytest.raises(ValueError, match="at least 4 defects, and 2 were found"):
        found.stability()
    with pytest.raises(ValueError, match="resamples must be a whole number of at least 10"):
        found.stability(resamples=3)
