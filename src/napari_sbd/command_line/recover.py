"""Recover kernels, activation maps and defects of files.

Each file gives NAME.sbd.h5, which holds everything, and NAME.csv, the table of defects; all together
summary.csv.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sbd.command_line.common import (
    SUGGEST,
    UsageError,
    add_channel,
    add_files,
    add_settings,
    add_workers,
    chosen_settings,
    files_of,
    pair,
    say,
    stop_by_signal,
)

if TYPE_CHECKING:
    from napari_sbd.batch import ImageOutcome

SHOWN = ("name", "status", "defects", "types", "window (px)", "residual/noise", "seconds")
SUMMARY = "summary.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_files(parser, "files of the instrument, or pictures")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the results, made if need be")
    parser.add_argument(
        "--resume", action="store_true", help="skip what is done: the same file with the same settings"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace results that are in DIR already")
    parser.add_argument(
        "--recipe",
        metavar="FILE",
        help=f"recipe (JSON) that prepares each image before; '{SUGGEST}' proposes one for each",
    )
    add_channel(parser)
    parser.add_argument(
        "--stack",
        choices=("energies", "frames", "kernel"),
        default="energies",
        help="what the images of a stack share: the places of the defects, as several energies do (one "
        "result); nothing, or the kernel, as the frames of a series do (one result per frame) (energies)",
    )
    parser.add_argument(
        "--pixel-size", type=pair, metavar="NM|ROWSxCOLS", help="in nm, where the files do not tell it right"
    )
    parser.add_argument(
        "--mask", metavar="FILE", help="image that is not 0 where a pixel counts, in every file"
    )
    parser.add_argument("--start", metavar="FILE", help="saved result whose kernel is begun with")
    add_workers(parser)
    add_settings(parser)


def run(chosen: argparse.Namespace) -> int:
    """Recover all files; returns the exit code."""
    from napari_sbd.batch import Outcomes, iter_recover_many

    files = files_of(chosen.files)
    options = _options(chosen)
    outcomes: list[ImageOutcome] = []
    with stop_by_signal() as stop:
        try:
            running = iter_recover_many(files, stop=stop, **options)
        except (ValueError, OSError, ImportError) as error:
            raise UsageError(str(error)) from error
        try:
            for outcome in running:
                outcomes.append(outcome)
                say(_line(outcome, running.done, running.total))
        except ConnectionError as error:
            raise UsageError(str(error)) from error
        finally:
            running.close()
            all_of_them = Outcomes(outcomes)
            if outcomes:
                _write(all_of_them, Path(chosen.out))
    print(all_of_them.table[list(SHOWN)].to_string(index=False, na_rep="–"))
    for outcome in all_of_them.failed:
        print(f"{outcome.name}: {outcome.message}")
    print(f"{all_of_them.summary}; {Path(chosen.out) / SUMMARY}")
    return 0 if all(outcome.ok for outcome in outcomes) else 1


def _options(chosen: argparse.Namespace) -> dict[str, Any]:
    options = {
        name: getattr(chosen, name)
        for name in (
            "out",
            "resume",
            "overwrite",
            "recipe",
            "channel",
            "stack",
            "pixel_size",
            "workers",
            "scheduler",
        )
    }
    if chosen.pixel_size is not None:
        options["unit"] = "nm"
    try:
        options["mask"] = None if chosen.mask is None else _mask(Path(chosen.mask))
        options["start"] = None if chosen.start is None else _kernel(chosen.start)
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    return options | chosen_settings(chosen)


def _mask(path: Path) -> Any:
    from napari_sbd.batch.images import read_file

    return read_file(path)[0].data != 0


def _kernel(path: str) -> Any:
    from napari_sbd.results import load

    return load(path)


def _line(outcome: ImageOutcome, done: int, total: int) -> str:
    count = f"[{done:{len(str(total))}d}/{total}]"
    if outcome.ok:
        how = "done before; " if outcome.status == "skipped" else ""
        return f"{count} {outcome.name}: {how}{outcome.message} ({outcome.seconds:.1f} s)"
    return f"{count} {outcome.name}: {outcome.status.upper()}: {outcome.message}"


def _write(outcomes: Any, out: Path) -> None:
    from napari_sbd.io.whole import write_whole

    write_whole(out / SUMMARY, outcomes.table.to_csv(index=False, lineterminator="\n").encode())
