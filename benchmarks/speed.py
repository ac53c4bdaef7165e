"""The default recovery of one image: time, memory, and how near it comes to the bound, beside SPORCO."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from benchmarks import peers, yardsticks
from benchmarks.measure import cpu_seconds, fft_pair_seconds, peak_memory
from benchmarks.tables import Table, note
from napari_sbd.core.recover import recover
from napari_sbd.simulate import Sample, ldos_kernel, random_field

WINDOW = 31
SIZES = (128, 256, 512)
DENSITY, SNR_DB = 1e-3, 10.0


def run(seeds: Iterable[int]) -> None:
    """Print time, memory and accuracy at three sizes, and SPORCO's on the same images."""
    kernel = ldos_kernel(WINDOW)
    title = f"LDoS kernel {WINDOW}×{WINDOW}, θ = {DENSITY:g}, {SNR_DB:g} dB, window given, otherwise defaults"
    fields = {n: random_field(kernel, (n, n), DENSITY, snr_db=SNR_DB, seed=0) for n in SIZES}
    ours = _ours(title, fields)
    missing = peers.sporco_missing()
    if missing:
        note(f"\n{missing}")
    else:
        _sporco(fields, ours)


def _ours(title: str, fields: dict[int, Sample]) -> dict[int, tuple[float, float]]:
    columns = ["image", "defects", "CPU s", "FFT pairs", "peak MB", "image MB"]
    columns += ["similarity", "oracle", "excess"]
    table = Table(title, columns, {"image": 8, "CPU s": 6})
    results = {}
    recover(fields[SIZES[0]].image[:64, :64], kernel_size=WINDOW, starts=1)  # first calls take longer
    for size, field in fields.items():
        shape = (size, size)
        before = fft_pair_seconds(shape)
        seconds, recovery = cpu_seconds(recover, field.image, kernel_size=WINDOW)
        pairs = seconds / ((before + fft_pair_seconds(shape)) / 2)
        similarity = yardsticks.kernel_similarity(recovery.kernels[0, 0], field.kernel)
        oracle = yardsticks.oracle_similarity(field.image, field.activations[0], field.kernel)
        results[size] = (seconds, similarity)
        table.row(
            f"{size}×{size}",
            len(field.positions),
            f"{seconds:.2f}",
            f"{pairs:.0f}",
            f"{peak_memory(field.image, WINDOW) / 1e6:.0f}",
            f"{field.image.nbytes / 1e6:.1f}",
            f"{similarity:.5f}",
            f"{oracle:.5f}",
            f"{(1 - similarity) / (1 - oracle):.2f}",
        )
    note("FFT pair: one rfft2 + irfft2 of the image in float32, in CPU s. Peak: above the loaded image.")
    note("Oracle: least squares with the true map known. Excess: (1 - similarity) / (1 - oracle).")
    return results


def _sporco(fields: dict[int, Sample], ours: dict[int, tuple[float, float]]) -> None:
    title = f"SPORCO ConvBPDNDictLearn on the same images, {peers.ITERATIONS} iterations, λ = {peers.LAM:g}"
    columns = ["image", "scaled to", "CPU s", "similarity", "its time / ours", "its (1 - similarity) / ours"]
    table = Table(title, columns, {"image": 8, "scaled to": 10, "CPU s": 6})
    for size, field in fields.items():
        seconds, similarity = ours[size]
        for name, scale in (("|x| = 1", 1.0), ("range 1", float(np.ptp(field.image)))):
            learned = peers.sporco(field.image, WINDOW, scale)
            its = yardsticks.kernel_similarity(learned.kernel, field.kernel)
            table.row(
                f"{size}×{size}",
                name,
                f"{learned.seconds:.2f}",
                f"{its:.5f}",
                f"{learned.seconds / seconds:.2f}",
                f"{(1 - its) / (1 - similarity):.1f}",
            )
    note("|x| = 1 is the scale that λ presupposes, known from the truth only. Range 1 needs no truth.")
    note("Start: the patch round the strongest pixel. ADMM penalties as in SPORCO's own examples.")
