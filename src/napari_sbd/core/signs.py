"""Whether defects of both signs occur, once the kernel is known from those of one sign."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from napari_sbd.core import stages
from napari_sbd.core.atoms import refined_peaks
from napari_sbd.core.descent import Iterate
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.sparsity import Levels
from napari_sbd.core.stages import Snapshot
from napari_sbd.core.verdict import FEWEST_DEFECTS, residual_of, strong_peaks, worth

STRONG = 0.5  # of a typical defect's amplitude, for one of the other sign

Verdict = Generator[Snapshot, None, tuple[Iterate, bool]]


def both_signs(objective: Objective, best: Iterate, levels: Levels, penalty: Penalty, rounds: int) -> Verdict:
    """Let activations be negative where the residual asks for it; returns the better answer and its kind.

    A field of both signs leaves, in the residual of a nonnegative map, the kernel upside down; only where
    it does is the signed map solved, and it is accepted if it explains more than its defects cost.
    """
    if not _asked_for(objective, best):
        return best, False
    free = Penalty(penalty.lam, penalty.mu, nonnegative=False)
    begin = yield from stages.polish(objective, best, free.at(levels.last))
    signed = yield from stages.refine(objective, begin, levels, free, rounds)
    peaks = [strong_peaks(p) for p in refined_peaks(objective, signed)]
    counts = [int((p.amplitudes * np.sign(p.amplitudes.sum()) < 0).sum()) for p in peaks]
    if sum(counts) < FEWEST_DEFECTS or not worth(objective, best, signed, 0, sum(counts)):
        return best, False
    return signed, True


def _asked_for(objective: Objective, best: Iterate) -> bool:
    rest = objective.replaced(-residual_of(objective, best))
    for kernel, map_ in zip(best.kernels, best.maps, strict=True):
        typical = float(np.median(map_[map_ >= STRONG * map_.max()])) if map_.max() > 0 else np.inf
        correlation = rest.correlation(kernel[None])[0] / np.maximum(
            objective.visible_share(kernel[None])[0], 0.5
        )
        if (correlation < -STRONG * typical).any():
            return True
    return False
