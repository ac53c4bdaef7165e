"""A part of a recovery: what lies in a box of its image, as a recovery of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from napari_sbd.core.normalise import normalised
from napari_sbd.core.objective import Objective
from napari_sbd.core.observation import Observation
from napari_sbd.core.peaks import Peaks
from napari_sbd.core.revisit import Revisit, as_normalised

if TYPE_CHECKING:
    from napari_sbd.core.recovery import Recovery

AnyRecovery = TypeVar("AnyRecovery", bound="Recovery")
Box = tuple[slice, slice]


def middle_box(shape: tuple[int, int], side: int, centre: tuple[float, float] | None = None) -> Box:
    """The box of at most this side, as near to a centre (row, col) as the image lets it.

    Examples
    --------
    >>> middle_box((100, 300), 200, (50, 290))
    (slice(0, 100, None), slice(100, 300, None))
    """
    begins, ends = [], []
    for n, at in zip(shape, centre or (shape[0] / 2, shape[1] / 2), strict=True):
        begins.append(max(0, min(round(at - side / 2), n - side)))
        ends.append(min(n, begins[-1] + side))
    return slice(begins[0], ends[0]), slice(begins[1], ends[1])


def part_of(recovery: AnyRecovery, box: Box) -> AnyRecovery:
    """The recovery of what lies in a box, in the image's own unit and on its scale of λ.

    Kernels, noise and figures are those of the whole; solved again, the part is worked with as the whole is.

    Parameters
    ----------
    recovery : Recovery
    box : tuple of slice
        Rows and columns, within the image.
    """
    seen, (rows, cols) = recovery.observation, box
    inside = np.s_[:, rows, cols]
    normal, extended = normalised(seen), _extended_box(box, recovery.window)
    maps = recovery.extended_activations[:, extended[0], extended[1]]
    found, norms = as_normalised(recovery.kernels, maps, normal.scales)
    data, mask = normal.data[inside].astype(np.float32), np.ascontiguousarray(seen.mask[inside])
    objective = Objective(data, mask, recovery.window)
    part = replace(
        recovery,
        observation=Observation(seen.data[inside], mask, seen.pixel_size, seen.unit),
        extended_activations=maps,
        peaks=tuple(_peaks_in(p, box, recovery.window) for p in recovery.peaks),
    )
    vars(part)["_past"] = Revisit(objective, found, normal.scales, norms)
    return part


def _extended_box(box: Box, window: tuple[int, int]) -> Box:
    rows, cols = (slice(s.start, s.stop + k - 1) for s, k in zip(box, window, strict=True))
    return rows, cols


def _peaks_in(peaks: Peaks, box: Box, window: tuple[int, int]) -> Peaks:
    """Those whose kernel reaches into the box, in its pixels."""
    centres = peaks.centres - [s.start for s in box]
    sides = np.array([s.stop - s.start for s in box])
    near = ((centres > -np.array(window) / 2) & (centres < sides + np.array(window) / 2)).all(1)
    return Peaks(centres[near], peaks.amplitudes[near])
