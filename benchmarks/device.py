"""Whole recoveries on the processor and on a graphics card: time, and whether they find the same."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from benchmarks.one_case import WINDOW, Case
from benchmarks.tables import Table, note
from napari_sbd.core.device import NoCard, device_of
from napari_sbd.core.quality import kernel_similarity
from napari_sbd.core.recover import recover

CASES = {
    "25 × 256²": Case(slices=25),
    "100 × 512²": Case(size=512, slices=100),
    "200 × 512²": Case(size=512, slices=200),
    "50 × 1024²": Case(size=1024, slices=50),
}


def run(seeds: Iterable[int]) -> None:
    """Wall seconds with the table of defects; the first on a card loads CuPy's kernels, too."""
    try:
        device_of("gpu")
    except NoCard as problem:
        note(f"\n{problem}")
        return
    table = Table(
        "Processor and card",
        ["image", "seed", "CPU s", "card s", "times", "first s", "similarity", "defects"],
    )
    for seed in seeds:
        for name, case in CASES.items():
            stack = replace(case, seed=seed).make()[0]
            image = stack[0] if case.slices == 1 else stack
            first, _ = _timed(image, "gpu")
            there, card = _timed(image, "gpu")
            here, host = _timed(image, "cpu")
            alike = min(kernel_similarity(a, b) for a, b in zip(card.kernels, host.kernels, strict=True))
            found = f"{len(card.defects)} {len(host.defects)}"
            seconds = f"{here:.2f}", f"{there:.2f}", f"{here / there:.2f}", f"{first:.2f}"
            table.row(name, seed, *seconds, f"{alike:.6f}", found)


def _timed(image: Any, device: str) -> tuple[float, Any]:
    gc.collect()
    began = time.perf_counter()
    recovery = recover(image, kernel_size=WINDOW, device=device)
    _ = recovery.defects
    return time.perf_counter() - began, recovery
