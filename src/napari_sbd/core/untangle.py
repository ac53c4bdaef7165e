"""Untangling: where defects crowd, kernels and places are found by turns until both stay.

Defects on wrong pixels blur the kernel, and a blurred kernel holds them there; no descent on both leads out.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.alternation import fit_maps
from napari_sbd.core.descent import Iterate, Schedule
from napari_sbd.core.kernel_fit import fit_kernels
from napari_sbd.core.merged import Judge, fitted_elsewhere
from napari_sbd.core.noise import robust_std, whiteness
from napari_sbd.core.objective import Objective, Penalty, misfit
from napari_sbd.core.rearrange import CAREFUL, FAIR, dense, loosened, rearranged, tangled
from napari_sbd.core.sampling import AS_GIVEN, Ending, Heat, sample_places
from napari_sbd.core.sharpened import Sharpened, sharpened
from napari_sbd.core.steps import Snapshot, Steps, follow, frozen
from napari_sbd.core.subpixel import in_the_middle, kernels_beside, resolved
from napari_sbd.core.tied import alternate
from napari_sbd.core.verdict import colour, residual_of

LOOSENINGS, RESOLUTIONS, PARTINGS = 3, 4, 4  # rounds
COLOURED = 20.0  # power of the noise that an amplitude meets over a pixel's, above which places are not told
SMOOTH = 3.0  # deviation of a residual over its pixels' noise, above which its grains pass for defects, too
WORTH = 2.0  # places of defects, by which parting some must cost less
AGAIN = replace(AS_GIVEN, begin=1.0)  # how a field is sampled from what was found, and tried roughly
TRIED = replace(AGAIN, most=30)
PLACED = replace(AGAIN, most=8, held=True)  # for kernels that are known
# Types that were sorted: what their wrong kernels leave passes for noise.
SEVERAL = replace(AS_GIVEN, temperature=2.0, patient=True, most=60, freed=0.25)
BESIDE, TURNS = replace(AS_GIVEN, begin=0.75, most=40), 3  # the same from beside a core, and how often
REPEATED, NOISE = 6, 1.03  # times both signs are sampled, and the deviation over the pixels' noise for less
SETTLED = 0.02  # share of activations, up to which changed ones are not worth another round
GREAT = 0.04  # defects per place, above which an image with noise is not sampled as given: they would merge
UNEXPLAINED = 0.1  # of the image's energy, from which what was drawn in the whitened image is wrong
SEEN = 8  # sweeps, after which the kernels that are shown are fitted anew
LOOSE = Schedule(20, 1e-4)
SETTLE = Schedule(6, 1e-5)

Sampled = Generator[Snapshot, None, tuple[Iterate, Ending]]


def untangled(objective: Objective, best: Iterate, penalty: Penalty) -> Steps:
    """Kernels and maps where close defects were taken apart; the same ones where none are close.

    Where noise has a colour, as a lattice's rests have, its grains look like close defects: nothing is done.

    First, what may be several defects is loosened, and close ones are tried at other places. Then kernel and
    places are fitted between pixels by turns, brought on to the pixels again, and tried at other places;
    there amplitudes that are unusual for their type tell which defects are two. What may still be several is
    parted with kernels seen elsewhere. In dense fields, where nothing can be loosened alone, of several types
    they are only tried at other places, and of one type nothing is done.
    """
    if not tangled(best) or _coloured(objective, best):
        return best
    if dense(best):
        return best if len(best.kernels) == 1 else (yield from _told_apart(objective, best, penalty))
    best = yield from _loosened(objective, best, penalty, CAREFUL)
    best = yield from _resolved(objective, best, penalty)
    best = yield from _rearranged(objective, best, penalty, FAIR, alike=True)
    return (yield from _parted(objective, best, penalty))


def drawn_again(
    objective: Objective, best: Iterate, penalty: Penalty, seed: int, roughly: bool = False
) -> Steps:
    """All places of one type sampled, from those found, then each defect at its best place.

    Where the core of a kernel lies between pixels, each defect may be either of two, and sampling stays
    there: it begins from half a pixel to either side, too. What was found stays where nothing costs less, or
    where noise has a colour, as in `untangled`.

    Parameters
    ----------
    objective : Objective
    best : Iterate
        Of one type, not sampled.
    penalty : Penalty
    seed : int
        Of the sampling.
    roughly : bool
        In few sweeps, and from where the kernel is only.
    """
    if _coloured(objective, best):
        return best
    heat = TRIED if roughly else AGAIN
    other = yield from _drawn_from(objective, in_the_middle(objective, best), penalty, seed, heat)
    judge = Judge.of(objective, best, sampled=True)
    if other is not None and judge.cost(other) < judge.cost(best) - judge.place:
        best = other
    return best if roughly else (yield from _drawn_beside(objective, best, penalty, seed))


def placed(objective: Objective, best: Iterate, penalty: Penalty, seed: int) -> Steps:
    """The places of one type drawn anew for a kernel that stays, if that costs less.

    Parameters
    ----------
    objective : Objective
    best : Iterate
        Of one type, not sampled.
    penalty : Penalty
    seed : int
        Of the sampling.
    """
    if _coloured(objective, best):
        return best
    steps = sample_places(objective, best, penalty.nonnegative, seed, PLACED)
    other, ending = yield from _last(steps, best, penalty)
    if ending is Ending.GIVEN_UP:
        return best
    other = yield from _rearranged(objective, other, penalty, FAIR, alike=True, keep=True)
    return min(best, other, key=Judge.of(objective, best, cautious=False).cost)


def _drawn_beside(objective: Objective, best: Iterate, penalty: Penalty, seed: int) -> Steps:
    """The cheapest of what is sampled from half a pixel to either side of a core between pixels, if it is."""
    judge = Judge.of(objective, best, cautious=False, sampled=True)
    beside, trials = kernels_beside(best.kernels) * TURNS, [best]
    for number, kernels in enumerate(beside, 1):
        begin = replace(best, kernels=kernels)
        other = yield from _drawn_from(objective, begin, penalty, seed + number, BESIDE)
        trials += [] if other is None else [other]
    return min(trials, key=judge.cost)


def _drawn_from(
    objective: Objective, begin: Iterate, penalty: Penalty, seed: int, heat: Heat
) -> Generator[Snapshot, None, Iterate | None]:
    """Sampled, then each defect at its best place; None where sampling is given up."""
    steps = sample_places(objective, begin, penalty.nonnegative, seed, heat)
    best, ending = yield from _last(steps, begin, penalty)
    if ending is Ending.GIVEN_UP:
        return None
    keep = ending is not Ending.SETTLED
    return (yield from _rearranged(objective, best, penalty, FAIR, alike=True, keep=keep))


def drawn(
    objective: Objective, begin: Iterate, penalty: Penalty, seed: int
) -> Generator[Snapshot, None, Iterate | None]:
    """Kernels and maps of a dense field, from rough ones: sampled, then each defect at its best place.

    Where there is little noise, the whitened image is sampled first, and as given only where noise counts and
    the crowd is not great. Kernels that only a mean tells stay. Of several types, which were sorted,
    amplitudes may spread meanwhile. Defects of both signs cancel one another, and it takes a better kernel to
    tell them: they are sampled again from what came out, as long as more than noise is left and that costs
    less.

    None where sampling is given up, see `sample_places`.
    """
    best = yield from _drawn_once(objective, begin, penalty, seed)
    if penalty.nonnegative or best is None:
        return best
    for number in range(1, REPEATED):
        if whiteness(residual_of(objective, best), objective.mask) <= NOISE:
            break
        judge = Judge.of(objective, best, sampled=True)
        other = yield from _drawn_once(objective, best, penalty, seed + number)
        if other is None or judge.cost(other) >= judge.cost(best):
            break
        best = other
    return best


def _drawn_once(
    objective: Objective, begin: Iterate, penalty: Penalty, seed: int
) -> Generator[Snapshot, None, Iterate | None]:
    begin = in_the_middle(objective, begin)
    heat, sharp = AS_GIVEN if len(begin.kernels) == 1 else SEVERAL, sharpened(objective)
    clear = None if sharp is None else (yield from _sampled_sharp(objective, sharp, begin, penalty, seed))
    if sharp is not None and clear is not None:
        if _great(clear):
            return (yield from _settle(objective, clear, penalty))
        if not sharp.noisy:
            return (yield from _rearranged(objective, clear, penalty, FAIR, alike=True))
        begin, heat = clear, AGAIN
    return (yield from _drawn_from(objective, begin, penalty, seed, heat))


def _sampled_sharp(
    objective: Objective, sharp: Sharpened, begin: Iterate, penalty: Penalty, seed: int
) -> Generator[Snapshot, None, Iterate | None]:
    """Sampled in the whitened image, with kernels of the image as given; None where much of that is left."""
    start = fit_kernels(sharp.objective, begin.maps)
    steps = sample_places(sharp.objective, start, penalty.nonnegative, seed, sharp.heat)
    last, ending = yield from _last(steps, begin, penalty, objective)
    if ending is Ending.GIVEN_UP:
        return None
    best = fit_kernels(objective, last.maps)
    left = misfit(residual_of(objective, best))
    return best if left < UNEXPLAINED * objective.field.energy else None


def _last(
    steps: Generator[Iterate, None, Ending], begin: Iterate, penalty: Penalty, seen: Objective | None = None
) -> Sampled:
    """Follow a chain to its end; with `seen`, what is shown has the kernels of that image."""
    last, kernels, number = begin, begin.kernels, 0
    while True:
        try:
            last = next(steps)
        except StopIteration as end:
            return last, end.value
        if seen is not None and number % SEEN == 0:
            kernels = fit_kernels(seen, last.maps, kernels).kernels
        yield Snapshot("sampling", penalty.lam, last if seen is None else replace(last, kernels=kernels))
        number += 1


def _great(found: Iterate) -> bool:
    return bool(np.count_nonzero(found.maps) > GREAT * found.maps.size)


def _told_apart(objective: Objective, best: Iterate, penalty: Penalty) -> Steps:
    for _ in range(LOOSENINGS):
        before = best.maps != 0
        best = yield from _rearranged(objective, best, penalty, FAIR, alike=True)
        if _settled(before, best):
            break
    return best


def _loosened(objective: Objective, best: Iterate, penalty: Penalty, price: float) -> Steps:
    for _ in range(LOOSENINGS):
        before = best.maps != 0
        best = yield from _loosened_once(objective, best, penalty, price)
        if _settled(before, best):
            break
    return best


def _loosened_once(objective: Objective, best: Iterate, penalty: Penalty, price: float) -> Steps:
    weights = loosened(best.maps)
    steps = alternate(objective, best.kernels, best.maps, replace(penalty, weights=weights), LOOSE)
    loose = yield from _followed(steps, penalty, best)
    return (yield from _rearranged(objective, loose, penalty, price, alike=price == FAIR))


def _parted(objective: Objective, best: Iterate, penalty: Penalty) -> Steps:
    """What may be several defects parted, by kernels seen elsewhere or by loosening, as long as that pays."""
    judge = Judge.of(objective, best)
    least = judge.cost(best)
    for _ in range(PARTINGS):
        begin = fitted_elsewhere(objective, best)
        if begin is None:
            break
        trials = [(yield from _rearranged(objective, begin, penalty, FAIR, alike=True))]
        trials.append((yield from _loosened_once(objective, best, penalty, FAIR)))
        other = min(trials, key=judge.cost)
        cost = judge.cost(other)
        if cost > least - WORTH * judge.place:
            break
        best, least = other, cost
    return best


def _resolved(objective: Objective, best: Iterate, penalty: Penalty) -> Steps:
    for _ in range(RESOLUTIONS):
        begin = resolved(objective, best)
        begin = yield from _settle(objective, begin, penalty)
        other = yield from _rearranged(objective, begin, penalty, FAIR, alike=True)
        if _worse(objective, other, best):
            break
        done = _settled(best.maps != 0, other)
        best = other
        if done:
            break
    return best


def _rearranged(
    objective: Objective,
    found: Iterate,
    penalty: Penalty,
    price: float,
    alike: bool = False,
    keep: bool = False,
) -> Steps:
    noise = robust_std(residual_of(objective, found)[objective.mask])
    moves = rearranged(objective, found, noise, penalty.nonnegative, price, alike)
    placed = yield from _followed(moves, penalty, found)
    return (yield from _settle(objective, placed, penalty, keep))


def _settle(objective: Objective, found: Iterate, penalty: Penalty, keep: bool = False) -> Steps:
    """Amplitudes, and kernels unless they are to be kept, on the support that is there."""
    step = fit_maps if keep else alternate
    steps = step(objective, found.kernels, found.maps, frozen(found, penalty), SETTLE)
    return (yield from _followed(steps, penalty, found))


def _followed(steps: Iterator[Iterate], penalty: Penalty, begin: Iterate) -> Steps:
    return (yield from follow(steps, "untangle", penalty.lam, 0, begin))


def _coloured(objective: Objective, found: Iterate) -> bool:
    rest = residual_of(objective, found)
    if whiteness(rest, objective.mask) > SMOOTH:
        return True
    return max(colour(objective, rest, kernel) for kernel in found.kernels) > COLOURED


def _worse(objective: Objective, other: Iterate, best: Iterate) -> bool:
    """Whether misfit and price of the defects together rose by more than one defect's price."""
    rests = [residual_of(objective, it) for it in (other, best)]
    price = CAREFUL * np.log(max(2, objective.mask.sum())) * robust_std(rests[1][objective.mask]) ** 2
    more = np.count_nonzero(other.maps) - np.count_nonzero(best.maps)
    return bool(misfit(rests[0]) - misfit(rests[1]) + price * more > price)


def _settled(before: NDArray[np.bool_], after: Iterate) -> bool:
    return bool(np.count_nonzero(before != (after.maps != 0)) <= SETTLED * np.count_nonzero(before))
