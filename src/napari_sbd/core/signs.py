"""Whether defects of both signs occur, once the kernel is known from those of one sign."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np

from napari_sbd.core import stages
from napari_sbd.core.atoms import refined_peaks
from napari_sbd.core.descent import Iterate
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.peaks import WEAKEST, Peaks
from napari_sbd.core.progress import Progress
from napari_sbd.core.single import Single
from napari_sbd.core.sites import Sites
from napari_sbd.core.steps import Snapshot, shown_as
from napari_sbd.core.verdict import (
    FEWEST_DEFECTS,
    all_explained,
    description,
    only_misplaced,
    strong_peaks,
    worth,
)

TELLING = 1.02  # ratio of what stage I explains with both signs and with one, above which both are tried
SURE = 1.15  # the same in crowds: those of one sign reach 1.14 as a rule, of both 1.2 to 1.9
LEAST_SHARE = 0.5  # of an atom's energy inside the frame, that is taken for its share
STRONG = 0.5  # of a typical defect's amplitude, for one of the other sign

Steps = Generator[Snapshot, None, Iterate]
Verdict = Generator[Snapshot, None, tuple[Iterate, Penalty]]


def both_signs(first: Single, best: Iterate, progress: Progress) -> Verdict:
    """Let activations be negative where the image asks for it; returns the better answer and its penalty.

    A field of both signs leaves, in the residual of a nonnegative map, the kernel upside down, or else that
    kernel was bent to suit both; then stage I with both signs explains much more. Only then is the signed map
    solved, and it is accepted if it explains more than its defects cost, or if in a crowd that gain is sure
    and it describes the image in less. Where nothing but noise is left, or what sampling leaves, there is
    nothing more to explain.
    """
    objective, free, sampled = first.raw, replace(first.penalty, nonnegative=False), False
    if all_explained(objective, best, TELLING - 1):
        return best, first.penalty
    gain = TELLING
    if _asked_for(objective, best):
        signed = yield from _from_here(first, best, free)
    elif first.domain.sampled and only_misplaced(objective, best):
        return best, first.penalty
    else:
        gain = yield from shown_as(best, first.search.gain_of_signs())
        if gain < (SURE if first.domain.sampled else TELLING):
            return best, first.penalty
        anew = _anew(first, free, progress)
        signed = yield from shown_as(best, anew.steps(progress))
        free, sampled = anew.penalty, anew.domain.sampled
    count = sum(_upside_down(p) for p in refined_peaks(objective, signed))
    if count < FEWEST_DEFECTS:
        return best, first.penalty
    # In a crowd the other sign may make up for misplaced defects, and bring others of both.
    more = int(np.count_nonzero(signed.maps) - np.count_nonzero(best.maps))
    sure = first.domain.whitened and gain >= SURE and _cheaper(objective, signed, best)
    if not (sure or worth(objective, best, signed, 0, max(count, more))):
        return best, first.penalty
    first.domain = replace(first.domain, sampled=sampled)
    return signed, free


def _cheaper(objective: Objective, signed: Iterate, best: Iterate) -> bool:
    """Whether both signs describe the image in less than one does."""
    numbers = [
        sum(len(strong_peaks(p).amplitudes) for p in refined_peaks(objective, it)) for it in (signed, best)
    ]
    own, others = (description(objective, it, n) for it, n in zip((signed, best), numbers, strict=True))
    return own < others


def _upside_down(peaks: Peaks) -> int:
    """How many defects have the rarer sign; weak ones may be what a kernel composes other defects of."""
    size = np.sort(np.abs(peaks.amplitudes))[::-1][:FEWEST_DEFECTS]
    strong = np.abs(peaks.amplitudes) >= WEAKEST * size.min(initial=np.inf)
    amplitudes = strong_peaks(peaks.chosen(strong)).amplitudes
    return int((amplitudes * np.sign(amplitudes.sum()) < 0).sum())


def _from_here(first: Single, best: Iterate, free: Penalty) -> Steps:
    levels = first.levels
    assert levels is not None
    begin = yield from stages.polish(first.raw, best, free.at(levels.last))
    rounds = first.parameters.refinements
    return (yield from stages.refine(first.raw, begin, levels, free, rounds))


def _anew(first: Single, free: Penalty, progress: Progress) -> Single:
    """The same search of one type with both signs."""
    options = replace(first.parameters, kernel_size=first.raw.convolution.kernel_shape, types=1)
    single = Single(first.raw, options, free, first.starts, automatic=False)
    progress.extend(single.plan())
    return single


def _asked_for(objective: Objective, best: Iterate) -> bool:
    """Whether the residual holds the kernel upside down, as strongly as half a typical defect."""
    sites = Sites.of(best.maps)
    sizes = [sites.read(best.maps)[sites.kinds == kind] for kind in range(len(best.maps))]
    typical = np.array(
        [np.median(x[x >= STRONG * x.max()]) if len(x) and x.max() > 0 else np.inf for x in sizes]
    )
    limit = (-STRONG * typical[:, None, None]).astype(best.maps.dtype)
    places = []
    for _, around, slope in objective.slopes(best.kernels, best.maps):
        below = Sites.of(slope < limit * LEAST_SHARE)
        found = Sites(below.kinds, below.rows + around.rows.start, below.cols + around.cols.start)
        places.append((found, below.read(slope)))
    if not any(len(found) for found, _ in places):
        return False
    share = np.maximum(objective.visible_share(best.kernels), LEAST_SHARE)
    return any(
        bool((values < limit[found.kinds, 0, 0] * found.read(share)).any()) for found, values in places
    )
