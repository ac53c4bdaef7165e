"""Two types of different size in one window: the small one's kernel, and how many windows are right."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from benchmarks.judge import excess, judged, oracle
from benchmarks.measure import cpu_seconds
from benchmarks.tables import Table, note
from napari_sbd.core.recover import recover
from napari_sbd.simulate import Sample, ldos_kernel, random_field

Real = NDArray[np.floating]

SIZE, SMALL, LARGE = 192, 13, 41
DENSITIES = (6e-4, 3e-4)
SNRS = (20.0, 10.0, 5.0, 0.0)
COLUMNS = ["SNR", "excess small", "excess large", "F1 small", "F1 large", "small windows", "CPU s"]


def made(seed: int, snr: float) -> Sample:
    """A small shape of random spots beside a large LDoS kernel."""
    rng, place = np.random.default_rng(seed), np.arange(SMALL) - (SMALL - 1) / 2
    centres, heights = rng.uniform(-SMALL / 5, SMALL / 5, (4, 2)), rng.choice([-1.0, 1.0, 1.4], 4)
    apart = (place[:, None, None] - centres[:, 0]) ** 2 + (place[:, None] - centres[:, 1]) ** 2
    small: Real = np.exp(-apart / (2 * (SMALL / 9) ** 2)) @ heights
    kernels = np.stack([np.pad(small, (LARGE - SMALL) // 2), ldos_kernel(LARGE)])
    return random_field(kernels, (SIZE, SIZE), DENSITIES, snr_db=snr, seed=seed)


def run(seeds: Iterable[int]) -> None:
    """Print a row of medians over the seeds for each SNR."""
    seeds = list(seeds)
    title = f"Types of {SMALL} and {LARGE} px, {SIZE}², window {LARGE} given, two types asked for"
    table = Table(title, COLUMNS)
    for snr in SNRS:
        cells = np.array([_measured(seed, snr) for seed in seeds])
        small, large, f1, others, seconds = np.median(cells[:, [0, 1, 2, 3, 5]], axis=0)
        cut = int(cells[:, 4].sum())
        figures = f"{small:.2f}", f"{large:.2f}", f"{f1:.3f}", f"{others:.3f}", f"{cut}/{len(seeds)}"
        table.row(f"{snr:g} dB", *figures, f"{seconds:.1f}")
    note("Medians. Excess over least squares in the common window for known maps: below 1 is better.")


def _measured(seed: int, snr: float) -> tuple[float, ...]:
    sample = made(seed, snr)
    kernels = sample.kernels[:, None]
    seconds, recovery = cpu_seconds(recover, sample.image, kernel_size=LARGE, types=2)
    verdict = judged(recovery, kernels, sample.positions, sample.types)
    bounds = oracle(sample.image[None], sample.activations, kernels)
    ratios = [excess(s, b) for s, b in zip(verdict.similarity, bounds, strict=True)]
    cut = any(max(own) <= SMALL + 4 for own in recovery.windows)
    return (*ratios, *verdict.f1, float(cut), seconds)
