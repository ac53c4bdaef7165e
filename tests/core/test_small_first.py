"""Where defects crowd, a window that is much too large does not matter."""

import numpy as np
import pytest

from napari_sbd.core.quality import kernel_similarity
from napari_sbd.core.recover import recover
from napari_sbd.simulate import ldos_kernel
from napari_sbd.simulate.fields import convolved


@pytest.fixture(scope="module")
def crowd():
    """Image of 4 defects in a hundred pixels, and their kernel of 11 px."""
    rng = np.random.default_rng(0)
    kernel = ldos_kernel(11, -2.3)
    maps = (rng.random((1, 106, 106)) < 0.03).astype(float)
    clean = convolved(maps, kernel[None])
    return clean + 0.05 * clean.std() * rng.standard_normal(clean.shape), kernel


def test_a_window_three_times_too_large_gives_the_kernel(crowd):
    image, kernel = crowd
    recovery = recover(image, kernel_size=(33, 32), types=1, activations="positive")
    assert recovery.window == (33, 32)
    assert kernel_similarity(recovery.kernels[0], kernel) > 0.98


def test_what_is_returned_belongs_together(crowd):
    image, _ = crowd
    recovery = recover(image, kernel_size=33, types=1, activations="positive", refinements=1)
    model = convolved(recovery.extended_activations, recovery.kernels[:, 0]) + recovery.bias[0]
    np.testing.assert_allclose(image - model, recovery.residual[0], atol=1e-5 * np.ptp(image))
