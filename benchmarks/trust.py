"""Whether the figures of trust can be trusted: false positives, errors of the kernel, agreement of starts."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from benchmarks.tables import Table, note
from benchmarks.yardsticks import kernel_shift
from napari_sbd.core.quality import best_shift, kernel_similarity
from napari_sbd.core.recover import recover
from napari_sbd.core.recovery import Recovery
from napari_sbd.simulate import Sample, ldos_kernel, random_field

Real = NDArray[np.floating]

WINDOW, SIZE = 21, 128
KERNEL = ldos_kernel(WINDOW, -2.0)
CASES = ((1e-3, 20.0), (1e-3, 3.0), (3e-3, 10.0), (1e-2, 10.0), (3e-2, 10.0), (2e-2, 20.0))  # density, dB
LOW_SNR = 3.0
FALSE_BEYOND = 3.0  # px from every true defect


def run(seeds: Iterable[int]) -> None:
    """Rows that are noise at a low threshold against those expected; actual against estimated errors."""
    columns = [
        "density",
        "dB",
        "seed",
        "similarity",
        "starts agree",
        "noise expected",
        "counted",
        "error ratio",
    ]
    table = Table(f"{SIZE}², window {WINDOW} given, otherwise defaults", columns)
    ratios, sums = [], np.zeros(2)
    for density, snr in CASES:
        for seed in seeds:
            field = random_field(KERNEL, (SIZE, SIZE), density, snr_db=snr, seed=seed)
            found = recover(field.image, kernel_size=WINDOW, seed=seed)
            low = found.with_threshold(snr=LOW_SNR, strength=0)
            counted = _false_rows(low, field)
            ratios.append(error_ratio(found.kernels[0, 0], found.stability()[0, 0]))
            sums += (low.false_positives, counted) if density < 1e-2 else (0, 0)
            agree = f"{found.trust.starts_agreeing} of {found.trust.starts}"
            similarity = f"{kernel_similarity(found.kernels[0], KERNEL):.4f}"
            expected = f"{low.false_positives:.1f}"
            table.row(f"{density:g}", snr, seed, similarity, agree, expected, counted, f"{ratios[-1]:.2f}")
    note(f"below a density of 0.01: {sums[0]:.0f} rows of noise expected, {sums[1]:.0f} counted")
    note(f"actual over estimated error from {min(ratios):.2f} to {max(ratios):.2f}")


def _false_rows(found: Recovery, field: Sample) -> int:
    places = found.defects[["row", "col"]].to_numpy() + kernel_shift(found.kernels[0, 0], KERNEL)
    apart = np.linalg.norm(places[:, None] - field.positions[None], axis=-1)
    return int((apart.min(1) > FALSE_BEYOND).sum())


def error_ratio(kernel: Real, errors: Real) -> float:
    """Deviation of (found - true) over the estimated error, on what both windows show."""
    own, other = [], []
    for shift, size in zip(best_shift(kernel, KERNEL), kernel.shape, strict=True):
        own.append(slice(max(0, shift), size + min(0, shift)))
        other.append(slice(max(0, -shift), size + min(0, -shift)))
    found, truth = kernel[tuple(own)], KERNEL[tuple(other)]
    wrong = found - truth * np.vdot(found, truth) / np.vdot(truth, truth)
    return float(np.std(wrong / errors[tuple(own)]))
