"""Stage I, stage II, selection among starts and refinement: what is descended on, and in which order.

Every stage is a generator that yields a Snapshot after each step, so that whoever drains it can show it,
or stop and keep the last one.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.alternation import alternate, crowded, fit_kernels_on_sphere, fit_maps
from napari_sbd.core.descent import Iterate, Schedule, descend
from napari_sbd.core.noise import robust_std
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.rearrange import loosened, rearranged, tangled
from napari_sbd.core.resize import recentred
from napari_sbd.core.sparsity import Levels, penalty_from_residual
from napari_sbd.core.subpixel import snap
from napari_sbd.core.verdict import residual_of
from napari_sbd.core.window import crop, lift, recentre

Real = NDArray[np.floating]

DECAY = 0.8  # of λ from level to level of the continuation
FIRST = Schedule(60)
LEVEL = Schedule(25)
EXACT = Schedule(8, 1e-3)
STAYED = 3
MAPS = Schedule(60, 1e-3)
POLISH = Schedule(30, 1e-4)
REFINE = Schedule(20, 1e-4)
DEBIAS = Schedule(60, 1e-4)
UNTANGLING = 3  # rounds
LOOSE = Schedule(20, 1e-4)
SETTLE = Schedule(6, 1e-5)
REWEIGHT = 0.1  # ε of the weights over the largest activation
WORTH = 0.8  # ratio of penalties nearer to 1 than which another round is not worth it
SMALLEST_SHARE = 0.02  # of an atom's energy inside the frame, below which it cannot be known
FORBIDDEN = 1e4  # weight that keeps a pixel out of a frozen support


@dataclass(frozen=True)
class Snapshot:
    """Where a recovery stands after one step."""

    stage: str
    lam: float
    iterate: Iterate
    start: int = 0


Result = TypeVar("Result")
Steps = Generator[Snapshot, None, Iterate]


def _follow(steps: Iterator[Iterate], stage: str, lam: float, start: int, begin: Iterate) -> Steps:
    last = begin
    for last in steps:
        yield Snapshot(stage, lam, last, start)
    return last


def shown_as(
    best: Iterate, steps: Generator[Snapshot, None, Result], prefix: str = ""
) -> Generator[Snapshot, None, Result]:
    """The same steps; until they end, what is shown is the best until then."""
    while True:
        try:
            snapshot = next(steps)
        except StopIteration as end:
            return cast(Result, end.value)
        yield replace(snapshot, stage=f"{prefix}{snapshot.stage}", iterate=best)


def stage_one(objective: Objective, patch: Real, penalty: Penalty, start: int) -> Steps:
    """Descend from one patch at one rather large λ, on the sphere of the window's own size."""
    maps = np.zeros((len(patch), *objective.convolution.map_shape), patch.dtype)
    begin = Iterate(patch, maps, np.inf)
    steps = alternate(objective, patch, maps, penalty, FIRST)
    return (yield from _follow(steps, "stage I", penalty.lam, start, begin))


def stage_two(objective: Objective, found: Iterate, levels: Levels, penalty: Penalty, start: int) -> Steps:
    """Lift the kernel of stage I, lower λ level by level with recentring, crop, and polish at the final λ."""
    window = objective.convolution.kernel_shape
    margin = (window[0] // 2, window[1] // 2)
    lifted = objective.with_window((window[0] + 2 * margin[0], window[1] + 2 * margin[1]))
    kernels, maps = lift(found.kernels, found.maps, margin)
    stayed = 0
    for lam in continuation(levels.first, levels.last):
        if crowded(int(np.count_nonzero(maps)), maps):
            steps = descend(lifted, kernels, maps, penalty.at(lam), LEVEL)
            here = yield from _follow(steps, "stage II", lam, start, found)
            kernels, maps, _ = recentre(here.kernels, here.maps, window)
            continue
        kernels, maps = crop(kernels, maps, window)
        steps = alternate(objective, kernels, maps, penalty.at(lam), EXACT)
        here = yield from _follow(steps, "stage II", lam, start, found)
        kernels, maps = lift(here.kernels, here.maps, margin)
        if stayed < STAYED:
            kernels, maps, moved = recentre(fit_kernels_on_sphere(lifted, kernels, maps), maps, window)
            stayed = 0 if moved else stayed + 1
    kernels, maps = crop(kernels, maps, window)
    begin = Iterate(kernels, maps, np.inf)
    return (yield from polish(objective, begin, penalty.at(levels.last), start))


def continuation(first: float, last: float) -> list[float]:
    """Penalties from `first` down to `last`, geometrically.

    Examples
    --------
    >>> continuation(1.0, 0.5)
    [1.0, 0.8, 0.64, 0.512, 0.5]
    """
    lams = [first]
    while lams[-1] > last:
        lams.append(max(round(lams[-1] * DECAY, 12), last))
    return lams


def polish(objective: Objective, begin: Iterate, penalty: Penalty, start: int = 0) -> Steps:
    """Solve the maps for these kernels, then descend on both."""
    steps = fit_maps(objective, begin.kernels, begin.maps, penalty, MAPS)
    solved = yield from _follow(steps, "polish", penalty.lam, start, begin)
    steps = alternate(objective, solved.kernels, solved.maps, penalty, POLISH)
    return (yield from _follow(steps, "polish", penalty.lam, start, solved))


def refine(
    objective: Objective, best: Iterate, levels: Levels, penalty: Penalty, rounds: int, untangle: bool = True
) -> Steps:
    """Reweight and descend in rounds, then once more at the penalty that what is left asks for.

    Residuals that are white noise allow a smaller λ, under which weak defects and those at the border
    appear; residuals that keep structure ask for a larger one. In the end close defects are rearranged, if
    `untangle`.
    """
    lam = levels.last
    best = yield from _rounds(objective, best, penalty.at(lam), rounds)
    if not rounds:
        return best
    if not levels.fixed:
        wanted = residual_level(objective, best, levels)
        if wanted > lam:
            best = yield from polish(objective, best, penalty.at(wanted))
        if not WORTH < wanted / lam < 1 / WORTH:
            lam = wanted
            best = yield from _rounds(objective, best, penalty.at(wanted), rounds)
    return (yield from _untangled(objective, best, penalty.at(lam))) if untangle else best


def _untangled(objective: Objective, best: Iterate, penalty: Penalty) -> Steps:
    """Where defects crowd: loosen those that may be several, rearrange close ones, and fit; in rounds."""
    if not tangled(best):
        return best
    for _ in range(UNTANGLING):
        weights = loosened(best.maps)
        steps = alternate(objective, best.kernels, best.maps, replace(penalty, weights=weights), LOOSE)
        loose = yield from _follow(steps, "untangle", penalty.lam, 0, best)
        noise = robust_std(residual_of(objective, loose)[objective.mask])
        moves = rearranged(objective, loose, noise, penalty.nonnegative)
        placed = yield from _follow(moves, "untangle", penalty.lam, 0, loose)
        steps = alternate(objective, placed.kernels, placed.maps, _frozen(placed, penalty), SETTLE)
        best = yield from _follow(steps, "untangle", penalty.lam, 0, placed)
    return best


def _frozen(found: Iterate, penalty: Penalty) -> Penalty:
    """No penalty on the support, no way off it."""
    weights = np.where(found.maps != 0, 0, FORBIDDEN).astype(found.maps.dtype)
    return replace(penalty, mu=0.0, weights=weights)


def _rounds(objective: Objective, best: Iterate, penalty: Penalty, rounds: int) -> Steps:
    for number in range(rounds):
        best = yield from _reweighted(objective, best, penalty)
        if number == 0:
            best = snap(objective, recentred(objective, best))
    return best


def _reweighted(objective: Objective, best: Iterate, penalty: Penalty) -> Steps:
    """Descend with weights `√v · ε / (|x| + ε)`, v the share of an atom's energy that the mask lets through.

    The noise that an atom meets is `σ √v`: so all are judged alike, those outside the frame included.
    """
    size = np.abs(best.maps)
    largest = size.max(axis=(1, 2), keepdims=True)
    floor = REWEIGHT * np.where(largest > 0, largest, 1)
    share = objective.visible_share(best.kernels)
    weights = np.where(share > SMALLEST_SHARE, np.sqrt(share), FORBIDDEN) * floor / (size + floor)
    heavier = Penalty(penalty.lam, penalty.mu, penalty.nonnegative, weights.astype(best.maps.dtype))
    steps = alternate(objective, best.kernels, best.maps, heavier, REFINE)
    return (yield from _follow(steps, "refine", penalty.lam, 0, best))


def debias(objective: Objective, best: Iterate, penalty: Penalty) -> Steps:
    """Amplitudes on the frozen support without penalty; kernels stay."""
    steps = fit_maps(objective, best.kernels, best.maps, _frozen(best, penalty), DEBIAS)
    return (yield from _follow(steps, "debias", penalty.lam, 0, best))


def residual_level(objective: Objective, found: Iterate, levels: Levels) -> float:
    """Penalty that the residual of an iterate asks for, see `penalty_from_residual`."""
    return penalty_from_residual(residual_of(objective, found), objective, found.kernels, levels)
