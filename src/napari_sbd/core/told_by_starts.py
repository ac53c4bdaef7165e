"""Several types told by the starts of a search: kernels that differ, side by side, where that pays.

Where defects of several types stand apart, starts lie on defects of each, and before stage I makes a mixture
of them their kernels do, too. To tell them there takes a tenth of the time that sorting takes later.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.alternation import alternate, fit_maps, unpenalised
from napari_sbd.core.atoms import atoms_of
from napari_sbd.core.descent import Iterate, Schedule
from napari_sbd.core.kernel_fit import fit_kernels
from napari_sbd.core.objective import Objective, Penalty, misfit
from napari_sbd.core.quality import KNOWN, kernel_similarity, overlap_similarity
from napari_sbd.core.sorting import split_by_looks, strong_defects
from napari_sbd.core.steps import Snapshot, Steps, follow, shown_as
from napari_sbd.core.verdict import (
    MARGIN,
    SAME,
    are_types_of_their_own,
    residual_of,
    share_left,
    strong_peaks,
    worth,
)

Real = NDArray[np.floating]

# Of the image's energy besides noise, that is left where stage I found one type of several (.12 to .49, once
# .07; one alone mostly leaves less than .1), and all but one of them (.05 at least).
SECOND, ANOTHER = 0.1, 0.03
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
    told, fruitless = _Told(objective, penalty, best), 0
    if told.is_all(most):
        return best
    unlike = [kernel for kernel in others if not _alike(kernel[0], best.kernels)]
    unlike.sort(key=lambda kernel: kernel_similarity(kernel[0], best.kernels[0]))
    if not unlike and len(pair := _most_unlike(others)):
        yield from told.tried(pair)
    for kernel in unlike:
        if fruitless < FRUITLESS and not (told.is_all(most) or _alike(kernel[0], told.chosen.kernels)):
            fruitless += not (yield from told.tried(np.concatenate([told.chosen.kernels, kernel])))
    pays = len(told.chosen.kernels) > 1
    while pays and not told.is_all(most):
        split = told.split(seed)
        pays = split is not None and (yield from told.tried(split))
    return told.chosen


class _Told:
    """The types that were told until now, as stage I finds them, and free of what its penalty takes off."""

    def __init__(self, objective: Objective, penalty: Penalty, best: Iterate) -> None:
        self.objective, self.penalty = objective, penalty
        self.chosen, self.free = best, self._freed(best)

    def is_all(self, most: int) -> bool:
        """Whether no further type is sought: there are so many, too little is left for one, or all crowd."""
        number = len(self.chosen.kernels)
        if self.free is None or number >= most:
            return True
        return share_left(self.objective, self.free) < (ANOTHER if number > 1 else SECOND)

    def _freed(self, found: Iterate) -> Iterate | None:
        return unpenalised(self.objective, found.kernels, found.maps, self.penalty.nonnegative)

    def tried(self, kernels: Real) -> Generator[Snapshot, None, bool]:
        """Stage I of these kernels, from maps that they share from the beginning; taken if that pays."""
        together = yield from shown_as(self.chosen, self._together(kernels), f"{len(kernels)} types, ")
        free = self._freed(together)
        pays = self.free is not None and free is not None and _pays(self.objective, self.free, free)
        if pays:
            self.chosen, self.free = together, free
        return pays

    def _together(self, kernels: Real) -> Steps:
        objective, penalty, before = self.objective, self.penalty, self.chosen
        none = np.zeros((len(kernels), *before.maps.shape[1:]), before.maps.dtype)
        steps = fit_maps(objective, kernels, none, penalty, MAPS)
        begin = yield from follow(steps, "stage I", penalty.lam, 0, before)
        steps = alternate(objective, kernels, begin.maps, penalty, TOGETHER)
        return (yield from follow(steps, "stage I", penalty.lam, 0, begin))

    def split(self, seed: int) -> Real | None:
        """Kernels of one type more: those of the split that leaves least, if it pays."""
        objective, found = self.objective, self.free
        assert found is not None
        defects, types = strong_defects(found), len(found.kernels)
        nonnegative = self.penalty.nonnegative
        trials = [split_by_looks(objective, found, defects, kind, nonnegative, seed) for kind in range(types)]
        splits = [trial for trial in trials if trial is not None]
        if not splits:
            return None
        best = min(splits, key=lambda it: misfit(residual_of(objective, it)))
        before = fit_kernels(objective, defects.maps(types, found.maps))
        return best.kernels if worth(objective, before, best, 1, 0, MARGIN) else None


def _alike(kernel: Real, others: Real) -> bool:
    """Whether a kernel is one of others, or was on its way to it, and each window cuts off something else."""
    return any(
        kernel_similarity(kernel, other) > SAME or overlap_similarity(kernel, other) > KNOWN
        for other in others
    )


def _most_unlike(kernels: Sequence[Real]) -> Real:
    """The two that are least alike, none where they are; a mixture may be like both."""
    pairs = [np.concatenate(pair) for pair in combinations(kernels, 2)]
    pairs = [pair for pair in pairs if not _alike(pair[0], pair[1:])]
    return min(pairs, key=lambda pair: kernel_similarity(*pair)) if pairs else np.empty(0)


def _pays(objective: Objective, alone: Iterate, together: Iterate) -> bool:
    """Whether the last type is one, and explains more than it costs."""
    if not are_types_of_their_own(together):
        return False
    defects = len(strong_peaks(atoms_of(together).peaks(together)[-1]).amplitudes)
    return worth(objective, alone, together, 1, defects, MARGIN)
