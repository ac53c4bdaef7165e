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
FINER = 3.0  # degrees, the step before it is halved, once the shape is better known
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
    trials = {
        n * STEP: _explained(objective, found, penalty, n * STEP) for n in range(round(360 / turns / STEP))
    }
    best = _halved(objective, found, penalty, trials, STEP)
    return mirrored_by(ties, best) if trials[best] > WORTH * trials[0.0] else ties


def finer_line(objective: Objective, found: Iterate, penalty: Penalty) -> Ties | None:
    """The same orientations, the direction of mirror lines off the pixels corrected for a better shape."""
    ties = penalty.ties
    if ties is None or all(how.angle % 30 == 0 for how in ties.orientations if how.mirrored):
        return ties
    trials = {0.0: _explained(objective, found, penalty, 0.0)}
    return mirrored_by(ties, _halved(objective, found, penalty, trials, FINER))


def _halved(
    objective: Objective, found: Iterate, penalty: Penalty, trials: dict[float, float], step: float
) -> float:
    """The best angle, sought about the best of those tried with ever smaller steps."""
    for _ in range(HALVINGS):
        step /= 2
        best = max(trials, key=lambda angle: trials[angle])
        for angle in (best - step, best + step):
            trials.setdefault(angle, _explained(objective, found, penalty, angle))
    return max(trials, key=lambda angle: trials[angle])


def mirrored_by(ties: Ties, angle: float) -> Ties:
    """The same orientations, the mirrored ones turned by an angle in degrees."""
    ways = [replace(h, angle=(h.angle + angle * h.mirrored) % 360) for h in ties.orientations]
    return replace(ties, orientations=tuple(ways))


def _explained(objective: Objective, found: Iterate, penalty: Penalty, angle: float) -> float:
    """How much ψ falls below that of empty maps within a few steps, mirrored shapes turned by an angle."""
    assert penalty.ties is not None
    ties = mirrored_by(penalty.ties, angle)
    penalty, kernels = replace(penalty, ties=ties), ties.tied(found.kernels)
    maps = np.zeros((len(kernels), *objective.convolution.map_shape), kernels.dtype)
    *_, last = alternate(objective, kernels, maps, penalty, TRIAL)
    return objective.field.energy - last.objective
