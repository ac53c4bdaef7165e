"""Weak candidates that stand alone, far above the noise, and look like their kernel: defects all the same.

Weak ones are else left out, for what the model leaves of strong defects passes for them; where none is
near, it does not.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import spatial

from napari_sbd.core.observation import Observation
from napari_sbd.core.peaks import WEAKEST

Real = NDArray[np.floating]
Chosen = NDArray[np.bool_]

FAR_ABOVE = 12.0  # standard errors
LIKE = 0.8  # of the cosine that kernel and image would have but for noise


def standing_alone(table: pd.DataFrame, kernels: Real, seen: Observation) -> Chosen:
    """Which weak candidates stand alone, far above the noise, and look like their kernel.

    Parameters
    ----------
    table : pandas.DataFrame
        See `napari_sbd.core.defects.candidate_table`; types are those of the kernels.
    kernels : array (types, slices, k1, k2)
    seen : Observation
        The image in which they are.

    Returns
    -------
    array of bool
        One for each row of the table. Of weak ones near each other, only the one of highest SNR may be.
    """
    names = ("type", "row", "col", "snr", "strength", "odd", "near_border", "outside")
    kinds, rows, cols, snr, strength, odd, cut, outside = (table[name].to_numpy() for name in names)
    places, alone = np.column_stack([rows, cols]), np.zeros(len(table), bool)
    strong = (strength >= WEAKEST) & ~odd & ~outside
    weak = np.flatnonzero((strength < WEAKEST) & (snr >= FAR_ABOVE) & ~cut & ~outside)
    if strong.any():
        weak = weak[_windows_apart(places[weak], places[strong], kernels.shape[2:])]
    taken: list[Real] = []
    for row in weak[np.argsort(-snr[weak], kind="stable")]:
        if not taken or _windows_apart(places[[row]], np.array(taken), kernels.shape[2:])[0]:
            alone[row] = _looks_like(kernels[kinds[row]], places[row], snr[row], seen)
            taken.append(places[row])
    return alone


def _windows_apart(places: Real, others: Real, window: tuple[int, ...]) -> Chosen:
    """Whether no window around the others reaches into that around a place."""
    if not len(places):
        return np.zeros(0, bool)
    return np.asarray(spatial.KDTree(others / window).query(places / window, p=np.inf)[0] >= 1)


def _looks_like(kernel: Real, place: Real, snr: float, seen: Observation) -> bool:
    """Whether the image there is as like the kernel as noise of that SNR lets it be."""
    first = np.rint(place).astype(int) - (np.array(kernel.shape[1:]) - 1) // 2
    if (first < 0).any() or (first + kernel.shape[1:] > seen.shape).any():
        return False  # a type's own window may be smaller than that of its kernel
    rows, cols = (slice(f, f + k) for f, k in zip(first, kernel.shape[1:], strict=True))
    patch, inside = seen.data[:, rows, cols], seen.mask[:, rows, cols]
    pairs = [
        (image[here] - image[here].mean(), shape[here] - shape[here].mean())
        for image, shape, here in zip(patch, kernel, inside, strict=True)
        if here.any()
    ]
    if not pairs:
        return False
    image, shape = (np.concatenate(parts).astype(float) for parts in zip(*pairs, strict=True))
    expected = snr / np.hypot(snr, np.sqrt(len(image)))
    cosine = abs(image @ shape) / max(float(np.linalg.norm(image) * np.linalg.norm(shape)), 1e-300)
    return bool(cosine >= LIKE * expected)
