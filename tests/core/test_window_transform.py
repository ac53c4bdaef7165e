"""Transforms of windows."""

import numpy as np
import pytest
from scipy import fft

from napari_sbd.core.window_transform import SMALL, WindowTransform


@pytest.mark.parametrize(
    ("window", "size"), [((5, 8), (9, 15)), ((31, 31), (64, 64)), ((3, SMALL + 1), (5, 81))]
)
@pytest.mark.parametrize(("dtype", "exact"), [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_it_is_the_fft(rng, window, size, dtype, exact):
    transform = WindowTransform(window, size, np.dtype(dtype))
    windows = rng.standard_normal((2, 3, *window)).astype(dtype)
    spectra = transform.forward(windows)
    assert spectra.dtype == np.result_type(dtype, np.complex64)
    np.testing.assert_allclose(spectra, fft.rfft2(windows, size), atol=exact * window[0] * window[1])
    seen = fft.irfft2(spectra, size)[..., : window[0], : window[1]]
    np.testing.assert_allclose(transform.back(spectra), seen, atol=10 * exact)
