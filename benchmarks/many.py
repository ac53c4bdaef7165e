"""Many files: rate of two workers over that of one, equality with one by one, a cluster, a broken file."""

from __future__ import annotations

import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import napari_sbd as sbd
from napari_sbd.batch import Outcomes
from napari_sbd.io.compare import differences
from napari_sbd.simulate import ldos_kernel, random_field

SHAPE, WINDOW = (256, 256), 21
OPTIONS: dict[str, Any] = {"pixel_size": 0.1, "unit": "nm"}
WANTED = 1.7  # times one worker's rate


@dataclass(frozen=True)
class Timed:
    """Outcomes, how long they took, and how long they take where every worker has a core to itself."""

    outcomes: Outcomes
    wall: float
    busy: float

    def rate(self, seconds: float) -> float:
        return 60 * len(self.outcomes) / seconds


def run(seeds: Sequence[int]) -> None:
    """Measure; raises if a result differs or is missing, or two workers are too slow."""
    images = {f"field {seed}": _image(seed) for seed in seeds}
    print(f"{len(images)} images of {SHAPE[0]}×{SHAPE[1]}, kernels of {WINDOW} px, defaults", flush=True)
    alone = {name: sbd.recover(image, name=name, **OPTIONS) for name, image in images.items()}
    # Twice and by turns: other programs load the machine, too.
    timed = [(workers, _timed(images, workers)) for workers in (1, 2, 1, 2)]
    wall, busy = (
        {n: min(getattr(t, what) for w, t in timed if w == n) for n in (1, 2)} for what in ("wall", "busy")
    )
    faster, faster_busy = (len_of[1] / len_of[2] for len_of in (wall, busy))
    rates = ", ".join(f"{n}: {60 * len(images) / wall[n]:.0f}/min" for n in (1, 2))
    print(f"rate by the clock  {rates} → {faster:.2f} ×")
    print(f"rate by processor time of the busiest worker, its start included → {faster_busy:.2f} ×")
    unequal = [name for _, t in timed for name in _unequal(alone, t.outcomes)]
    print(f"results unequal to one by one: {len(unequal)} of {sum(len(t.outcomes) for _, t in timed)}")
    lost = _files(images, alone)
    if unequal or lost or max(faster, faster_busy) < WANTED:
        raise SystemExit(f"not as it should be: {unequal or lost or faster}")


def _image(seed: int) -> NDArray[np.floating]:
    return np.asarray(random_field(ldos_kernel(WINDOW), SHAPE, density=0.001, snr_db=20, seed=seed).image)


def _timed(images: dict[str, Any], workers: int) -> Timed:
    began, own, others = time.perf_counter(), time.process_time(), _of_children()
    outcomes = sbd.recover_many(images, workers=workers, scheduler="processes", **OPTIONS)
    wall, own, others = time.perf_counter() - began, time.process_time() - own, _of_children() - others
    by_worker: dict[str, float] = defaultdict(float)
    for outcome in outcomes:
        by_worker[outcome.worker] += outcome.cpu_seconds
    start = (others - sum(by_worker.values())) / len(by_worker)
    return Timed(outcomes, wall, own + start + max(by_worker.values()))


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _unequal(alone: dict[str, Any], outcomes: Sequence[Any]) -> list[str]:
    """Names of those whose recovery, time aside, is not the same to the bit."""
    found = []
    for outcome in outcomes:
        result = outcome.recovery
        if result is None:
            found.append(outcome.name)
            continue
        first, second = (
            replace(r, history=r.history.drop(columns="seconds")) for r in (alone[outcome.name], result)
        )
        parts = differences(replace(first, source=second.source), second)
        parts += differences(first.defects, result.defects, "defects")
        if parts:
            print(f"{outcome.name} differs in {', '.join(parts)}")
            found.append(outcome.name)
    return found


def _files(images: dict[str, Any], alone: dict[str, Any]) -> list[str]:
    """The same as files, one of them broken, on this machine and through a cluster's address."""
    from distributed import LocalCluster

    lost = []
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, image in images.items():
            paths.append(Path(folder) / f"{name}.npz")
            np.savez(paths[-1], Z=image, pixel_size_nm=0.1)
        broken = Path(folder) / "broken.npz"
        broken.write_bytes(paths[0].read_bytes()[:5000])
        paths.insert(len(paths) // 2, broken)
        lost += _with_files("this machine", paths, alone, Path(folder) / "here", workers=2)
        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
            address = cluster.scheduler_address
            lost += _with_files(address, paths, alone, Path(folder) / "there", scheduler=address)
    return lost


def _with_files(title: str, paths: list[Path], alone: dict[str, Any], out: Path, **where: Any) -> list[str]:
    began = time.perf_counter()
    outcomes = sbd.recover_many(paths, out=out, **where)
    took = time.perf_counter() - began
    good = [outcome for outcome in outcomes if outcome.ok]
    unequal = _unequal(alone, good)
    print(f"{title}: {outcomes.summary}, {len(unequal)} unequal, {60 * len(good) / took:.0f}/min")
    for outcome in outcomes.failed:
        print(f"  {outcome.name}: {outcome.message}", flush=True)
    missing = set(alone) - {outcome.name for outcome in good}
    return [*unequal, *missing, *(o.name for o in outcomes.failed if o.name != "broken")]
