"""Weak candidates that stand alone, far above the noise, and look like their kernel: defects all the same.

Weak ones are else left out, for what the model leaves of strong defects passes for them; where none is
near, it does not.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

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
    """
    column = {name: table[name].to_numpy() for name in table}
    inside = ~column["outside"]
    strong = (column["strength"] >= WEAKEST) & ~column["odd"] & inside
    weak = (column["strength"] < WEAKEST) & (column["snr"] >= FAR_ABOVE) & ~column["near_border"] & inside
    places = np.column_stack([column["row"], column["col"]])
    taken = list(places[strong])
    alone = np.zeros(len(table), bool)
    for row in sorted(np.flatnonzero(weak), key=lambda row: -column["snr"][row]):
        if _apart(places[row], taken, kernels.shape[2:]):
            alone[row] = _looks_like(kernels[column["type"][row]], places[row], column["snr"][row], seen)
            taken.append(places[row])
    return alone


def _apart(place: Real, others: list[Real], window: tuple[int, ...]) -> bool:
    """Whether no other's window reaches into that of this place."""
    return not others or bool((np.abs(np.array(others) - place) >= window).any(1).all())


def _looks_like(kernel: Real, place: Real, snr: float, seen: Observation) -> bool:
    """Whether the image there is as like the kernel as noise of that SNR lets it be."""
    first = np.rint(place).astype(int) - (np.array(kernel.shape[1:]) - 1) // 2
    rows, cols = (slice(f, f + k) for f, k in zip(first, kernel.shape[1:], strict=True))
    patch, inside = seen.data[:, rows, cols], seen.mask[:, rows, cols]
    pairs = [
        (image[here] - image[here].mean(), shape[here] - shape[here].mean())
        for image, shape, here in zip(patch, kernel, inside, strict=True)
        if here.any()
    ]
    image, shape = (np.concatenate(parts).astype(float) for parts in zip(*pairs, strict=True))
    expected = snr / np.hypot(snr, np.sqrt(len(image)))
    cosine = abs(image @ shape) / max(float(np.linalg.norm(image) * np.linalg.norm(shape)), 1e-300)
    return bool(cosine >= LIKE * expected)
