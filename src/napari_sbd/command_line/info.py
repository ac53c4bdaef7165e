"""Print what files hold: channels, sizes, pixel size, energies; of saved results, what was found."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from napari_sbd.command_line.common import add_files, files_of, say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_files(parser, "files of the instrument, pictures, or saved results (.sbd.h5)")


def run(chosen: argparse.Namespace) -> int:
    """Print each file; returns the exit code."""
    failed = 0
    for path in files_of(chosen.files):
        try:
            print(f"{path}\n" + "\n".join(f"  {line}" for line in _lines(path)))
        except (ValueError, OSError) as error:
            failed += 1
            say(str(error))
    return 1 if failed else 0


def _lines(path: Path) -> list[str]:
    if path.name.lower().endswith(".sbd.h5"):
        from napari_sbd.results import load

        return _of_result(load(path))
    from napari_sbd.batch.images import read_file

    channels = read_file(path)
    width = max(len(channel.label) for channel in channels)
    return [f"{channel.label:{width}}  {channel.summary}" for channel in channels]


def _of_result(recovery: Any) -> list[str]:
    seen = recovery.observation
    rows, cols = seen.shape
    chosen = ", ".join(f"{name}={value}" for name, value in recovery.parameters.changed().items())
    slices = f", {len(seen.data)} slices" if len(seen.data) > 1 else ""
    return [
        f"result for {recovery.source.name}: {recovery.summary}",
        f"image {rows}×{cols} px{slices}, {_pixel(seen.pixel_size)} {seen.unit}/px",
        "window {}×{} px, ".format(*recovery.window) + f"settings {chosen or 'all automatic'}",
        f"prepared by {_steps(recovery.recipe)}",
        f"by napari-sbd {recovery.versions.get('napari-sbd', 'of unknown version')}",
    ]


def _steps(recipe: str | None) -> str:
    """Steps of a recipe that were taken, with the settings that are not the usual ones."""
    from napari_sbd.prepare.recipe import Step, recipe_of

    taken = []
    for step in recipe_of(recipe or None).taken:
        usual = Step(step.operation).settings
        others = [f"{name}={value}" for name, value in step.settings.items() if value != usual[name]]
        taken.append(" ".join((step.operation, *others)))
    return "; ".join(taken) or "no step"


def _pixel(size: tuple[float, float]) -> str:
    rows, cols = (f"{length:.4g}" for length in size)
    return rows if rows == cols else f"{rows}×{cols}"
