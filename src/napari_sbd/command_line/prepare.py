"""Prepare images by a recipe and write them with their pixel size."""

from __future__ import annotations

import argparse
import io
from functools import partial
from pathlib import Path
from typing import Any

from napari_sbd.command_line.common import (
    SUGGEST,
    UsageError,
    add_channel,
    add_files,
    add_workers,
    files_of,
    say,
    stop_by_signal,
)

ENDINGS = {"npz": ".npz", "tiff": ".tif"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    add_files(parser, "files of the instrument, or pictures")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the images, made if need be")
    parser.add_argument(
        "--recipe",
        required=True,
        metavar="FILE",
        help=f"recipe (JSON); '{SUGGEST}' proposes one for each image, and writes it to NAME.recipe.json",
    )
    parser.add_argument(
        "--format",
        choices=tuple(ENDINGS),
        default="npz",
        help="npz (NumPy: all digits) or tiff (32 bit, as ImageJ reads it) (npz)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that are in DIR already")
    add_channel(parser)
    add_workers(parser)


def run(chosen: argparse.Namespace) -> int:
    """Prepare each file; returns the exit code."""
    from napari_sbd.batch.images import tasks_of
    from napari_sbd.batch.plan import Plan
    from napari_sbd.batch.schedulers import check_scheduler, default_workers
    from napari_sbd.batch.schedulers import run as run_jobs

    files, out = files_of(chosen.files), Path(chosen.out).expanduser().absolute()
    try:
        plan = Plan(recipe=chosen.recipe, channel=chosen.channel, out=out)
        check_scheduler(chosen.scheduler)
        tasks = tasks_of(files, plan)
        targets = [out / f"{task.name}{ENDINGS[chosen.format]}" for task in tasks]
        there = [target.name for target in targets if target.exists()]
        if there and not chosen.overwrite:
            raise UsageError(f"{', '.join(there[:3])} in {out} already: choose another folder or overwrite")
        out.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError, ImportError) as error:
        raise UsageError(str(error)) from error
    jobs = {
        n: partial(prepare_file, task.image, plan, target)
        for n, (task, target) in enumerate(zip(tasks, targets, strict=True))
    }
    failed = 0
    with stop_by_signal() as stop:
        workers = chosen.workers or default_workers(len(jobs))
        for number, problem in run_jobs(jobs, lambda _, text: text, chosen.scheduler, workers, stop):
            failed += bool(problem)
            if problem:
                say(f"{tasks[number].name}: FAILED: {problem}")
            else:
                print(targets[number])
    return 1 if failed else 0


def prepare_file(image: Any, plan: Any, target: Path, stop: Any) -> str:
    """Prepare one image and write it; returns what went wrong, nothing where all went well."""
    from napari_sbd.batch.work import prepared_image

    if stop.is_set():
        return "cancelled before it began"
    try:
        done = prepared_image(image, plan)
        _write(done.seen, target, done.source.energies or None)
        if plan.recipe == SUGGEST:
            from napari_sbd.io.whole import write_whole
            from napari_sbd.prepare.recipe import Recipe

            # An image without faults gets a recipe without steps, which can be used like any other.
            text = done.recipe or Recipe().to_json()
            write_whole(target.with_name(f"{target.stem}.recipe.json"), f"{text}\n".encode())
    except Exception as error:  # one file costs no other
        return " ".join(str(error).split()) or type(error).__name__
    return ""


def _write(seen: Any, target: Path, energies: Any) -> None:
    import numpy as np

    from napari_sbd.io.tiff import save_tiff
    from napari_sbd.io.whole import write_whole

    data = np.where(seen.mask, seen.data, np.nan)
    if target.suffix == ENDINGS["tiff"]:
        save_tiff(data[None], target, seen.pixel_size, seen.unit)
        return
    arrays = {"image": data[0] if len(data) == 1 else data}
    if seen.unit == "nm":
        arrays["pixel_size_nm"] = np.array(seen.pixel_size)
    if energies is not None and len(energies) == len(data):
        arrays["energies"] = np.array(energies)
    memory = io.BytesIO()
    np.savez_compressed(memory, **arrays)  # type: ignore[arg-type]
    write_whole(target, memory.getbuffer())
