"""Several types at once: from the mixture that one kernel is, by sorting, with as many types as pay."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np

from napari_sbd.core import stages
from napari_sbd.core.alternation import alternate, fit_maps
from napari_sbd.core.atoms import atoms_of
from napari_sbd.core.descent import Iterate, Schedule
from napari_sbd.core.domain import Domain
from napari_sbd.core.noise import whiteness
from napari_sbd.core.objective import Objective, Penalty, misfit
from napari_sbd.core.progress import Progress
from napari_sbd.core.quality import best_shift, signed_similarity
from napari_sbd.core.resize import resized
from napari_sbd.core.single import Single
from napari_sbd.core.sorting import sort_by_looks, strong_defects
from napari_sbd.core.sparsity import Levels, largest_penalty
from napari_sbd.core.sparsity import levels as levels_of
from napari_sbd.core.stages import REFINE
from napari_sbd.core.steps import Snapshot, Steps, follow, shown_as
from napari_sbd.core.symmetry import similarity_of
from napari_sbd.core.verdict import (
    ALIKE,
    MOST_TYPES,
    SAME,
    WHITE,
    are_types_of_their_own,
    colour,
    description,
    leaves_noise,
    only_misplaced,
    residual_of,
    strong_peaks,
)
from napari_sbd.core.window import shift

Attempt = Generator[Snapshot, None, list[Iterate]]

TOLD = 1.04  # the same as `NOISY` of sampled places, up to which one type is all: two left 1.07 and more
ALL = 1.02  # the same of sampled types, up to which no further one is tried
HIGH = 0.2  # of λ_max: for whose map a mixture puts one activation on most defects
FALLING = (0.2, 0.1, 0.05)  # of λ_max, at which sorted types are polished
MAPS, POLISH = Schedule(40, 1e-3), Schedule(30, 1e-3)
# Deviation of what types leave over that of its pixels' noise, up to which it may be all types (unless one
# alone leaves less): more kernels always explain more of what is of another kind. And before refinement.
NOISY, HOPEFUL = 1.25, 1.4
# Of what is left besides noise, with one type more, up to which that is sampled.
PROMISING = 0.7
TRIED = 3  # numbers of types, as a rule
GROUPINGS = 3  # tries of sorting, where it leaves a type all but empty
# Numbers of types that follow one another and bring copies, after which no further one is tried.
MORE = 2
DRAWS, ROUNDS = 2, 3  # numbers of types that are sampled, and how often each, at most


def told_at_once(first: Single, best: Iterate, penalty: Penalty, progress: Progress) -> Steps:
    """All types of a mixture, on the image as given, if they describe it in less; else what was found.

    The window and the penalties of `first` become those of all types.

    Parameters
    ----------
    first : Single
        The search for the first type.
    best : Iterate
        What it found.
    penalty : Penalty
    progress : Progress
    """
    wanted, raw, levels = first.parameters.types, first.raw, first.levels
    assert levels is not None
    if wanted == 1 or not first.parameters.refinements or _all_told(first, best):
        return best
    rounds = first.parameters.refinements
    pixels = float(np.prod(raw.convolution.map_shape))
    progress.extend([(MAPS.steps + TRIED * len(FALLING) * POLISH.steps + rounds * REFINE.steps) * pixels])
    begun = yield from shown_as(best, _begun(first.domain, best, penalty))
    attempt = sorted_types(begun, penalty, wanted, first.parameters.seed)
    trials, alone = (yield from shown_as(best, attempt)), _Seen(best, raw, levels, first.domain.sampled)
    chosen, crowd, draws = alone, first.domain.whitened, DRAWS
    if trials and crowd:
        one = yield from shown_as(best, _polished(begun.seen, begun.mixture, penalty, begun.largest))
        before = yield from shown_as(best, _on_the_whole(first, one, penalty))
    for trial in trials:
        finished = polished = yield from shown_as(best, _on_the_whole(first, trial, penalty))
        # What several types show one more shows far better; what differs from place to place, little.
        if crowd and not polished.explains_more_than(before):
            break
        before = polished
        if crowd or polished.leaves <= HOPEFUL:
            finished = yield from shown_as(best, _refined(first, polished, penalty))
        if crowd and draws and finished.leaves > TOLD:
            draws -= 1
            finished = yield from shown_as(best, _drawn(first, polished, finished, alone, penalty))
        most = WHITE if finished.sampled else TOLD if crowd and wanted is None else NOISY
        if finished.leaves <= min(most, alone.leaves) and are_types_of_their_own(finished.found):
            chosen = finished if finished.is_better_than(chosen) else chosen
        if chosen.sampled and chosen is not alone and chosen.leaves <= ALL:
            break
    progress.finish_phase()
    if chosen is not alone:
        first.raw, first.levels = chosen.objective, chosen.levels
        first.domain = replace(first.domain, sampled=chosen.sampled)
    return chosen.found


def _all_told(first: Single, best: Iterate) -> bool:
    """Whether starts told several, or nothing but noise is left, and no number of types is given.

    In a crowd some defects may be misplaced, and stand out.
    """
    if len(best.kernels) > 1 or first.parameters.types is not None:
        return len(best.kernels) > 1
    if first.domain.whitened and only_misplaced(first.raw, best):
        return True
    if first.domain.sampled:
        return first.raw.of_residual(residual_of(first.raw, best)).whiteness <= TOLD
    return leaves_noise(first.raw, best)


@dataclass(frozen=True)
class _Seen:
    """What was found, seen with its window and penalties, and whether its places were sampled."""

    found: Iterate
    objective: Objective
    levels: Levels
    sampled: bool = False

    @property
    def leaves(self) -> float:
        """Deviation of what is left over that of its pixels' noise."""
        return whiteness(residual_of(self.objective, self.found), self.objective.mask)

    def explains_more_than(self, other: _Seen) -> bool:
        """Whether it leaves far less besides noise."""
        left, others = (misfit(residual_of(one.objective, one.found)) for one in (self, other))
        noise = left / self.leaves**2
        return left - noise <= PROMISING * (others - noise)

    def is_better_than(self, other: _Seen) -> bool:
        """Whether it describes the image in less."""
        rest = residual_of(self.objective, self.found)
        power = max(colour(self.objective, rest, kernel) for kernel in self.found.kernels)
        own, others = (_description(one.objective, one.found, power) for one in (self, other))
        return own < others


def joined_alike(first: Single, found: Iterate, penalty: Penalty) -> Steps:
    """The types without copies of another, and without those alike if one alone describes the image in less.

    Parameters
    ----------
    first : Single
        The search for the first type.
    found : Iterate
        Of several types, on the image as given.
    penalty : Penalty
    """
    assert first.levels is not None
    chosen = _Seen(found, first.raw, first.levels)
    similarity = similarity_of(not penalty.nonnegative)
    while len(chosen.found.kernels) > 1:
        kernels, maps = chosen.found.kernels, chosen.found.maps
        pairs = [(n, m) for n in range(len(kernels)) for m in range(n)]
        alike = [similarity(kernels[n], kernels[m]) for n, m in pairs]
        gone, kept = pairs[int(np.argmax(alike))]
        if max(alike) <= ALIKE:
            break
        sums = maps.copy()
        sign = np.sign(signed_similarity(kernels[gone], kernels[kept]))
        sums[kept] += sign * shift(maps[gone], best_shift(kernels[gone], kernels[kept]))
        fewer = replace(chosen.found, kernels=np.delete(kernels, gone, 0), maps=np.delete(sums, gone, 0))
        polished = yield from shown_as(chosen.found, _polished_at(first, first.raw, fewer, penalty))
        joined = yield from shown_as(chosen.found, _refined(first, polished, penalty))
        if max(alike) <= SAME and not joined.is_better_than(chosen):
            break
        chosen = joined
    return chosen.found


def _on_the_whole(first: Single, found: Iterate, penalty: Penalty) -> Generator[Snapshot, None, _Seen]:
    """What was found in a region, on the image as given in a window that fits, polished."""
    domain, raw = first.domain, first.raw
    kernels, maps = domain.in_slices(found.kernels), domain.embed(found.maps, raw)
    both = replace(found, kernels=kernels, maps=maps)
    if maps.shape != found.maps.shape:
        here = penalty.at(FALLING[-1] * largest_penalty(raw, kernels, penalty.nonnegative))
        both = yield from follow(fit_maps(raw, kernels, maps, here, MAPS), "sorting", here.lam, 0, both)
    if first.automatic:
        raw, both = resized(raw, both, most=first.most)
    return (yield from _polished_at(first, raw, both, penalty))


def _polished_at(
    first: Single, raw: Objective, found: Iterate, penalty: Penalty
) -> Generator[Snapshot, None, _Seen]:
    """Polished at the penalty that these kernels ask for."""
    options = first.parameters
    largest = largest_penalty(raw, found.kernels, penalty.nonnegative)
    levels = levels_of(raw, found.kernels, largest, options.lam_first, options.lam_last)
    return _Seen((yield from stages.polish(raw, found, penalty.at(levels.last))), raw, levels)


def _refined(first: Single, seen: _Seen, penalty: Penalty) -> Generator[Snapshot, None, _Seen]:
    rounds = first.parameters.refinements
    found = yield from stages.refine(seen.objective, seen.found, seen.levels, penalty, rounds)
    return replace(seen, found=found, sampled=False)


def _drawn(
    first: Single, polished: _Seen, refined: _Seen, alone: _Seen, penalty: Penalty
) -> Generator[Snapshot, None, _Seen]:
    """Polished types sampled, where that describes the image in less than what they were refined to.

    From better kernels it ends sooner, and elsewhere: where it is better than one type alone, it is repeated
    as long as more than noise is left.
    """
    best, begin = refined, polished.found
    for number in range(ROUNDS):
        seed = first.parameters.seed + number
        draw = stages.draw(polished.objective, begin, polished.levels, penalty, seed)
        found = yield from draw
        drawn = None if found is None else replace(polished, found=found, sampled=True)
        if drawn is None or not drawn.is_better_than(best):
            break
        best, begin = drawn, drawn.found
        if best.leaves <= ALL or not best.is_better_than(alone):
            break
    return best


def _description(seen: Objective, found: Iterate, power: float = 1.0) -> float:
    defects = sum(len(strong_peaks(p).amplitudes) for p in atoms_of(found).peaks(found))
    return description(seen, found, defects, power)


@dataclass(frozen=True)
class _Begun:
    """The region as given, one type there with a map of strong defects only, and λ_max."""

    seen: Objective
    mixture: Iterate
    largest: float


def _begun(domain: Domain, best: Iterate, penalty: Penalty) -> Generator[Snapshot, None, _Begun]:
    """From one type on the image as given."""
    seen = domain.given_alone((best.kernels.shape[-2], best.kernels.shape[-1]))
    empty = np.zeros((1, *seen.convolution.map_shape), best.maps.dtype)
    begin = replace(best, kernels=domain.in_part(best.kernels), maps=empty)
    largest = largest_penalty(seen, begin.kernels, penalty.nonnegative)
    here = penalty.at(HIGH * largest)
    steps = fit_maps(seen, begin.kernels, begin.maps, here, MAPS)
    return _Begun(seen, (yield from follow(steps, "sorting", here.lam, 0, begin)), largest)


def sorted_types(begun: _Begun, penalty: Penalty, types: int | None, seed: int) -> Attempt:
    """Kernels and maps inside the region, of each number of types that may be right; often of one.

    In a crowd more types pay before they are refined, and no longer after.

    Parameters
    ----------
    begun : _Begun
        The mixture that one type is.
    penalty : Penalty
    types : int or None
        How many are wanted; None: as long as one more describes the image in less.
    seed : int
    """
    seen, begin, largest = begun.seen, begun.mixture, begun.largest
    defects = strong_defects(begin)
    found, least, since = [], np.inf, 0
    for number in [types] if types is not None else range(2, MOST_TYPES + 1):
        groupings = (
            sort_by_looks(seen, begin, defects, number, penalty.nonnegative, seed + turn)
            for turn in range(GROUPINGS)
        )
        trial = next((one for one in groupings if one is not None), None)
        if trial is None:
            break
        trial = yield from _polished(seen, trial, penalty, largest)
        cost = _description(seen, trial)
        if not cost < least:
            break
        least = cost
        # Too few types may share what a further one shows, and still be on the way to all.
        since = 0 if are_types_of_their_own(trial) else since + 1
        if since == 0:
            found.append(trial)
        elif found and since == MORE:
            break
    return found


def _polished(seen: Objective, trial: Iterate, penalty: Penalty, largest: float) -> Steps:
    for share in FALLING:
        here = penalty.at(share * largest)
        steps = alternate(seen, trial.kernels, trial.maps, here, POLISH)
        trial = yield from follow(steps, "sorting", here.lam, 0, trial)
    return trial
