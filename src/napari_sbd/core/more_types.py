"""Further types of defects: sought in what is left, refined together with those found before, and judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core import stages
from napari_sbd.core.atoms import refined_peaks
from napari_sbd.core.descent import Iterate
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.parameters import Parameters
from napari_sbd.core.progress import Progress
from napari_sbd.core.quality import best_shift, kernel_similarity, signed_similarity
from napari_sbd.core.single import Single
from napari_sbd.core.sparsity import Levels
from napari_sbd.core.stages import Snapshot
from napari_sbd.core.start import NO_STARTS
from napari_sbd.core.verdict import (
    FEWEST_DEFECTS,
    coincidence,
    looks_like_noise,
    residual_of,
    strong_peaks,
    worth,
)
from napari_sbd.core.window import shift

Real = NDArray[np.floating]

UPSIDE_DOWN = "another type upside down"
MOST_TYPES = 6  # that are sought when their number is left to the data
SAME = 0.9  # similarity of two kernels above which they are one
COINCIDENT = 0.5  # share of a type's defects on another's, above which it corrects that one's kernel


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
    """

    def __init__(self, raw: Objective, parameters: Parameters, penalty: Penalty, levels: Levels) -> None:
        self.raw = raw
        self.parameters = parameters
        self.penalty = penalty
        self.levels = levels
        self.verdicts: list[str] = []

    def steps(self, best: Iterate, progress: Progress) -> Iterator[Snapshot]:
        """Run; yields after each step, with what is accepted until then; the end is `accepted`."""
        wanted = self.parameters.types
        self.accepted = best
        while len(best.kernels) < (wanted or MOST_TYPES) or self._signs_open():
            if (wanted is None or len(best.kernels) >= wanted) and self._nothing_left(best):
                break
            number = len(best.kernels) + 1
            found: list[Iterate] = []
            for snapshot in self._candidate(best, progress, found):
                stage = f"type {number}, {snapshot.stage}"
                yield replace(snapshot, stage=stage, iterate=best)
            verdict = self._verdict(best, found[0])
            self.verdicts.append(verdict)
            if verdict == UPSIDE_DOWN:
                for snapshot in self._merged(best, found):
                    yield replace(snapshot, stage="both signs", iterate=best)
                if not worth(self.raw, best, found[-1], 0, FEWEST_DEFECTS):
                    break
                self.penalty = replace(self.penalty, nonnegative=False)
            elif verdict:
                break
            best = self.accepted = found[-1]

    def _candidate(self, best: Iterate, progress: Progress, found: list[Iterate]) -> Iterator[Snapshot]:
        """Seek one more kernel in the residual, and refine all together."""
        rest = self.raw.replaced(-residual_of(self.raw, best))
        options = replace(self.parameters, kernel_size=self.raw.convolution.kernel_shape, refinements=1)
        single = Single(rest, options, self.penalty, NO_STARTS, automatic=False)
        progress.extend([*single.plan(), self._joint_cost()])
        new = yield from single.steps(progress)
        both = Iterate(
            np.concatenate([best.kernels, new.kernels]),
            np.concatenate([best.maps, new.maps]),
            best.bias,
            np.inf,
        )
        penalty = self.penalty.at(self.levels.last)
        both = yield from stages.polish(self.raw, both, penalty)
        both = yield from stages.refine(
            self.raw, both, self.levels, self.penalty, self.parameters.refinements
        )
        progress.finish_phase()
        found.append(both)

    def _signs_open(self) -> bool:
        """Whether activations may still turn out to have both signs."""
        return self.parameters.activations == "automatic" and self.penalty.nonnegative

    def _merged(self, best: Iterate, found: list[Iterate]) -> Iterator[Snapshot]:
        """Make one signed type of two that are each other upside down."""
        *others, new = found[0].kernels
        number = int(np.argmax([kernel_similarity(new, other) for other in others]))
        maps = found[0].maps[:-1].copy()
        offset = best_shift(new, others[number])
        maps[number] -= shift(found[0].maps[-1], offset)
        begin = Iterate(found[0].kernels[:-1], maps, best.bias, np.inf)
        free = replace(self.penalty, nonnegative=False)
        begin = yield from stages.polish(self.raw, begin, free.at(self.levels.last))
        rounds = self.parameters.refinements
        found.append((yield from stages.refine(self.raw, begin, self.levels, free, rounds)))

    def _nothing_left(self, best: Iterate) -> bool:
        window = self.raw.convolution.kernel_shape
        return looks_like_noise(residual_of(self.raw, best), self.raw.mask, window)

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
        if self.parameters.types is not None:
            return ""
        if coincidence(peaks[-1], peaks[:-1], window) > COINCIDENT:
            return "it corrects another type's kernel"
        if not worth(self.raw, best, both, 1, len(peaks[-1].amplitudes)):
            return "it explains no more than noise"
        return ""
