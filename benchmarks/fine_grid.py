"""Crowded fields on their own grid, and interpolated to one twice as fine: there noise is smooth, too."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks import yardsticks
from benchmarks.measure import cpu_seconds
from benchmarks.tables import Table, note
from napari_sbd.core.recover import recover
from napari_sbd.core.recovery import Recovery
from napari_sbd.simulate import ldos_kernel, random_field

Real = NDArray[np.floating]

SIZE, WITHIN = 128, 1.0  # px of its own grid
CASES = ((9, 4e-2, 15.0), (13, 4e-2, 15.0), (13, 1e-2, 10.0), (21, 3e-2, 15.0))  # window, θ, dB


def between(image: Real) -> Real:
    """The image at whole and half pixels, by cubic splines."""
    places = [np.arange(2 * n - 1) / 2 for n in image.shape]
    return np.asarray(ndimage.map_coordinates(image, np.meshgrid(*places, indexing="ij"), order=3))


def run(seeds: Iterable[int]) -> None:
    """Print a row for each field: kernel and defects on both grids."""
    columns = ["window, θ, dB", "seed", "own grid", "fine", "F1 own", "F1 fine", "CPU s own", "CPU s fine"]
    table = Table(f"{SIZE}² and interpolated; similarity at ⅛ px, F1 within {WITHIN:g} px", columns)
    lowest = 1.0
    for window, density, snr in CASES:
        kernel = ldos_kernel(window)
        margin = window // 2
        truths = kernel, between(np.pad(kernel, margin))[2 * margin : -2 * margin, 2 * margin : -2 * margin]
        for seed in seeds:
            field = random_field(
                kernel, (SIZE, SIZE), density, snr_db=snr, seed=seed, subpixel=True, outside=True
            )
            found = [
                cpu_seconds(recover, image, kernel_size=truth.shape, seed=seed)
                for image, truth in zip((field.image, between(field.image)), truths, strict=True)
            ]
            similar = [
                yardsticks.kernel_similarity(recovery.kernels[0, 0], truth, upsample=8)
                for (_, recovery), truth in zip(found, truths, strict=True)
            ]
            f1 = [
                _f1(recovery, truth, field.positions, scale)
                for (_, recovery), truth, scale in zip(found, truths, (1, 2), strict=True)
            ]
            lowest = min(lowest, similar[1])
            cells = [f"{value:.4f}" for value in similar] + [f"{value:.3f}" for value in f1]
            name = f"{window}, {density:g}, {snr:g}"
            table.row(name, seed, *cells, *(f"{seconds:.1f}" for seconds, _ in found))
    note(f"lowest on the fine grid: {lowest:.4f}")


def _f1(recovery: Recovery, truth: Real, places: Real, scale: int) -> float:
    """Of the defects, the kernel's shift undone, on the field's own grid."""
    rows = recovery.defects[["row", "col"]].to_numpy(float)
    rows = (rows + yardsticks.kernel_shift(recovery.kernels[0, 0], truth)) / scale
    return float(yardsticks.match_points(rows, places, WITHIN)["f1"])
