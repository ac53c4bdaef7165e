"""What a worker does with one task: read, prepare, recover, save. Whatever goes wrong becomes an outcome."""

from __future__ import annotations

import os
import platform
import time
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any, Protocol, cast

import numpy as np

from napari_sbd import api
from napari_sbd.batch.images import image_of_file
from napari_sbd.batch.outcome import ImageOutcome, figures_of
from napari_sbd.batch.plan import SUGGEST, Plan, Task, frame_name, suggested
from napari_sbd.batch.shared_kernel import last, recover_with_one_kernel
from napari_sbd.io.recovery_file import ENDING
from napari_sbd.io.table import save_csv
from napari_sbd.layers import Ready, ready
from napari_sbd.prepare.recipe import Recipe
from napari_sbd.results import Recovery, load

FINGERPRINT = "fingerprint"  # what --resume knows a result by, in its source's origin
UNEXPECTED = "an unexpected error, please report it"


class Stop(Protocol):
    """Something like a threading.Event."""

    def is_set(self) -> bool:
        """Whether work is to end."""
        ...


def work(task: Task, plan: Plan, stop: Stop) -> list[ImageOutcome]:
    """Do a task; no exception but the end of the program leaves this function.

    Parameters
    ----------
    task : Task
    plan : Plan
    stop : Stop
        Once set, work ends within one step of the recovery.

    Returns
    -------
    list of ImageOutcome
        One for each result: several where the frames of a stack share a kernel.
    """
    began, busy = time.perf_counter(), time.thread_time()
    try:
        outcomes = list(_results(task, plan, stop))
    except Exception as error:
        outcomes = [failed(task, *_told(error))]
    spent, busy = (
        (now - then) / len(outcomes)
        for now, then in ((time.perf_counter(), began), (time.thread_time(), busy))
    )
    worker = f"{platform.node()}:{os.getpid()}"
    return [replace(outcome, seconds=spent, cpu_seconds=busy, worker=worker) for outcome in outcomes]


def failed(task: Task, message: str, details: str = "") -> ImageOutcome:
    """Outcome of a task that came to nothing."""
    return ImageOutcome(task.label, task.number, task.frame, "failed", message, details)


def cancelled(task: Task) -> ImageOutcome:
    """Outcome of a task that was not begun."""
    return ImageOutcome(task.label, task.number, task.frame, "cancelled", "cancelled before it began")


def paths_of(out: Path, label: str) -> tuple[Path, Path]:
    """Files of a result: everything, and the table of defects."""
    return out / f"{label}{ENDING}", out / f"{label}.csv"


def _told(error: Exception) -> tuple[str, str]:
    """What users read of an error, and what is known of its place where nobody foresaw it."""
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, MemoryError):
        return "it does not fit into memory: use fewer workers, or crop it", ""
    if isinstance(error, (OSError, ImportError)) or (
        isinstance(error, ValueError) and not isinstance(error, (UnicodeError, np.linalg.LinAlgError))
    ):
        return text, "".join(traceback.format_exception(error))
    return f"{UNEXPECTED}: {type(error).__name__}: {text}", "".join(traceback.format_exception(error))


def prepared_image(image: Any, plan: Plan, frame: int | None = None) -> Ready:
    """An image after the plan's recipe, and where it lies then.

    Parameters
    ----------
    image : Path, (Observation, Source) or str
        See `Task`.
    plan : Plan
    frame : int, optional

    Raises
    ------
    ValueError, OSError
        If there is something wrong with it.
    """
    if isinstance(image, str):
        raise ValueError(image)
    seen, source = image_of_file(image, plan, frame) if isinstance(image, Path) else image
    recipe = suggested(seen) if plan.recipe == SUGGEST else plan.recipe
    return ready(seen, source, recipe or Recipe(), plan.start)


def _results(task: Task, plan: Plan, stop: Stop) -> Iterator[ImageOutcome]:
    if stop.is_set():
        yield cancelled(task)
        return
    fingerprint = ""
    if isinstance(task.image, Path) and plan.out is not None:
        fingerprint = fingerprint_of(task.image, plan, task.frame)
        if plan.resume and (done := _done_before(task, plan, fingerprint)):
            yield from done
            return
    image = prepared_image(task.image, plan, task.frame)
    source = image.source
    if fingerprint:
        source = replace(source, origin={**source.origin, FINGERPRINT: fingerprint})
    if plan.stack == "kernel" and len(image.seen.data) > 1:
        frames = recover_with_one_kernel(image.seen, source, stop, start=image.start, **plan.options)
        for frame, recovery in enumerate(frames):
            yield _outcome(task, plan, frame, replace(recovery, recipe=image.recipe, frame=image.frame))
    else:
        states = api.follow(image.seen, source, cast(Event, stop), **{**plan.options, **image.known()})
        yield _outcome(task, plan, task.frame, last(states))


def fingerprint_of(path: Path, plan: Plan, frame: int | None) -> str:
    """What a result of this file with these settings is known by; raises OSError."""
    try:
        return plan.fingerprint(path.read_bytes(), frame)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {path}: check its name and folder") from None


def _outcome(task: Task, plan: Plan, frame: int | None, recovery: Recovery) -> ImageOutcome:
    label = task.name if frame is None else frame_name(task.name, frame)
    saved = None
    # What was cancelled is no result to keep: the next run begins it anew.
    if plan.out is not None and recovery.status == "finished":
        saved, table = paths_of(plan.out, label)
        save_csv(recovery.defects, table, recovery.observation.unit)
        recovery.save(saved)
    return ImageOutcome(
        label,
        task.number,
        frame,
        recovery.status,
        recovery.summary,
        saved=saved,
        figures=figures_of(recovery),
        kept=None if saved else recovery,
    )


def _done_before(task: Task, plan: Plan, fingerprint: str) -> list[ImageOutcome]:
    """Outcomes of an earlier run of the same file with the same settings; empty unless all are there."""
    assert plan.out is not None
    if plan.stack != "kernel":
        found = _same(plan.out, task.label, fingerprint)
        return [] if found is None else [_skipped(task, plan.out, task.frame, found)]
    found = _same(plan.out, task.name, fingerprint)  # a single image has no frames
    if found is not None:
        return [_skipped(task, plan.out, None, found)]
    outcomes: list[ImageOutcome] = []
    while (found := _same(plan.out, frame_name(task.name, len(outcomes)), fingerprint)) is not None:
        outcomes.append(_skipped(task, plan.out, len(outcomes), found))
    complete = bool(outcomes) and outcomes[0].figures.get("frames") == len(outcomes)
    return outcomes if complete else []


def _same(out: Path, label: str, fingerprint: str) -> Recovery | None:
    saved, table = paths_of(out, label)
    if not (saved.is_file() and table.is_file()):
        return None
    try:
        found = load(saved)
    except (ValueError, OSError):
        return None
    same = found.source.origin.get(FINGERPRINT) == fingerprint and found.status == "finished"
    return found if same else None


def _skipped(task: Task, out: Path, frame: int | None, found: Recovery) -> ImageOutcome:
    label = task.name if frame is None else frame_name(task.name, frame)
    figures = figures_of(found) | {"frames": found.source.origin.get("frames")}
    saved, _ = paths_of(out, label)
    return ImageOutcome(label, task.number, frame, "skipped", found.summary, saved=saved, figures=figures)
