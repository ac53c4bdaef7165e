"""What of a recovery goes through transforms of whole images: all that a graphics card could take over."""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from benchmarks import figure3
from benchmarks.one_case import WINDOW, Case
from benchmarks.tables import Table
from napari_sbd.core.recover import recover
from napari_sbd.simulate.dense import WINDOW as WIDTH

WHOLE = ("core/convolution.py", "core/tiles.py")
CASES = {
    "256², θ 1e-2": Case(density=1e-2),
    "256², θ 3e-2": Case(density=3e-2),
    "512², θ 3e-2": Case(size=512, density=3e-2),
    "2048², θ 1e-3": Case(size=2048),
    "25 × 256²": Case(slices=25),
    "100 × 512²": Case(size=512, slices=100),
}


def run(seeds: Iterable[int]) -> None:
    """Share of the time, by profile, and how many times as fast a recovery were if it took none."""
    table = Table(
        "Transforms of whole images",
        ["image", "seed", "CPU s", "share", "at most times as fast"],
        {"image": 15, "CPU s": 6},
    )
    for seed in seeds:
        images = {f"figure 3, {e}": (figure3.scene(seed, e)[0], WIDTH) for e in figure3.ENERGIES}
        for name, (image, window) in images.items():
            table.row(name, seed, *_shares(image, window))
        for name, case in CASES.items():
            stack = replace(case, seed=seed).make()[0]
            table.row(name, seed, *_shares(stack[0] if case.slices == 1 else stack, WINDOW))


def _shares(image: Any, window: int) -> tuple[str, str, str]:
    profile = cProfile.Profile()
    profile.enable()
    _ = recover(image, kernel_size=window).defects
    profile.disable()
    stats: Any = pstats.Stats(profile)
    inside = 0.0
    for (file, *_), (*_, callers) in stats.stats.items():
        if file.endswith(WHOLE):
            inside += sum(times[3] for (caller, *_), times in callers.items() if not caller.endswith(WHOLE))
    share = inside / stats.total_tt
    return f"{stats.total_tt:.1f}", f"{share:.0%}", f"{1 / (1 - share):.2f}"
