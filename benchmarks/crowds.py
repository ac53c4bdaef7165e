"""Crowds: fields so dense that signatures of several types, or of both signs, pile up on one another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from benchmarks import yardsticks
from benchmarks.measure import cpu_seconds
from benchmarks.tables import Table, note
from napari_sbd.core.recover import recover
from napari_sbd.simulate import Sample, ldos_kernel, random_field

ENERGIES = (-2.6, -2.25, -1.9)
COLUMNS = ["window", "size", "θ of each type", "dB", "signs", "types", "seed", "types found"]
COLUMNS += ["similarity", "defects", "true", "CPU s"]


@dataclass(frozen=True)
class Crowd:
    """A scene: window, density of each of its types, signal over noise, both signs, size of the image."""

    window: int
    density: float
    types: int
    snr_db: float
    signed: bool = False
    size: int = 256

    def make(self, seed: int) -> Sample:
        """One kernel per energy, all types alike in density."""
        kernels = np.stack([ldos_kernel(self.window, e) for e in ENERGIES[: self.types]])
        shape = (self.size, self.size)
        return random_field(kernels, shape, self.density, snr_db=self.snr_db, signed=self.signed, seed=seed)


CROWDS = (
    Crowd(21, 3e-3, 2, 20.0),
    Crowd(21, 1e-2, 2, 20.0),
    Crowd(21, 1e-2, 2, 10.0),
    Crowd(21, 1.5e-2, 2, 20.0),
    Crowd(21, 3e-3, 3, 20.0, size=192),
    Crowd(21, 1e-2, 1, 10.0, signed=True),
    Crowd(21, 3e-2, 1, 20.0, signed=True),
    Crowd(13, 1e-1, 1, 10.0),
    Crowd(37, 1e-1, 1, 10.0),
    Crowd(31, 1e-2, 2, 20.0),
    Crowd(21, 5e-3, 3, 20.0),
    Crowd(21, 5e-3, 3, 10.0),
)


def run(seeds: Iterable[int], only: Iterable[str] = ()) -> None:
    """A row for each scene and seed; `only` holds numbers of scenes."""
    numbers = {int(number) for text in only for number in text.split(",")} or set(range(len(CROWDS)))
    table = Table("Crowds, window given, otherwise defaults", COLUMNS, {"θ of each type": 15})
    right, all_of_them = 0, 0
    for seed in seeds:
        for crowd in (crowd for number, crowd in enumerate(CROWDS) if number in numbers):
            right += _row(table, crowd, seed)
            all_of_them += 1
    note(f"types right in {right} of {all_of_them}")
    note("Similarity: of the true type that is found worst.")


def _row(table: Table, crowd: Crowd, seed: int) -> bool:
    sample = crowd.make(seed)
    seconds, recovery = cpu_seconds(recover, sample.image, kernel_size=crowd.window, seed=seed)
    worst = min(
        max(yardsticks.kernel_similarity(own[0], truth) for own in recovery.kernels)
        for truth in sample.kernels
    )
    scene = crowd.window, f"{crowd.size}²", f"{crowd.density:g}", f"{crowd.snr_db:g}"
    signs, found = "±" if crowd.signed else "+", len(recovery.kernels)
    figures = f"{worst:.4f}", len(recovery.defects), len(sample.positions), f"{seconds:.1f}"
    table.row(*scene, signs, crowd.types, seed, found, *figures)
    return found == crowd.types
