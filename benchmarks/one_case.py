"""One recovery in a process of its own, measured: ``python -m benchmarks.one_case '{"size": 256, …}'``."""

from __future__ import annotations

import cProfile
import gc
import json
import pstats
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import yardsticks
from benchmarks.measure import PEAK, cpu_seconds, fft_pair_seconds
from napari_sbd.core.objective import Objective
from napari_sbd.core.recover import recover
from napari_sbd.simulate import ldos_kernel, random_field

Real = NDArray[np.floating]

WINDOW, SNR_DB = 31, 20.0
ENERGIES = (-2.6, -1.5)
MATCHED = 2.0  # px
QUICK, RUNS = 1.0, 5  # s, below which the median of so many runs is taken
# Part of a run, and the function whose cumulative time it is.
PARTS = {
    "region": ("search.py", "steps"),
    "refine": ("single.py", "_refined"),
    "whole": ("stages.py", "widen"),
    "table": ("recovery.py", "defects"),
}


@dataclass(frozen=True)
class Case:
    """What is recovered: size in pixels, density of defects, defect types, slices, seed."""

    size: int = 256
    density: float = 1e-3
    types: int = 1
    slices: int = 1
    seed: int = 0

    def make(self) -> tuple[Real, Real, Real]:
        """Image (slices, rows, cols) in single precision, kernels (types, slices, k1, k2), places (n, 3)."""
        energies = (
            np.linspace(*ENERGIES, self.types * self.slices) if self.types * self.slices > 1 else [-2.0]
        )
        kernels = np.stack([ldos_kernel(WINDOW, float(e)) for e in energies])
        kernels = kernels.reshape(self.slices, self.types, WINDOW, WINDOW).transpose(1, 0, 2, 3)
        shape, density = (self.size, self.size), self.density / self.types
        image, places = [], np.empty((0, 3))
        for number in range(self.slices):
            # The same seed puts the same defects on every slice.
            seen = random_field(list(kernels[:, number]), shape, density, snr_db=None, seed=self.seed)
            noise = np.random.default_rng(1000 * self.seed + number).standard_normal(shape)
            image.append(seen.clean + noise * seen.clean.std() * 10 ** (-SNR_DB / 20))
            places = np.argwhere(seen.activations).astype(float)
        return np.asarray(image, np.float32), kernels, places


@dataclass
class Outcome:
    """What one case took, and how right it is."""

    seconds: float
    pair: float
    bound: float
    peak: float
    data: float
    similarity: float
    f1: float
    defects: int
    found: int
    types: int
    parts: dict[str, float] = field(default_factory=dict)

    @property
    def pairs(self) -> float:
        """Time in units of an FFT pair."""
        return self.seconds / self.pair


def measured(case: Case) -> Outcome:
    """Recover: for time (five times where that is quick) and memory, and once for where the time goes."""
    memory: dict[str, Any] = {}
    exec(PEAK.split("window = ")[0], memory)  # its functions `field` and `peak`
    image, kernels, places = case.make()
    recover(np.random.default_rng(0).standard_normal((2 * WINDOW, 2 * WINDOW)), kernel_size=WINDOW, starts=1)
    gc.collect()
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        before = memory["field"]("VmRSS")
    except OSError:
        before = memory["peak"]()

    def work() -> Any:
        recovery = recover(image, kernel_size=WINDOW)
        _ = recovery.defects
        return recovery

    seconds, recovery = cpu_seconds(work)
    peak = memory["peak"]() - before
    if seconds < QUICK:
        seconds = float(np.median([seconds, *(cpu_seconds(work)[0] for _ in range(RUNS - 1))]))
    pair = fft_pair_seconds((case.size, case.size), 25 if case.size <= 1024 else 5)
    similarity, f1 = _right(recovery, kernels, places)
    outcome = Outcome(
        seconds, pair, _bound(image, recovery.kernels), peak / 1e6, image.nbytes / 1e6, similarity, f1,
        len(places), len(recovery.defects), len(recovery.kernels),
    )  # fmt: skip
    del recovery
    profile = cProfile.Profile()
    profile.runcall(work)
    outcome.parts = _parts(profile)
    return outcome


def _right(recovery: Any, kernels: Real, places: Real) -> tuple[float, float]:
    """Least similarity of a kernel to its true one, and F1 of all places, less each kernel's shift."""
    similarities, found, true = [], [], []
    for number, kernel in enumerate(kernels):
        alike = [yardsticks.kernel_similarity(own, kernel) for own in recovery.kernels]
        best = int(np.argmax(alike))
        similarities.append(max(alike))
        table = recovery.defects[recovery.defects["type"] == best]
        moved = table[["row", "col"]].to_numpy() + yardsticks.kernel_shift(recovery.kernels[best], kernel, 1)
        # Types lie far apart, so that none is matched with another.
        found.append(moved + np.array([1e6 * number, 0]))
        true.append(places[places[:, 0] == number, 1:] + np.array([1e6 * number, 0]))
    return min(similarities), _f1(np.concatenate(found), np.concatenate(true))


def _f1(found: Real, true: Real) -> float:
    """As ``match_points``, but for thousands of points: pairs that are each other's nearest."""
    from scipy.spatial import KDTree

    if not len(found) or not len(true):
        return float(len(found) == len(true))
    apart, nearest = KDTree(true).query(found)
    back = np.asarray(KDTree(found).query(true)[1])
    hits = int(((apart <= MATCHED) & (back[nearest] == np.arange(len(found)))).sum())
    return 2 * hits / (len(found) + len(true))


def _bound(image: Real, kernels: Real) -> float:
    """Two correlations of the whole image with the kernels, tile by tile: no method does with less."""
    objective = Objective(image, np.ones(image.shape, bool), (WINDOW, WINDOW))
    _ = objective.field

    def passes() -> None:
        for _ in range(2):
            for _ in objective.slopes(kernels.astype(np.float32), None):
                pass

    return cpu_seconds(passes)[0]


def _parts(profile: cProfile.Profile) -> dict[str, float]:
    """Shares of the time by part of the run."""
    stats: dict[Any, Any] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    total = max(row[3] for row in stats.values())
    parts = {}
    for part, (file, name) in PARTS.items():
        parts[part] = (
            sum(r[3] for (f, _, n), r in stats.items() if n == name and f.endswith(f"core/{file}")) / total
        )
    parts["rest"] = 1 - sum(parts.values())
    return parts


if __name__ == "__main__":
    began = time.perf_counter()
    result = measured(Case(**json.loads(sys.argv[1])))
    print(json.dumps(asdict(result)))
