"""The sample *dense*: a field of overlapping defects under strong noise."""

from __future__ import annotations

import numpy as np

from napari_sbd.simulate.fields import convolved
from napari_sbd.simulate.ldos import PIXEL_NM, ldos_kernel
from napari_sbd.simulate.sample import Sample, marked_map

WINDOW = 25
SIZE = 185
DEFECTS = 934
ENERGY = -2.3
SNR = 0.792


def dense(seed: int = 0) -> Sample:
    """Return a field like figure 3 of Cheung et al.: 934 overlapping defects on 185 x 185 pixels (2.73 %).

    A 25 x 25 LDoS kernel at places drawn among all pixels, linear convolution, no defects outside the frame.
    The noise is such that the variance of the unit-norm kernel over that of the noise is 0.792.

    Parameters
    ----------
    seed : int
        Seed of positions and noise.

    Returns
    -------
    Sample
        Amplitudes are 1, all defects sit on pixels.

    References
    ----------
    Cheung et al., Dictionary learning in Fourier-transform scanning tunneling spectroscopy, Nat. Commun. 11,
    1081 (2020), figure 3.

    Examples
    --------
    >>> sample = dense()
    >>> len(sample.positions), sample.window, round(float(sample.kernel.var()) / sample.noise_std**2, 3)
    (934, (25, 25), 0.792)
    """
    rng = np.random.default_rng(seed)
    kernels = ldos_kernel(WINDOW, ENERGY)[None]
    pixels = np.sort(rng.choice(SIZE**2, DEFECTS, replace=False))
    positions = np.stack(np.divmod(pixels, SIZE), axis=1).astype(float)
    types, amplitudes = np.zeros(DEFECTS, np.int64), np.ones(DEFECTS)
    extended = marked_map(positions, types, amplitudes, (SIZE, SIZE), kernels.shape)
    clean = convolved(extended, kernels)
    noise_std = float(np.sqrt(kernels[0].var() / SNR))
    return Sample(
        name="dense",
        image=clean + noise_std * rng.standard_normal(clean.shape),
        clean=clean,
        kernels=kernels,
        positions=positions,
        types=types,
        amplitudes=amplitudes,
        extended_activations=extended,
        pixel_size=(PIXEL_NM, PIXEL_NM),
        value_unit="a.u.",
        noise_std=noise_std,
        seed=seed,
    )
