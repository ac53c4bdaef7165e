"""Kills at random moments while a recovery is saved: what opens then is the earlier file or the new one."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import napari_sbd as sbd
from napari_sbd.io.compare import differences
from napari_sbd.io.whole import SUFFIX, write_whole
from napari_sbd.simulate import ldos_kernel, random_field

QUICK: dict[str, Any] = {"kernel_size": 9, "starts": 1, "kept": 1, "refinements": 0}
TILES = 10  # times the small image along each axis


def run(seeds: Sequence[int]) -> None:
    """Kill a process that saves, once for each seed; raises if a file was damaged."""
    first = _large_recovery()
    second = replace(first, noise=-first.noise, observation=replace(first.observation, unit="Å"))
    # On a real disk, not in memory.
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".kills-") as folder:
        path = first.save(Path(folder) / "result")
        took = _seconds(lambda: first.save(path))
        content = path.read_bytes()
        wrote = _seconds(lambda: write_whole(path, content))
        whole, during, replaced = 0, 0, 0
        for seed in seeds:
            before, there = sbd.load(path).noise, _unfinished(path)
            moment = np.random.default_rng(seed).uniform()
            _kill_while_saving(path, (first, second), moment, took, wrote if seed % 2 else None)
            opened = sbd.load(path)
            expected = first if opened.noise == first.noise else second
            whole += not differences(expected, opened) and not differences(expected.defects, opened.defects)
            during += bool(_unfinished(path) - there)
            replaced += opened.noise != before
        for left_over in path.parent.iterdir():
            os.utime(left_over, (0, 0))
        first.save(path)
        left = len(list(path.parent.iterdir())) - 1
    print(f"{whole} of {len(seeds)} kills: the file opens and is equal", flush=True)
    print(
        f"{len(content) / 1e6:.1f} MB, {took * 1e3:.0f} ms to save, {wrote * 1e3:.0f} ms of them to write; "
        f"{during} kills while the file was being written, "
        f"{replaced} after the new one had replaced it; {left} leftovers after the next save"
    )
    if whole < len(seeds) or left:
        raise SystemExit("a kill damaged a file or left something behind")


def _large_recovery() -> sbd.Recovery:
    field = random_field(ldos_kernel(9), (64, 64), density=0.004, snr_db=20, seed=1)
    small = sbd.recover(field.image, name="topo", **QUICK)
    image = np.tile(field.image, (TILES, TILES))
    seen = sbd.observe(image)
    maps = np.zeros((1, *(n + k - 1 for n, k in zip(image.shape, small.window, strict=True))))
    maps[0, 4:-4, 4:-4] = np.tile(small.activations[0], (TILES, TILES))
    return replace(small, observation=seen, extended_activations=maps)


def _kill_while_saving(
    path: Path, results: tuple[sbd.Recovery, sbd.Recovery], moment: float, took: float, wrote: float | None
) -> None:
    """Kill at a moment within three savings, or within the time that the file is being written."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, b"1")
            while True:
                for result in reversed(results):
                    result.save(path)
        finally:
            os._exit(1)
    os.read(reading, 1)
    for end in (reading, writing):
        os.close(end)
    if wrote is not None:
        known = set(os.listdir(path.parent))
        while not set(os.listdir(path.parent)) - known:
            pass
    time.sleep(moment * (3 * took if wrote is None else wrote / 2))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        raise SystemExit("the process ended by itself")


def _unfinished(path: Path) -> set[str]:
    return {name for name in os.listdir(path.parent) if name.endswith(SUFFIX)}


def _seconds(job: Callable[[], object]) -> float:
    began = time.perf_counter()
    job()
    return time.perf_counter() - began
