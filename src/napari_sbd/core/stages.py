"""Stage I, stage II, selection among starts and refinement: what is descended on, and in which order.

Every stage is a generator that yields a Snapshot after each step, so that whoever drains it can show it,
or stop and keep the last one.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.alternation import crowded, fit_kernels_on_sphere, fit_maps, unpenalised
from napari_sbd.core.beyond import seen_beyond
from napari_sbd.core.descent import Iterate, Schedule, descend
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.rearrange import dense, tangled
from napari_sbd.core.resize import recentred
from napari_sbd.core.sites import Sites
from napari_sbd.core.sparsity import Levels, penalty_from_residual
from napari_sbd.core.steps import FORBIDDEN, Snapshot, Steps, follow, frozen
from napari_sbd.core.subpixel import snap
from napari_sbd.core.tied import alternate, tied_kernels
from napari_sbd.core.tied_moves import recentre_tied, snap_tied
from napari_sbd.core.untangle import drawn, drawn_again, placed, untangled
from napari_sbd.core.verdict import all_explained, residual_of
from napari_sbd.core.window import crop, energy_gained, lift, most_gained, recentre

Real = NDArray[np.floating]

DECAY = 0.8  # of λ from level to level of the continuation
FIRST = Schedule(60, 1e-2, slight=0.02)
CROWD, NOISY_CROWD = replace(FIRST, foresees=True), replace(FIRST, tolerance=2e-2)
LEVEL = Schedule(25)
EXACT, QUICK = Schedule(8, 1e-3, thorough=False), Schedule(2, 1e-3, thorough=False)
STAYED, GAINED = 3, 1e-4  # levels; of a kernel's energy, for which a window has moved
LIKELY = 0.2  # of that, up to which one step down the gradient is enough to see where it lies
EASY = 0.05  # change of a kernel of unit norm within a level, below which the next one may be farther
NEARLY_DENSE = 0.8  # of the defects of a dense field, from which it is looked closer
MANY = 0.03  # activations per place, from which it is looked whether a field is dense
LEAP, FAR = 1000, 0.2  # factors of λ at once, to the last level; change, above which that is too far
MAPS = Schedule(60, 1e-3)
POLISH, ROUGH = Schedule(30, 1e-4), Schedule(30, 1e-3, foresees=True)
REFINE = Schedule(20, 1e-4)
STILL = 1e-4  # change of a kernel of unit norm in a round of reweighting, below which no other follows
UNMOVED = 1e-3  # of an activation, by which other weights must move one for another round
WIDE_MAPS, WIDE = Schedule(12, 1e-2), Schedule(8, 1e-3)
DEBIAS = Schedule(60, 1e-4)
REWEIGHT = 0.1  # ε of the weights over the largest activation
BLURRED = 2e-4  # of what kernels explain, that is left where defects on wrong pixels blur them
WORTH = 0.8  # ratio of penalties nearer to 1 than which another round is not worth it
SMALLEST_SHARE = 0.02  # of an atom's energy inside the frame, below which it cannot be known
_ASKED: WeakKeyDictionary[Iterate, tuple[Objective, Levels, float]] = WeakKeyDictionary()


def stage_one(
    objective: Objective, patch: Real, penalty: Penalty, start: int, schedule: Schedule = FIRST
) -> Steps:
    """Descend from one patch at one rather large λ, on the sphere of the window's own size."""
    maps = np.zeros((len(patch), *objective.convolution.map_shape), patch.dtype)
    begin = Iterate(patch, maps, np.inf)
    steps = alternate(objective, patch, maps, penalty, schedule)
    return (yield from follow(steps, "stage I", penalty.lam, start, begin))


def stage_two(
    objective: Objective,
    found: Iterate,
    levels: Levels,
    penalty: Penalty,
    start: int,
    rough: bool = False,
    ending: Schedule | None = POLISH,
) -> Steps:
    """Lift the kernel of stage I, lower λ level by level with recentring, crop, and polish at the final λ.

    Where a level changes next to nothing, the next ones are farther apart; where defects do not crowd, the
    next is the last, unless that turns out to be too far. With `rough` it ends as soon as the field turns
    out to be dense: there sampling does the rest. `ending` is how it is polished; None: not at all, unless
    it is nearly dense, for polished it may be.
    """
    window = objective.convolution.kernel_shape
    margin = (window[0] // 2, window[1] // 2)
    lifted = objective.with_window((window[0] + 2 * margin[0], window[1] + 2 * margin[1]))
    kernels, maps = lift(found.kernels, found.maps, margin)
    here = Iterate(kernels, maps, found.objective)
    stayed, lam, stride, leap = 0, levels.first, 1, not levels.dense
    schedule = replace(QUICK if rough else EXACT, foresees=not levels.noisy)
    before, high, leaps = here, lam, 0
    while True:
        # After a leap the amplitudes rise first: before, what they lack would show side lobes as candidates.
        screened = lam == levels.first or stride == LEAP
        level = _level(objective, lifted, here, penalty.at(lam), start, screened, schedule)
        here, turned = yield from level
        moved = False
        if turned < np.inf and stayed < STAYED:
            here, moved = _recentred_wide(objective, lifted, here, penalty, stride == LEAP)
            stayed = 0 if moved else stayed + 1
        if stride == LEAP and turned > FAR:
            here, lam, leap = before, high, False
        if rough and (dense(here) or _overcrowded(_cropped(here, window))):
            return _cropped(here, window)
        leaps += stride == LEAP
        # Where the window has moved, the last level comes again.
        if lam <= levels.last and not (stride == LEAP and moved and leaps <= STAYED):
            break
        before, high = here, lam
        if leap and turned < EASY:
            stride = LEAP
        else:
            stride = 2 * stride if turned < EASY and not moved else 1
        lam = max(lam * DECAY**stride, levels.last)
    begin = _cropped(here, window)
    if rough and dense(begin):
        return begin
    if ending is None:
        if not dense(begin, NEARLY_DENSE):
            return begin
        ending = POLISH
    return (yield from polish(objective, begin, penalty.at(levels.last), start, ending))


def _overcrowded(found: Iterate) -> bool:
    """Whether it is dense, without the places that a lifted map has more, and steps become slow."""
    return bool(np.count_nonzero(found.maps) > MANY * found.maps.size and dense(found))


def _level(
    objective: Objective,
    lifted: Objective,
    begin: Iterate,
    penalty: Penalty,
    start: int,
    screened: bool,
    schedule: Schedule,
) -> Generator[Snapshot, None, tuple[Iterate, float]]:
    """One λ of stage II, in lifted windows, and how far a kernel has turned: infinitely where sites crowd."""
    window, wide = objective.convolution.kernel_shape, lifted.convolution.kernel_shape
    if crowded(int(np.count_nonzero(begin.maps != 0)), begin.maps) and penalty.ties is None:
        steps = descend(lifted, begin.kernels, begin.maps, penalty, LEVEL)
        here = yield from follow(steps, "stage II", penalty.lam, start, begin)
        kernels, maps, _ = recentre(here.kernels, here.maps, window)
        return replace(here, kernels=kernels, maps=maps), np.inf
    cropped = _cropped(begin, window)
    steps = alternate(objective, cropped.kernels, cropped.maps, penalty, schedule, screened)
    here = yield from follow(steps, "stage II", penalty.lam, start, cropped)
    turned = np.linalg.norm((here.kernels - cropped.kernels).reshape(len(here.kernels), -1), axis=1).max()
    kernels, maps = lift(here.kernels, here.maps, ((wide[0] - window[0]) // 2, (wide[1] - window[1]) // 2))
    return replace(here, kernels=kernels, maps=maps), float(turned)


def _cropped(found: Iterate, window: tuple[int, int]) -> Iterate:
    kernels, maps = crop(found.kernels, found.maps, window)
    return replace(found, kernels=kernels, maps=maps)


def _recentred_wide(
    objective: Objective, lifted: Objective, found: Iterate, penalty: Penalty, nearly: bool
) -> tuple[Iterate, bool]:
    """Kernels seen in the larger window, by one exact step, and moved to the middle; whether that gained.

    Where they are `nearly` there, and one step down the gradient shows no gain, that step is enough.
    """
    window = objective.convolution.kernel_shape
    if penalty.ties is None:
        seen = seen_beyond(objective, _cropped(found, window)) if nearly else None
        if seen is None or most_gained(seen, window) > LIKELY * GAINED:
            seen = fit_kernels_on_sphere(lifted, found.kernels, found.maps)
        kernels, maps, moved = recentre(seen, found.maps, window)
    else:
        tied = tied_kernels(lifted, found, penalty.ties)
        seen = tied.kernels
        kernels, maps, moved = recentre_tied(seen, tied.maps, window, penalty.ties)
    gained = moved and energy_gained(seen, kernels, window) > GAINED
    return replace(found, kernels=kernels, maps=maps), gained


def polish(
    objective: Objective, begin: Iterate, penalty: Penalty, start: int = 0, schedule: Schedule = POLISH
) -> Steps:
    """Descend on maps and kernels; where defects crowd, the maps are solved for these kernels first."""
    solved = begin
    if crowded(int(np.count_nonzero(begin.maps != 0)), begin.maps):
        steps = fit_maps(objective, begin.kernels, begin.maps, penalty, MAPS)
        solved = yield from follow(steps, "polish", penalty.lam, start, begin)
    steps = alternate(objective, solved.kernels, solved.maps, penalty, schedule)
    return (yield from follow(steps, "polish", penalty.lam, start, solved))


def refine(objective: Objective, best: Iterate, levels: Levels, penalty: Penalty, rounds: int) -> Steps:
    """Reweight and descend in rounds, then once more at the penalty that what is left asks for.

    Residuals that are white noise allow a smaller λ, under which weak defects and those at the border
    appear; residuals that keep structure ask for a larger one.
    """
    lam = levels.last
    if not rounds:
        return best
    if not (levels.fixed or levels.dense):
        lam = residual_level(objective, best, levels)
    best = yield from _rounds(objective, best, penalty.at(lam), rounds)
    if not levels.fixed:
        wanted = residual_level(objective, best, levels)
        if wanted > lam:
            best = yield from polish(objective, best, penalty.at(wanted))
        if not WORTH < wanted / lam < 1 / WORTH:
            best = yield from _rounds(objective, best, penalty.at(wanted), rounds, placed=True)
    return best


def widen(objective: Objective, begin: Iterate, levels: Levels, penalty: Penalty, rounds: int) -> Steps:
    """From a region whose kernels were refined to the whole image: its maps, then both, reweighted once.

    Without weights first: a defect that rounds of reweighting hold split over neighbours comes together.
    """
    here = penalty.at(levels.last)
    steps = fit_maps(objective, begin.kernels, begin.maps, here, WIDE_MAPS)
    best = yield from follow(steps, "whole image", here.lam, 0, begin)
    if rounds:
        best = yield from reweighted(objective, best, here, WIDE, screened=True)
    return best


def untangle(objective: Objective, best: Iterate, levels: Levels, penalty: Penalty) -> Steps:
    """Close defects are told apart and rearranged, at the penalty that what is left asks for.

    Where next to nothing is left there are no defects on wrong pixels, and no kernel is blurred.
    """
    if not _misplaced(objective, best):
        return best
    return (yield from untangled(objective, best, penalty.at(_asked(objective, best, levels))))


def draw_again(
    objective: Objective, best: Iterate, levels: Levels, penalty: Penalty, seed: int, roughly: bool = False
) -> Steps:
    """All places of one type sampled, from those found, if that costs less: see `drawn_again`.

    Not where `untangle` has nothing to do.
    """
    if not _misplaced(objective, best):
        return best
    here = penalty.at(_asked(objective, best, levels))
    return (yield from drawn_again(objective, best, here, seed, roughly))


def place(objective: Objective, best: Iterate, levels: Levels, penalty: Penalty, seed: int) -> Steps:
    """Close defects of one type placed anew for the kernel that was found: see `placed`.

    Not where `untangle` has nothing to do.
    """
    if len(best.kernels) > 1 or not _misplaced(objective, best):
        return best
    return (yield from placed(objective, best, penalty.at(_asked(objective, best, levels)), seed))


def _misplaced(objective: Objective, best: Iterate) -> bool:
    """Whether close defects may be on wrong pixels: not where next to nothing is left."""
    return tangled(best) and not all_explained(objective, best, BLURRED)


def _asked(objective: Objective, best: Iterate, levels: Levels) -> float:
    """The penalty that what is left asks for, if it is another."""
    lam = levels.last
    if not levels.fixed:
        wanted = residual_level(objective, best, levels)
        lam = lam if WORTH < wanted / lam < 1 / WORTH else wanted
    return lam


def draw(
    objective: Objective, begin: Iterate, levels: Levels, penalty: Penalty, seed: int
) -> Generator[Snapshot, None, Iterate | None]:
    """In a dense field, instead of refinement: see `drawn`."""
    return (yield from drawn(objective, begin, penalty.at(levels.last), seed))


def _rounds(
    objective: Objective, best: Iterate, penalty: Penalty, rounds: int, placed: bool = False
) -> Steps:
    """Rounds of reweighting; after the first, unless all is `placed`, kernels come to window and pixels."""
    placing, looked = not placed, False
    for _ in range(rounds):
        before, best = best, (yield from reweighted(objective, best, penalty, screened=looked))
        if placing:
            ended, best = best, recentred(objective, best, penalty.ties)
            best = snap(objective, best) if penalty.ties is None else snap_tied(objective, best, penalty.ties)
            # Weights off the support stay: what is as the last look left it needs no other.
            placing, looked = False, best is ended
            if looked and _same_weights(before, best, penalty):
                break
        elif _stays(before, best) or _same_weights(before, best, penalty):
            break
        else:
            looked = True
    return best


def _stays(before: Iterate, after: Iterate) -> bool:
    """Whether a round changed so little that another would change nothing."""
    turned = np.linalg.norm((after.kernels - before.kernels).reshape(len(after.kernels), -1), axis=1).max()
    return bool(turned < STILL and np.array_equal(before.maps != 0, after.maps != 0))


def _same_weights(before: Iterate, after: Iterate, penalty: Penalty) -> bool:
    """Whether another round's weights differ so little that no amplitude would change."""
    sites = after.sites
    weights = [_lightened(it.maps, sites, penalty) for it in (before, after)]
    moves = penalty.lam * np.abs(weights[1] - weights[0])
    return bool((moves <= UNMOVED * np.abs(sites.read(after.maps))).all())


def reweighted(
    objective: Objective,
    best: Iterate,
    penalty: Penalty,
    schedule: Schedule = REFINE,
    screened: bool = False,
) -> Steps:
    """Descend once with the weights that the map asks for."""
    heavier = reweighting(objective, best, penalty)
    steps = alternate(objective, best.kernels, best.maps, heavier, schedule, screened)
    return (yield from follow(steps, "refine", penalty.lam, 0, best))


def reweighting(objective: Objective, best: Iterate, penalty: Penalty) -> Penalty:
    """The penalty with weights `√v · ε / (|x| + ε)`, v the share of an atom's energy that the mask shows.

    The noise that an atom meets is `σ √v`: so all are judged alike, those outside the frame included.
    """
    weights = objective.visible_share(best.kernels)
    unseen = weights <= SMALLEST_SHARE
    np.sqrt(weights, out=weights)
    weights[unseen] = FORBIDDEN
    sites = best.sites
    weights[sites.kinds, sites.rows, sites.cols] *= _lightened(best.maps, sites, penalty)
    return replace(penalty, weights=weights)


def _lightened(maps: Real, sites: Sites, penalty: Penalty) -> Real:
    """`ε / (|x| + ε)` of activations, ε in proportion to the largest of their type."""
    groups = np.arange(len(maps)) if penalty.ties is None else penalty.ties.types
    largest = np.zeros(len(maps), maps.dtype)
    np.maximum.at(largest, groups, np.maximum(maps.max((1, 2)), -maps.min((1, 2))))
    floor = REWEIGHT * largest[groups][sites.kinds]
    return np.asarray(floor / (np.abs(sites.read(maps)) + floor))


def debias(objective: Objective, best: Iterate, penalty: Penalty) -> Steps:
    """Amplitudes on the frozen support without penalty; kernels stay."""
    found = unpenalised(objective, best.kernels, best.maps, penalty.nonnegative)
    if found is not None:
        yield Snapshot("debias", penalty.lam, found)
        return found
    steps = fit_maps(objective, best.kernels, best.maps, frozen(best, penalty), DEBIAS)
    return (yield from follow(steps, "debias", penalty.lam, 0, best))


def residual_level(objective: Objective, found: Iterate, levels: Levels) -> float:
    """Penalty that the residual of an iterate asks for (`penalty_from_residual`); kept with the iterate."""
    known = _ASKED.get(found)
    if known is None or known[:2] != (objective, levels):
        wanted = penalty_from_residual(residual_of(objective, found), objective, found.kernels, levels)
        known = _ASKED[found] = objective, levels, wanted
    return known[2]
