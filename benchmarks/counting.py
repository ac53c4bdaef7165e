"""The number of defect types, and empty tables where there is no defect."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from benchmarks.judge import judged, with_types
from benchmarks.measure import cpu_seconds
from benchmarks.tables import Table, note
from napari_sbd.core.recover import recover
from napari_sbd.simulate import Sample, ldos_kernel, random_field

Real = NDArray[np.floating]

WINDOW = 21
ENERGIES = (-2.6, -2.25, -1.9)
TYPES = (1, 2, 3)
CASES = ((5e-4, 20.0), (1e-3, 10.0), (2e-3, 20.0), (1e-3, 5.0), (3e-3, 10.0))  # density of each type, dB
SIZE, EMPTY_SIZE = 192, 128


def scene(types: int, seed: int) -> Sample:
    """A field of some types; density and noise go with the seed."""
    first = seed % len(ENERGIES)
    chosen = [ENERGIES[(first + number) % len(ENERGIES)] for number in range(types)]
    density, snr = CASES[seed % len(CASES)]
    kernels = np.stack([ldos_kernel(WINDOW, energy) for energy in chosen])
    return random_field(kernels, (SIZE, SIZE), density, snr_db=snr, seed=100 * types + seed)


def white_noise(seed: int) -> Real:
    """Nothing but noise."""
    return np.random.default_rng(seed).standard_normal((EMPTY_SIZE, EMPTY_SIZE))


def perfect_lattice(seed: int) -> Real:
    """A lattice without a defect: square or hexagonal, turned, not periodic in the frame, with some noise."""
    rng = np.random.default_rng(seed)
    period, angle = rng.uniform(5, 14), rng.uniform(0, np.pi)
    turns = (0, np.pi / 2) if seed % 2 else (0, np.pi / 3, 2 * np.pi / 3)
    rows, cols = np.indices((EMPTY_SIZE, EMPTY_SIZE))
    image = np.zeros(rows.shape)
    for turn in turns:
        along = np.sin(angle + turn) * rows + np.cos(angle + turn) * cols
        phase = 2 * np.pi * along / period + rng.uniform(0, 2 * np.pi)
        image += np.cos(phase) + 0.2 * np.cos(2 * phase)
    return np.asarray(image + (0.0, 0.1, 0.5)[seed % 3] * rng.standard_normal(image.shape))


EMPTY: dict[str, Callable[[int], Real]] = {"white noise": white_noise, "perfect lattice": perfect_lattice}


def run(seeds: Iterable[int]) -> None:
    """Types found in images of one to three, and rows of the table where there is nothing to find."""
    seeds = list(seeds)
    if not with_types(1):
        note("\nThe engine has no option for the number of types: one is all it can find.")
    columns = ["true types", "seed", "types found", "kernels", "defects", "similarities", "CPU s"]
    table = Table(
        f"{SIZE}², window {WINDOW} given, otherwise defaults", columns, {"similarities": 20, "CPU s": 6}
    )
    right = 0
    for types in TYPES:
        for seed in seeds:
            sample = scene(types, seed)
            seconds, recovery = cpu_seconds(recover, sample.image, kernel_size=WINDOW, seed=seed)
            verdict = judged(recovery, sample.kernels[:, None], sample.positions, sample.types)
            found = recovery.defects["type"].nunique()
            right += found == types
            texts = " ".join(f"{similarity:.4f}" for similarity in verdict.similarity)
            counts = (found, len(recovery.kernels), len(recovery.defects))
            table.row(types, seed, *counts, texts, f"{seconds:.1f}")
    note(f"right in {right} of {len(seeds) * len(TYPES)}")
    _empty(seeds)


def _empty(seeds: list[int]) -> None:
    columns = ["image", "seed", "window", "rows of the table", "CPU s", "summary"]
    table = Table(f"Nothing to find, {EMPTY_SIZE}²", columns, {"image": 16, "window": 9, "CPU s": 6})
    empty = 0
    for name, make in EMPTY.items():
        for seed in seeds:
            window = WINDOW if seed % 2 else None
            seconds, recovery = cpu_seconds(recover, make(seed), kernel_size=window, seed=seed)
            empty += len(recovery.defects) == 0
            shown = "×".join(map(str, recovery.window)) if window else "automatic"
            table.row(name, seed, shown, len(recovery.defects), f"{seconds:.1f}", recovery.summary)
    note(f"{empty} of {len(EMPTY) * len(seeds)} tables are empty")
