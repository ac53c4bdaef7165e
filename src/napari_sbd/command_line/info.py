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
    return [f"{channel.label:{width}}  {_of_channel(channel)}" for channel in channels]


def _of_channel(channel: Any) -> str:
    rows, cols = channel.data.shape[-2:] if channel.data.shape[-1] not in (3, 4) else channel.data.shape[:2]
    parts = [f"{rows}×{cols} px"]
    size = channel.pixel_size_nm
    if size:
        parts.append(f"{rows * size[0]:.4g}×{cols * size[1]:.4g} nm ({_pixel(size)} nm/px)")
    elif not channel.notes:
        parts.append("no pixel size")
    if channel.unit:
        parts.append(f"in {channel.unit}")
    if channel.energies is not None:
        first, last = channel.energies[0], channel.energies[-1]
        parts.append(f"{len(channel.energies)} energies from {first:.4g} to {last:.4g} {channel.energy_unit}")
    elif channel.data.ndim == 3:
        parts.append(f"{len(channel.data)} images")
    if channel.angle:
        parts.append(f"rotated by {channel.angle:g}°")
    return ", ".join((*parts, *channel.notes))


def _of_result(recovery: Any) -> list[str]:
    seen = recovery.observation
    rows, cols = seen.shape
    chosen = ", ".join(f"{name}={value}" for name, value in recovery.parameters.changed().items())
    slices = f", {len(seen.data)} slices" if len(seen.data) > 1 else ""
    return [
        f"result for {recovery.source.name}: {recovery.summary}",
        f"image {rows}×{cols} px{slices}, {_pixel(seen.pixel_size)} {seen.unit}/px",
        "window {}×{} px, ".format(*recovery.window) + f"settings {chosen or 'all automatic'}",
        f"recipe {' '.join(recovery.recipe.split()) if recovery.recipe else 'none'}",
        f"by napari-sbd {recovery.versions.get('napari-sbd', 'of unknown version')}",
    ]


def _pixel(size: tuple[float, float]) -> str:
    rows, cols = (f"{length:.4g}" for length in size)
    return rows if rows == cols else f"{rows}×{cols}"
