"""A recovery beside its known truth: similarities and F1 by type, and what bounds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.signal import fftconvolve

from benchmarks import yardsticks
from napari_sbd.core.defects import candidate_table, chosen_rows
from napari_sbd.core.parameters import Parameters
from napari_sbd.core.peaks import WEAKEST, Peaks, find_peaks
from napari_sbd.core.recovery import Recovery

Real = NDArray[np.floating]

WITHIN = 1.0  # px
SNR = 4.0  # amplitude over its standard error, from which the true map's peaks count


def with_types(number: int) -> dict[str, int]:
    """The option for a number of types; nothing where the engine does not know it."""
    return {"types": number} if "types" in Parameters.__dataclass_fields__ else {}


@dataclass(frozen=True)
class Verdict:
    """Figures by true type; a type that was not found has similarity and F1 0."""

    similarity: tuple[float, ...]
    f1: tuple[float, ...]


def judged(recovery: Recovery, kernels: Real, positions: Real, types: NDArray[np.integer]) -> Verdict:
    """Similarity and F1 by type, found types assigned to true ones by best similarity.

    Parameters
    ----------
    recovery : Recovery
    kernels : array (types, slices, k1, k2)
        The true ones.
    positions : array (n, 2)
    types : array (n,)
    """
    similarity = np.array(
        [[yardsticks.kernel_similarity(a, truth) for truth in kernels] for a in recovery.kernels]
    )
    rows, cols = linear_sum_assignment(-similarity.T)
    pairs = {int(kind): int(found) for kind, found in zip(rows, cols, strict=True)}
    best, scores = [], []
    for kind, truth in enumerate(kernels):
        if kind not in pairs:
            best.append(0.0)
            scores.append(0.0)
            continue
        found = recovery.kernels[pairs[kind]]
        points = found_points(recovery, pairs[kind]) + yardsticks.kernel_shift(found, truth)
        best.append(float(similarity[pairs[kind], kind]))
        scores.append(yardsticks.match_points(points, positions[types == kind], WITHIN)["f1"])
    return Verdict(tuple(best), tuple(scores))


def found_points(recovery: Recovery, kind: int | None = None) -> Real:
    """Row and col of the defects in the table, of one type or of all."""
    table = recovery.defects
    chosen = table if kind is None else table[table["type"] == kind]
    return np.asarray(chosen[["row", "col"]].to_numpy(), float)


def ceiling(
    maps: Real, kernels: Real, positions: Real, types: NDArray[np.integer], noise: float
) -> list[float]:
    """F1 by type of the product's own peak finder and table on the true extended maps.

    Parameters
    ----------
    maps : array (types, n1 + k1 - 1, n2 + k2 - 1)
    kernels : array (types, slices, k1, k2)
    positions, types : arrays
    noise : float
        Standard deviation of the noise of a pixel.
    """
    window = (kernels.shape[2], kernels.shape[3])
    peaks: Sequence[Peaks] = [find_peaks(x, window, alike=True) for x in maps]
    frame = [n - k + 1 for n, k in zip(maps.shape[1:], window, strict=True)]
    mask = np.ones((kernels.shape[1], *frame), bool)
    table = chosen_rows(candidate_table(peaks, kernels, mask, noise), SNR, WEAKEST)
    scores = []
    for kind in range(len(kernels)):
        points = table[table["type"] == kind][["row", "col"]].to_numpy()
        scores.append(yardsticks.match_points(points, positions[types == kind], WITHIN)["f1"])
    return scores


def oracle(images: Real, maps: Real, kernels: Real) -> list[float]:
    """Least-squares bound of each type's similarity, true maps (types, rows, cols) and other types known.

    Of several slices each has its own bound; errors that are orthogonal to the kernel add up to one.
    """
    bounds = []
    for kind, truth in enumerate(kernels):
        error = 0.0
        for number, part in enumerate(truth):
            image = images[number].copy()
            for other in range(len(kernels)):
                if other != kind:
                    image -= same(maps[other], kernels[other, number])
            alone = yardsticks.oracle_similarity(image, maps[kind], part)
            error += float(np.sum(part**2)) * (1 / alone**2 - 1)
        bounds.append(1 / np.sqrt(1 + error / float(np.sum(truth**2))))
    return bounds


def same(x: Real, kernel: Real) -> Real:
    """Linear convolution on the map's own grid, the kernel's centre at index (k - 1) // 2."""
    full = fftconvolve(x, kernel, "full")
    first = [(k - 1) // 2 for k in kernel.shape]
    return np.asarray(full[first[0] : first[0] + x.shape[0], first[1] : first[1] + x.shape[1]])


def excess(similarity: float, bound: float) -> float:
    """(1 - similarity) / (1 - oracle): 1 is as good as anything can be."""
    return (1 - similarity) / max(1 - bound, 1e-12)
