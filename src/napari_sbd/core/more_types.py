"""Further types of defects: sought in what is left, refined together with those found before, and judged."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import spatial

from napari_sbd.core import stages
from napari_sbd.core.atoms import atoms_of, refined_peaks
from napari_sbd.core.descent import Iterate
from napari_sbd.core.domain import Domain
from napari_sbd.core.kernel_fit import fit_kernels
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.parameters import Parameters
from napari_sbd.core.peaks import WEAKEST
from napari_sbd.core.progress import Progress
from napari_sbd.core.quality import best_shift, kernel_similarity, signed_similarity
from napari_sbd.core.single import Single
from napari_sbd.core.sparsity import Levels, crowding
from napari_sbd.core.start import NO_STARTS, salient_patches
from napari_sbd.core.steps import Snapshot, shown_as
from napari_sbd.core.verdict import (
    COINCIDENT,
    FEWEST_DEFECTS,
    MARGIN,
    MOST_TYPES,
    SAME,
    coincidence,
    leaves_noise,
    little_left,
    residual_of,
    strong_peaks,
    worth,
)
from napari_sbd.core.window import shift

Real = NDArray[np.floating]
Steps = Generator[Snapshot, None, Iterate]
Attempt = Generator[Snapshot, None, Iterate | None]

CORRECTS = "it corrects another type's kernel"
UPSIDE_DOWN = "another type upside down"
NOISE = "it explains no more than noise"
FURTHER_STARTS = 4  # of the search for each further type
PROMISE = 0.4  # of its price, that a new kernel must reach in the residual alone
PATCHES = 8  # whose matched filters tell how high noise reaches
LOWEST, HIGHEST = 0.01, 0.7  # penalty over λ_max, of a search in noise
WITHIN = 3.0  # px, of a correction, for the activations that it corrects
SHARED = 0.25  # the same, above which two types may compose a third between them


class MoreTypes:
    """The search for further types, one after the other, until their number is reached or the data say stop.

    Parameters
    ----------
    raw : Objective
        The image, normalised.
    parameters : Parameters
    penalty : Penalty
    levels : Levels
        Penalties of the first type.
    domain : Domain
        Where the first type was sought.
    """

    def __init__(
        self, raw: Objective, parameters: Parameters, penalty: Penalty, levels: Levels, domain: Domain
    ) -> None:
        self.raw = raw
        self.domain = domain
        self.parameters = parameters
        self.penalty = penalty
        self.levels = levels

    def steps(self, best: Iterate, progress: Progress) -> Iterator[Snapshot]:
        """Run; yields after each step, with what is accepted until then; the end is `accepted`."""
        self.accepted = best
        yield from self._sought(progress)
        sampled = self.domain.sampled and self.accepted is best
        if self.domain.overlapping and self.parameters.refinements and not sampled:
            before = self.accepted
            self.accepted = yield from stages.untangle(self.raw, before, self.levels, self.penalty)
            if self.accepted is not before:
                yield from self._sought(progress)

    def _sought(self, progress: Progress) -> Iterator[Snapshot]:
        """Search after search until one brings nothing that is accepted."""
        taken: Iterate | None = self.accepted
        while taken is not None and self._open():
            number = len(self.accepted.kernels) + 1
            attempt = self._attempt(self.accepted, progress)
            taken = yield from shown_as(self.accepted, attempt, f"type {number}, ")
            self.accepted = taken or self.accepted

    def _open(self) -> bool:
        """Whether another search is worth it."""
        wanted, have = self.parameters.types, len(self.accepted.kernels)
        if wanted is not None and have < wanted:
            return True
        if self.domain.sampled and little_left(self.raw, self.accepted):
            return False
        open_ended = wanted is None and have < MOST_TYPES
        return (open_ended or self._signs_open()) and (
            self._composed(self.accepted)
            or self._shared(self.accepted) > SHARED
            or not leaves_noise(self.raw, self.accepted)
        )

    def _attempt(self, best: Iterate, progress: Progress) -> Attempt:
        """Seek one more type; returns all of them together, or None where there is none to be accepted."""
        begins = [best]
        if self._composed(best):
            begins.insert(0, (yield from self._large_alone(best)))
        for begin in begins:
            both = yield from self._candidate(begin, progress)
            taken = None if both is None else (yield from self._judged(best, both, progress))
            if taken is not None:
                return taken
        return None

    def _composed(self, best: Iterate) -> bool:
        """Whether weak activations explain more than noise: a kernel may compose smaller defects of them."""
        size = np.abs(atoms_of(best).amplitudes)
        if len(best.kernels) > 1 or self.domain.whitened or (size >= WEAKEST * size.max(initial=0)).all():
            return False
        strong = self._strong(best)
        weak = len(atoms_of(best).amplitudes) - len(atoms_of(strong).amplitudes)
        return weak > 0 and worth(self.raw, strong, best, 0, weak)

    def _large_alone(self, best: Iterate) -> Steps:
        """The type as its largest defects show it, at stage I's penalty."""
        return (yield from stages.polish(self.raw, self._strong(best), self.penalty.at(self.levels.first)))

    def _strong(self, best: Iterate) -> Iterate:
        """One type's map without what is weak against its largest defect."""
        atoms, maps = atoms_of(best), best.maps.copy()
        size = np.abs(atoms.amplitudes)
        strong = atoms.centres[size >= WEAKEST * size.max(initial=0)]
        active = np.argwhere(maps[0] != 0)
        if len(active):
            apart = np.asarray(spatial.KDTree(strong).query(active)[0]) > WITHIN
            maps[0][tuple(active[apart].T)] = 0
        return replace(best, maps=maps)

    def _judged(self, best: Iterate, both: Iterate, progress: Progress) -> Attempt:
        """What becomes of a candidate: all types together, two merged or split, one more of them, or None."""
        verdict = self._verdict(best, both)
        if verdict == UPSIDE_DOWN:
            merged = yield from self._merged(best, both)
            if not worth(self.raw, best, merged, 0, FEWEST_DEFECTS):
                return None
            self.penalty = replace(self.penalty, nonnegative=False)
            return merged
        if verdict == CORRECTS:
            split = yield from self._split(best, both)
            if split is not None and not self._verdict(best, split):
                return split
            if self.parameters.types is not None:
                return both
            return (yield from self._told_by_one_more(best, both, progress))
        if verdict == NOISE and self._pays_in_white_noise(best, both):
            return (yield from self._told_by_one_more(best, both, progress))
        return None if verdict else both

    def _pays_in_white_noise(self, best: Iterate, both: Iterate) -> bool:
        """Whether only its residual's colour makes it noise: what is left of a third type has one, too."""
        defects = len(strong_peaks(refined_peaks(self.raw, both)[-1]).amplitudes)
        return worth(self.raw, best, both, 1, defects, MARGIN, white=True)

    def _told_by_one_more(self, best: Iterate, both: Iterate, progress: Progress) -> Attempt:
        """Two types that a third explains: side by side they composed it, or what they left of it hid one."""
        if len(both.kernels) >= MOST_TYPES:
            return None
        three = yield from self._candidate(both, progress)
        if three is None or self._verdict(both, three) or self._shared(three) > COINCIDENT:
            return None
        peaks = [strong_peaks(p) for p in atoms_of(three).peaks(three)]
        defects = sum(len(p.amplitudes) for p in peaks[len(best.kernels) :])
        return three if worth(self.raw, best, three, 2, defects, MARGIN) else None

    def _shared(self, found: Iterate) -> float:
        """Largest share of a type's defects at one offset from those of another type."""
        peaks = [strong_peaks(p) for p in atoms_of(found).peaks(found)]
        window = self.raw.convolution.kernel_shape
        others = [peaks[:number] + peaks[number + 1 :] for number in range(len(peaks))]
        return max(coincidence(p, o, window).share for p, o in zip(peaks, others, strict=True))

    def _candidate(self, best: Iterate, progress: Progress) -> Attempt:
        """Seek one more kernel in the residual, and refine all together; None where it promises nothing."""
        rest = self.raw.replaced(-residual_of(self.raw, best))
        # In a crowd what is left is mostly what defects on wrong pixels leave: it is refined if it promises.
        refinements = 0 if self.domain.sampled else 1
        options = replace(
            self.parameters, kernel_size=self.raw.convolution.kernel_shape, refinements=refinements, types=1
        )
        options = replace(options, starts=min(options.starts, FURTHER_STARTS), kept=1)
        if not self.domain.whitened and not self.levels.fixed:
            options = self._above_noise(rest, options)
        single = Single(rest, options, self.penalty, NO_STARTS, automatic=False, like=self.domain)
        progress.extend([*single.plan(), self._joint_cost()])
        new = yield from single.steps(progress)
        if self.parameters.types is None and not self._promising(rest, new):
            progress.finish_phase()
            return None
        both = Iterate(
            np.concatenate([best.kernels, new.kernels]),
            np.concatenate([best.maps, new.maps]),
            np.inf,
        )
        penalty = self.penalty.at(self.levels.last)
        both = yield from stages.polish(self.raw, both, penalty)
        both = yield from self._refined(both, self.penalty)
        progress.finish_phase()
        return both

    def _above_noise(self, rest: Objective, options: Parameters) -> Parameters:
        """With penalties above what noise alone reaches, as the matched filters of patches tell."""
        window = self.raw.convolution.kernel_shape
        rng = np.random.default_rng(options.seed)
        patches = salient_patches(rest.data, rest.mask, window, PATCHES, rng)
        level = float(np.clip(crowding(rest, patches, self.penalty.nonnegative), LOWEST, HIGHEST))
        return replace(options, lam_first=max(options.lam_first, level), lam_last=level)

    def _signs_open(self) -> bool:
        """Whether activations may still turn out to have both signs."""
        return self.parameters.activations == "automatic" and self.penalty.nonnegative

    def _merged(self, best: Iterate, both: Iterate) -> Steps:
        """Make one signed type of two that are each other upside down."""
        *others, new = both.kernels
        number = int(np.argmax([kernel_similarity(new, other) for other in others]))
        maps = both.maps[:-1].copy()
        offset = best_shift(new, others[number])
        maps[number] -= shift(both.maps[-1], offset)
        begin = Iterate(both.kernels[:-1], maps, np.inf)
        free = replace(self.penalty, nonnegative=False)
        begin = yield from stages.polish(self.raw, begin, free.at(self.levels.last))
        return (yield from self._refined(begin, free))

    def _split(self, best: Iterate, both: Iterate) -> Attempt:
        """Divide a type into its defects that a correction sits on and the others.

        One kernel that stands for two types is their mixture, and the next type found is the difference, at
        one offset from the defects of one of the two.
        """
        window = self.raw.convolution.kernel_shape
        peaks = [strong_peaks(p) for p in refined_peaks(self.raw, both)]
        place = coincidence(peaks[-1], peaks[:-1], window)
        corrected = peaks[-1].centres - place.offset + [k // 2 for k in window]
        host = best.maps[place.host]
        active = np.argwhere(host != 0)
        distance = np.asarray(spatial.KDTree(corrected).query(active)[0])
        apart = np.zeros_like(host)
        theirs = tuple(active[distance <= WITHIN].T)
        apart[theirs] = host[theirs]
        maps = np.concatenate([best.maps, apart[None]])
        maps[place.host] -= apart
        if not maps.any(axis=(1, 2)).all():
            return None
        begin = yield from stages.polish(
            self.raw, fit_kernels(self.raw, maps), self.penalty.at(self.levels.last)
        )
        return (yield from self._refined(begin, self.penalty))

    def _refined(self, begin: Iterate, penalty: Penalty) -> Steps:
        rounds = self.parameters.refinements
        return (yield from stages.refine(self.raw, begin, self.levels, penalty, rounds))

    def _promising(self, rest: Objective, new: Iterate) -> bool:
        """Whether a kernel found in the residual alone reaches part of its price."""
        empty = replace(new, maps=np.zeros_like(new.maps))
        defects = sum(len(strong_peaks(p).amplitudes) for p in atoms_of(new).peaks(new))
        return defects >= FEWEST_DEFECTS and worth(rest, empty, new, 1, defects, PROMISE)

    def _joint_cost(self) -> float:
        steps = stages.POLISH.steps + self.parameters.refinements * stages.REFINE.steps
        return steps * float(np.prod(self.raw.convolution.map_shape))

    def _verdict(self, best: Iterate, both: Iterate) -> str:
        """Why the last type of `both` is not accepted; empty where it is."""
        *others, new = both.kernels
        window = self.raw.convolution.kernel_shape
        if max(kernel_similarity(new, other) for other in others) > SAME:
            nearest = max(others, key=lambda other: kernel_similarity(new, other))
            flipped = signed_similarity(new, nearest) < 0 and self._signs_open()
            return UPSIDE_DOWN if flipped else "a copy of another type"
        if len(others) == self.parameters.types:
            return "as many types as asked for"
        peaks = [strong_peaks(p) for p in refined_peaks(self.raw, both)]
        if min(len(p.amplitudes) for p in peaks) < FEWEST_DEFECTS:
            return "too few defects"
        asked = self.parameters.types is not None
        if not asked and not worth(self.raw, best, both, 1, len(peaks[-1].amplitudes), MARGIN):
            return NOISE
        if coincidence(peaks[-1], peaks[:-1], window).share > COINCIDENT:
            return CORRECTS
        return ""
