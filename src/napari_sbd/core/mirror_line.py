"""The direction of a point group's mirror lines in an image, which no scan is aligned to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.descent import Iterate, Schedule
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.symmetry import Ties
from napari_sbd.core.tied import alternate

Real = NDArray[np.floating]

STEP = 7.5  # degrees of a mirrored shape, from trial to trial
HALVINGS = 3  # of the step, about the best trial
TRIAL = Schedule(3, 1e-2)
WORTH = 1.01  # ratio of what is explained with another direction and with that of the pixels


def mirror_line(objective: Objective, found: Iterate, penalty: Penalty) -> Ties:
    """The orientations of a group with mirror lines, these in the direction that explains most.

    Lines along rows and columns stay unless others explain more: on them a mirrored shape is exact.

    Parameters
    ----------
    objective : Objective
    found : Iterate
        Of one shape; its first kernel is taken as the shape.
    penalty : Penalty
        With the group's orientations, mirrored ones with lines along rows and columns.
    """
    ties = penalty.ties
    assert ties is not None
    turns = sum(not how.mirrored for how in ties.orientations)
    explained: dict[float, float] = {}

    def try_(angle: float) -> None:
        angle %= 360 / turns
        if angle not in explained:
            explained[angle] = _explained(objective, found, replace(penalty, ties=mirrored_by(ties, angle)))

    for number in range(round(360 / turns / STEP)):
        try_(number * STEP)
    for halving in range(1, HALVINGS + 1):
        best = max(explained, key=lambda angle: explained[angle])
        for side in (-1, 1):
            try_(best + side * STEP / 2**halving)
    best = max(explained, key=lambda angle: explained[angle])
    return mirrored_by(ties, best) if explained[best] > WORTH * explained[0.0] else ties


def mirrored_by(ties: Ties, angle: float) -> Ties:
    """The same orientations, the mirrored ones turned by an angle in degrees."""
    ways = [replace(h, angle=(h.angle + angle * h.mirrored) % 360) for h in ties.orientations]
    return replace(ties, orientations=tuple(ways))


def _explained(objective: Objective, found: Iterate, penalty: Penalty) -> float:
    """How much ψ falls below that of empty maps within a few steps from a shape."""
    assert penalty.ties is not None
    kernels = penalty.ties.tied(found.kernels)
    maps = np.zeros((len(kernels), *objective.convolution.map_shape), kernels.dtype)
    *_, last = alternate(objective, kernels, maps, penalty, TRIAL)
    return objective.field.energy - last.objective
