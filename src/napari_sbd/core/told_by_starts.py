"""Several types told by the starts of a search: kernels that differ, side by side, where that pays.

Where defects of several types stand apart, starts lie on defects of each, and before stage I makes a mixture
of them their kernels do, too. To tell them there takes a tenth of the time that sorting takes later.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.alternation import alternate, fit_maps, unpenalised
from napari_sbd.core.atoms import atoms_of
from napari_sbd.core.descent import Iterate, Schedule
from napari_sbd.core.kernel_fit import fit_kernels
from napari_sbd.core.objective import Objective, Penalty, misfit
from napari_sbd.core.quality import kernel_similarity
from napari_sbd.core.sorting import split_by_looks, strong_defects
from napari_sbd.core.steps import Steps, follow
from napari_sbd.core.verdict import (
    ALIKE,
    are_types_of_their_own,
    leaves_noise,
    residual_of,
    strong_peaks,
    worth,
)

Real = NDArray[np.floating]

MARGIN = 1.25  # times its price, that a further type must explain
FRUITLESS = 3  # kernels that are tried in vain, at most
MAPS, TOGETHER = Schedule(20, 1e-2), Schedule(30, 1e-2, slight=0.02)


def told_by_starts(
    objective: Objective, best: Iterate, others: Sequence[Real], penalty: Penalty, most: int, seed: int
) -> Steps:
    """One type, or several that together explain more of the image than they cost.

    Parameters
    ----------
    objective : Objective
    best : Iterate
        Of one type, at stage I's penalty.
    others : sequence of array (1, slices, k1, k2)
        What other starts ended in, or had in their first steps.
    penalty : Penalty
        That of stage I.
    most : int
        Types.
    seed : int
        Of groupings.
    """
    chosen, free = best, _free(objective, best, penalty)
    fruitless = 0
    for kernel in others:
        if free is None or len(chosen.kernels) >= most or fruitless >= FRUITLESS:
            break
        if _alike(kernel[0], chosen.kernels):
            continue
        if leaves_noise(objective, free):
            break
        kernels = np.concatenate([chosen.kernels, kernel])
        together = yield from _together(objective, chosen, kernels, penalty)
        more = _free(objective, together, penalty)
        if more is not None and _pays(objective, free, more):
            chosen, free = together, more
        else:
            fruitless += 1
    while 1 < len(chosen.kernels) < most:
        split = None if free is None else _split(objective, free, penalty, seed)
        if split is None:
            break
        together = yield from _together(objective, chosen, split, penalty)
        more = _free(objective, together, penalty)
        if free is None or more is None or not _pays(objective, free, more):
            break
        chosen, free = together, more
    return chosen


def _split(objective: Objective, found: Iterate, penalty: Penalty, seed: int) -> Real | None:
    """Kernels of one type more: those of the split that leaves least, if it pays."""
    if leaves_noise(objective, found):
        return None
    defects, types = strong_defects(found), len(found.kernels)
    trials = [
        split_by_looks(objective, found, defects, kind, penalty.nonnegative, seed) for kind in range(types)
    ]
    splits = [trial for trial in trials if trial is not None]
    if not splits:
        return None
    best = min(splits, key=lambda it: misfit(residual_of(objective, it)))
    before = fit_kernels(objective, defects.maps(types, found.maps))
    return best.kernels if worth(objective, before, best, 1, 0, MARGIN) else None


def _alike(kernel: Real, others: Real) -> bool:
    return max(kernel_similarity(kernel, other) for other in others) > ALIKE


def _together(objective: Objective, chosen: Iterate, kernels: Real, penalty: Penalty) -> Steps:
    """Stage I of all kernels, from maps that they share from the beginning."""
    none = np.zeros((len(kernels), *chosen.maps.shape[1:]), chosen.maps.dtype)
    steps = fit_maps(objective, kernels, none, penalty, MAPS)
    begin = yield from follow(steps, "stage I", penalty.lam, 0, chosen)
    steps = alternate(objective, kernels, begin.maps, penalty, TOGETHER)
    return (yield from follow(steps, "stage I", penalty.lam, 0, begin))


def _free(objective: Objective, found: Iterate, penalty: Penalty) -> Iterate | None:
    """Without what the penalty takes off amplitudes; None where there are too many."""
    return unpenalised(objective, found.kernels, found.maps, penalty.nonnegative)


def _pays(objective: Objective, alone: Iterate, together: Iterate) -> bool:
    """Whether the last type is one, and explains more than it costs."""
    if not are_types_of_their_own(together):
        return False
    defects = len(strong_peaks(atoms_of(together).peaks(together)[-1]).amplitudes)
    return worth(objective, alone, together, 1, defects, MARGIN)
