"""Export tables, images and figures from saved results (.sbd.h5)."""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_sbd.command_line.common import UsageError, add_files, files_of, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_files(parser, "saved results")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the files, made if need be")
    parser.add_argument(
        "--formats",
        default="csv,tiff,png",
        metavar="LIST",
        help="of csv (defects), tiff (kernels, activation maps), png, svg and pdf (figures; these need "
        "Matplotlib) (csv,tiff,png)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that are in DIR already")


def run(chosen: argparse.Namespace) -> int:
    """Export each result; returns the exit code."""
    from napari_sbd.export import exported_names
    from napari_sbd.results import load

    formats = [part.strip() for part in chosen.formats.split(",") if part.strip()]
    failed, checked = 0, False
    for path in files_of(chosen.files):
        name = path.name[: -len(".sbd.h5")] if path.name.lower().endswith(".sbd.h5") else path.stem
        try:
            recovery = load(path)
            if not checked:
                _check(lambda found=recovery: exported_names(found, formats))
                checked = True
            paths = recovery.export(Path(chosen.out), formats, name=name, overwrite=chosen.overwrite)
            print("\n".join(map(str, paths)))
        except (ValueError, OSError) as error:
            failed += 1
            say(str(error))
    return 1 if failed else 0


def _check(names: object) -> None:
    """Formats that do not exist, or need what is not installed, are no fault of a file."""
    try:
        names()  # type: ignore[operator]
    except (ValueError, ImportError) as error:
        raise UsageError(str(error)) from error
