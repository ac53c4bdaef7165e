"""Initial kernels: salient patches of the data itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sbd.core.sphere import project

Real = NDArray[np.floating]

QUIET_PERCENTILE = 20


def taper(shape: tuple[int, int]) -> Real:
    """Hann window without its zero ends: a patch that ends in a cut defect starts a wrong kernel."""
    rows, cols = (np.hanning(n + 2)[1:-1] for n in shape)
    return np.outer(rows, cols)


def salience(data: Real, mask: NDArray[np.bool_], shape: tuple[int, int]) -> Real:
    """Tapered energy around each pixel (rows, cols) above the quiet background; zero where masked."""
    energy = np.where(mask, np.square(data, dtype=float), 0).sum(0)
    window = [np.hanning(n + 2)[1:-1] for n in shape]
    for axis in range(2):
        energy = ndimage.convolve1d(energy, window[axis] / window[axis].sum(), axis=axis, mode="reflect")
    seen = mask.any(0)
    quiet = np.percentile(energy[seen], QUIET_PERCENTILE)
    return np.where(seen, np.maximum(energy - quiet, 0), 0)


def salient_patches(
    data: Real, mask: NDArray[np.bool_], shape: tuple[int, int], count: int, rng: np.random.Generator
) -> list[Real]:
    """Draw up to `count` tapered unit-norm patches (1, slices, k1, k2), where the image is rich in energy.

    Centres are drawn with a probability proportional to `salience`, at least half a window apart.
    A patch of the data is a superposition of few shift truncations of the kernel (Lau et al., 2020).
    """
    chance = salience(data, mask, shape)
    padded = np.pad(np.where(mask, data, 0), [(0, 0)] + [(k // 2, k - 1 - k // 2) for k in shape])
    patches: list[Real] = []
    while len(patches) < count and chance.sum() > 0:
        flat = int(rng.choice(chance.size, p=chance.ravel() / chance.sum()))
        row, col = divmod(flat, chance.shape[1])
        patch = padded[None, :, row : row + shape[0], col : col + shape[1]] * taper(shape)
        if np.any(patch):
            patches.append(project(patch).astype(data.dtype))
        _forbid(chance, row, col, shape)
    return patches


def _forbid(chance: Real, row: int, col: int, shape: tuple[int, int]) -> None:
    half = [max(1, n // 2) for n in shape]
    chance[max(0, row - half[0]) : row + half[0] + 1, max(0, col - half[1]) : col + half[1] + 1] = 0
