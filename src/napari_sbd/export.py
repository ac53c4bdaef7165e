"""Many files from one recovery: the table as CSV, images as TIFF, figures."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from napari_sbd.figures import FIGURES, need_matplotlib, save_figure
from napari_sbd.io.table import save_csv
from napari_sbd.io.tiff import save_tiff

FORMATS = ("csv", "tiff", "png", "svg", "pdf")
DEFAULT_FORMATS = ("csv", "tiff", "png")
OF_FIGURES = ("png", "svg", "pdf")
IMAGES = ("kernels", "activations", "reconstruction", "residual")
LONGEST_NAME = 120

Job = Callable[[Path], Path]


def export(
    recovery: Any,
    folder: str | os.PathLike[str],
    formats: Sequence[str] = DEFAULT_FORMATS,
    name: str | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write a recovery's table, images and figures into a folder; see `napari_sbd.Recovery.export`."""
    place = Path(folder)
    jobs = _jobs(recovery, _checked(formats), file_name(name or recovery.source.name))
    if place.exists() and not place.is_dir():
        raise NotADirectoryError(f"{place} is a file: give a folder")
    there = [path for path in jobs if (place / path).exists()]
    if there and not overwrite:
        raise FileExistsError(
            f"{', '.join(there)} {'is' if len(there) == 1 else 'are'} in {place} already: choose "
            "another folder or name, or pass overwrite=True"
        )
    place.mkdir(parents=True, exist_ok=True)
    return [job(place / path) for path, job in jobs.items()]


def exported_names(recovery: Any, formats: Sequence[str] = DEFAULT_FORMATS) -> list[str]:
    """Names of the files that `export` writes."""
    return list(_jobs(recovery, _checked(formats), file_name(recovery.source.name)))


def save_image(recovery: Any, path: str | os.PathLike[str], what: str = "kernels") -> Path:
    """Save kernels, activations, reconstruction or residual as TIFF."""
    if what not in IMAGES:
        raise ValueError(f"there is no image {what!r}: choose among {', '.join(IMAGES)}")
    seen, images = recovery.observation, getattr(recovery, what)
    # What the model explains, and what not, are of all types together: one channel.
    images = recovery.shapes if what == "kernels" else images
    images = images[None] if what in ("reconstruction", "residual") else images
    return save_tiff(images, path, seen.pixel_size, seen.unit)


def file_name(name: str) -> str:
    """A layer's name as the beginning of a file's, on any system.

    Examples
    --------
    >>> file_name("Z/fwd: topo?")
    'Z_fwd_ topo_'
    """
    plain = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", name).strip(" .")
    return plain[:LONGEST_NAME] or "image"


def _checked(formats: Sequence[str]) -> list[str]:
    chosen = [formats] if isinstance(formats, str) else list(formats)
    unknown = [name for name in chosen if name not in FORMATS]
    if unknown or not chosen:
        raise ValueError(
            f"formats must be of {', '.join(FORMATS)}, not {', '.join(map(repr, unknown)) or 'none'}"
        )
    if set(chosen) & set(OF_FIGURES):
        need_matplotlib()
    return chosen


def _jobs(recovery: Any, formats: Sequence[str], name: str) -> dict[str, Job]:
    """What writes each file, by the file's name."""
    jobs: dict[str, Job] = {}
    if "csv" in formats:
        jobs[f"{name}_defects.csv"] = partial(save_csv, recovery.defects, unit=recovery.observation.unit)
    if "tiff" in formats:
        for what, called in (("kernels", "kernel"), ("activations", "activation")):
            jobs[f"{name}_{called}.tif"] = partial(save_image, recovery, what=what)
    for ending in (ending for ending in OF_FIGURES if ending in formats):
        for what in FIGURES:
            jobs[f"{name}_{what}.{ending}"] = partial(save_figure, recovery, what=what)
    return jobs
