"""Command line of the benchmarks."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks import (
    accuracy,
    counting,
    crowds,
    device,
    figure3,
    fine_grid,
    fuzz,
    kills,
    live,
    many,
    own_windows,
    phase,
    prepare,
    real,
    rivals,
    scale,
    speed,
    subpixel,
    symmetry,
    table,
    transforms,
    trust,
    windows,
)
from benchmarks.yardsticks import SOURCE


@dataclass(frozen=True)
class Suite:
    """What is run, what it says, over how many seeds, and which options of the command line it takes."""

    run: Callable[..., None]
    text: str
    seeds: int = 5
    options: tuple[str, ...] = ()


SUITES = {
    "speed": Suite(
        speed.run, "time, peak memory and excess of the default recovery, beside SPORCO (default)"
    ),
    "scale": Suite(
        scale.run,
        "time and peak memory by size, density, types and slices; writes docs/performance.md; "
        "--only size, density, types, slices, peers, first",
        options=("only",),
    ),
    "accuracy": Suite(accuracy.run, "all of the following five"),
    "nafeas": Suite(
        accuracy.nafeas, "real NaFeAs map (../shared/data), window 10, against the authors' kernel"
    ),
    "isolated": Suite(accuracy.isolated_sample, "sample with exact multiple scattering, between pixels"),
    "dense": Suite(accuracy.dense_sample, "sample of 934 overlapping defects under strong noise"),
    "border": Suite(accuracy.border, "a field cut out of a larger one"),
    "excess": Suite(accuracy.excess, "256×256, window 31, against the least-squares bound"),
    "table": Suite(
        table.run, "METHOD.md's table of reference programs re-made; --only rows from 0", 5, ("only",)
    ),
    "rivals": Suite(rivals.run, "what other programs reach on such images at best; --only row", 5, ("only",)),
    "figure3": Suite(figure3.run, "figure 3 of Cheung et al., three kernels, 20 seeds", 20),
    "phase": Suite(
        phase.run, "phase diagram, goes on where it stopped; --only window,θ", 5, ("only", "out", "fresh")
    ),
    "real": Suite(real.run, "real images, pictures in build/; --only nafeas, haadf, tase2", 5, ("only",)),
    "prepare": Suite(
        prepare.run,
        "lattice and hum removed with known truth, real images before and after (pictures in build/); "
        "--only lattice, hum, clean, real",
        5,
        ("only",),
    ),
    "subpixel": Suite(
        subpixel.run, "defects between pixels, amplitudes' errors (17 seeds: 1020 defects)", 17
    ),
    "counting": Suite(counting.run, "number of types, and empty tables for noise and lattices, 10 seeds", 10),
    "crowds": Suite(
        crowds.run, "dense fields of several types and of both signs; --only scenes", 2, ("only",)
    ),
    "trust": Suite(trust.run, "false positives and kernel errors, said and actual; agreement of starts", 3),
    "fuzz": Suite(
        fuzz.run, "readers on 2000 damaged files of each format; --only sxm, 3ds…", fuzz.MUTATIONS, ("only",)
    ),
    "kills": Suite(kills.run, "200 kills while a recovery is saved: the earlier file stays whole", 200),
    "many": Suite(
        many.run, "24 images with 2 workers and with 1, through a cluster, one broken file among them", 24
    ),
    "live": Suite(
        live.run, "Live in a real viewer (needs a display): re-solves per second, delay of the event loop", 1
    ),
    "own_windows": Suite(own_windows.run, "types of different size in one window: 13 and 41 px", 3),
    "symmetry": Suite(
        symmetry.run,
        "one shape in several orientations, tied and as separate types; --only rows",
        3,
        ("only",),
    ),
    "transforms": Suite(
        transforms.run, "share of the time that a graphics card could take over, by profile", 1
    ),
    "device": Suite(device.run, "whole recoveries on the processor and on a graphics card", 1),
    "fine_grid": Suite(fine_grid.run, "crowded fields interpolated to a grid twice as fine", 2),
    "windows": Suite(windows.run, "window by itself from 11 to 61 px, 10 images", 10),
}


def main() -> None:
    suites = "\n".join(f"  {name:10} {suite.text}" for name, suite in SUITES.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=f"suites:\n{suites}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("suites", nargs="*", metavar="SUITE", default=["speed"], help="which to run")
    parser.add_argument("--seeds", type=int, help="seeds from 0 of each suite (most have 5 by default)")
    parser.add_argument("--only", action="append", default=[], help="part of a suite, may be repeated")
    parser.add_argument("--out", help="where the phase diagram's picture goes")
    parser.add_argument("--fresh", action="store_true", help="forget the phase diagram's finished points")
    chosen = parser.parse_args()
    for name in chosen.suites:
        if name not in SUITES:
            parser.error(f"no suite {name!r}: choose among {', '.join(SUITES)}")
    print(f"Yardsticks: {SOURCE}. One thread.", flush=True)
    began = time.perf_counter()
    for name in chosen.suites:
        suite = SUITES[name]
        options: dict[str, Any] = {option: getattr(chosen, option) for option in suite.options}
        suite.run(range(suite.seeds if chosen.seeds is None else chosen.seeds), **options)
    print(f"\n{time.perf_counter() - began:.0f} s in all")


if __name__ == "__main__":
    main()
