"""Command line of the benchmarks."""

from __future__ import annotations

import argparse
import time

from benchmarks import accuracy, speed
from benchmarks.yardsticks import SOURCE

SUITES = {
    "speed": (speed.run, "time, peak memory and excess of the default recovery, beside SPORCO (default)"),
    "accuracy": (accuracy.run, "all of the following"),
    "nafeas": (accuracy.nafeas, "real NaFeAs map (../shared/data), window 10, against the authors' kernel"),
    "isolated": (accuracy.isolated_sample, "sample with exact multiple scattering, between pixels"),
    "dense": (accuracy.dense_sample, "sample of 934 overlapping defects under strong noise"),
    "border": (accuracy.border, "a field cut out of a larger one"),
    "excess": (accuracy.excess, "256×256, window 31, against the least-squares bound"),
}


def main() -> None:
    suites = "\n".join(f"  {name:10} {text}" for name, (_, text) in SUITES.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=f"suites:\n{suites}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("suites", nargs="*", metavar="SUITE", default=["speed"], help="which to run")
    parser.add_argument("--seeds", type=int, default=5, help="seeds of the accuracy suites (default 5)")
    chosen = parser.parse_args()
    for name in chosen.suites:
        if name not in SUITES:
            parser.error(f"no suite {name!r}: choose among {', '.join(SUITES)}")
    print(f"Yardsticks: {SOURCE}. One thread.", flush=True)
    began = time.perf_counter()
    for name in chosen.suites:
        SUITES[name][0](range(chosen.seeds))
    print(f"\n{time.perf_counter() - began:.0f} s in all")


if __name__ == "__main__":
    main()
