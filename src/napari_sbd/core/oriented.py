"""Further types where shapes have orientations: sought in what is left, each in all its orientations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from scipy import spatial

from napari_sbd.core import stages
from napari_sbd.core.atoms import atoms_of, refined_peaks
from napari_sbd.core.descent import Iterate
from napari_sbd.core.domain import Domain
from napari_sbd.core.more_types import (
    FURTHER_STARTS,
    PROMISE,
    WITHIN,
    Attempt,
    MoreTypes,
    Steps,
)
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.parameters import Parameters
from napari_sbd.core.progress import Progress
from napari_sbd.core.quality import kernel_similarity
from napari_sbd.core.single import Single
from napari_sbd.core.sparsity import Levels
from napari_sbd.core.start import NO_STARTS
from napari_sbd.core.steps import Snapshot, shown_as
from napari_sbd.core.symmetry import Ties, by_type
from napari_sbd.core.tied_moves import one_of_alike
from napari_sbd.core.verdict import (
    COINCIDENT,
    FEWEST_DEFECTS,
    MARGIN,
    MOST_TYPES,
    SAME,
    coincidence,
    leaves_noise,
    residual_of,
    strong_peaks,
    worth,
)

LARGE = 0.6  # of the largest amplitudes, below which defects may compose another shape


class OrientedTypes(MoreTypes):
    """The search for further types, as `MoreTypes`, of shapes that have orientations.

    Parameters
    ----------
    raw, parameters, penalty, levels, domain
        See `MoreTypes`; the penalty says what is tied of the first type.
    group : Ties
        All orientations that a shape may have.
    """

    def __init__(
        self,
        raw: Objective,
        parameters: Parameters,
        penalty: Penalty,
        levels: Levels,
        domain: Domain,
        group: Ties,
    ) -> None:
        super().__init__(raw, parameters, penalty, levels, domain)
        self.group = group

    def steps(self, best: Iterate, progress: Progress) -> Iterator[Snapshot]:
        """Run; yields after each step, with what is accepted until then; the end is `accepted`."""
        self.accepted = best
        while self._open():
            attempt = self._attempt(self.accepted, progress)
            found = yield from shown_as(self.accepted, attempt, f"type {self._types + 1}, ")
            if found is None:
                break
            self.accepted = found

    @property
    def _ties(self) -> Ties:
        assert self.penalty.ties is not None
        return self.penalty.ties

    @property
    def _types(self) -> int:
        return len(self._ties.first)

    def _open(self) -> bool:
        wanted = self.parameters.types
        if wanted is not None:
            return self._types < wanted
        if self._types >= MOST_TYPES:
            return False
        return self._composed(self.accepted) or not leaves_noise(self.raw, self.accepted)

    def _composed(self, best: Iterate) -> bool:
        """Whether weak activations of one shape explain more than noise: they may compose another one."""
        if self._types > 1 or self.domain.whitened:
            return False
        strong = self._strong(best)
        weak = len(atoms_of(best).amplitudes) - len(atoms_of(strong).amplitudes)
        return weak > 0 and worth(self.raw, strong, best, 0, weak)

    def _large_alone(self, best: Iterate) -> Steps:
        """The shape as its largest defects show it."""
        penalty = self.penalty.at(LARGE * self.levels.largest)
        return (yield from stages.polish(self.raw, self._strong(best), penalty))

    def _strong(self, best: Iterate) -> Iterate:
        """The maps without what is weak against the largest defects."""
        atoms, maps = atoms_of(best), np.zeros_like(best.maps)
        size = np.abs(atoms.amplitudes)
        large = size >= LARGE * np.sort(size)[-min(FEWEST_DEFECTS, len(size)) :][:1]
        for number, map_ in enumerate(best.maps):
            centres, active = atoms.centres[large & (atoms.kinds == number)], np.argwhere(map_ != 0)
            if len(centres) and len(active):
                near = np.asarray(spatial.KDTree(centres).query(active)[0]) <= WITHIN
                kept = tuple(active[near].T)
                maps[number][kept] = map_[kept]
        return replace(best, maps=maps)

    def _attempt(self, best: Iterate, progress: Progress) -> Attempt:
        """Seek one more shape; returns all of them together, or None where there is none."""
        begins = [best]
        if self._composed(best):
            begins.insert(0, (yield from self._large_alone(best)))
        for begin in begins:
            found = yield from self._one_more(best, begin, progress)
            if found is not None:
                return found
        return None

    def _one_more(self, best: Iterate, begin: Iterate, progress: Progress) -> Attempt:
        """Seek one more shape in what `begin` leaves, and refine all together; None unless it is accepted."""
        rest = self.raw.replaced(-residual_of(self.raw, begin))
        options = replace(self.parameters, kernel_size=self.raw.convolution.kernel_shape, refinements=1)
        options = replace(options, starts=min(options.starts, FURTHER_STARTS), kept=1)
        if not self.domain.whitened and not self.levels.fixed:
            options = self._above_noise(rest, options)
        penalty = replace(self.penalty, ties=self.group)
        single = Single(rest, options, penalty, NO_STARTS, automatic=False, like=self.domain)
        progress.extend([*single.plan(), self._joint_cost()])
        new = yield from single.steps(progress)
        assert single.penalty.ties is not None
        both = Iterate(
            np.concatenate([begin.kernels, new.kernels]), np.concatenate([begin.maps, new.maps]), np.inf
        )
        penalty = replace(self.penalty, ties=self._ties.joined(single.penalty.ties))
        if self.parameters.types is None and not self._promises(rest, new, single.penalty.ties):
            progress.finish_phase()
            return None
        both = yield from stages.polish(self.raw, both, penalty.at(self.levels.last))
        both = yield from self._refined(both, penalty)
        both, merged = one_of_alike(both, penalty)
        if merged is not penalty:
            both, penalty = (yield from stages.polish(self.raw, both, merged.at(self.levels.last))), merged
        progress.finish_phase()
        if not self._accepts(best, both, penalty.ties):
            return None
        self.penalty = penalty
        return both

    def _promises(self, rest: Objective, new: Iterate, ties: Ties) -> bool:
        """Whether a shape found in the residual alone reaches part of its price."""
        empty = replace(new, maps=np.zeros_like(new.maps))
        [peaks] = by_type(atoms_of(new).peaks(new), ties)
        defects = len(strong_peaks(peaks).amplitudes)
        return defects >= FEWEST_DEFECTS and worth(rest, empty, new, 1, defects, PROMISE)

    def _accepts(self, best: Iterate, both: Iterate, ties: Ties | None) -> bool:
        """Whether the last type of `both` is one of its own, and explains more than noise."""
        assert ties is not None
        new = ties.first[-1]
        if max(kernel_similarity(both.kernels[new], other) for other in both.kernels[:new]) > SAME:
            return False
        *others, own = (strong_peaks(p) for p in by_type(refined_peaks(self.raw, both), ties))
        if len(own.amplitudes) < FEWEST_DEFECTS:
            return False
        if self.parameters.types is None and not worth(self.raw, best, both, 1, len(own.amplitudes), MARGIN):
            return False
        return coincidence(own, others, self.raw.convolution.kernel_shape).share <= COINCIDENT
