"""recover_many and iter_recover_many: many files, arrays or layers, each with its own outcome."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from napari_sbd.batch.images import tasks_of
from napari_sbd.batch.outcome import ImageOutcome, Outcomes
from napari_sbd.batch.plan import Plan, Stack, Task, frame_name
from napari_sbd.batch.schedulers import check_scheduler, default_workers, is_local, run
from napari_sbd.batch.work import cancelled, failed, paths_of, work
from napari_sbd.core.device import device_of

Progress = Callable[[ImageOutcome, int, int], None]


def recover_many(
    images: Any, *, progress: Progress | None = None, stop: Event | None = None, **options: Any
) -> Outcomes:
    """Recover many images, on all cores; one that fails costs no other result.

    Parameters
    ----------
    images : sequence or mapping of paths, arrays, napari layers, Channels or Observations
        A mapping gives their names.
    progress : callable, optional
        Called as ``progress(outcome, done, all)`` after each.
    stop : threading.Event, optional
        Once set, no more are begun, and those under way end within one step, marked as cancelled.
    **options
        What `iter_recover_many` takes.

    Returns
    -------
    Outcomes
        In the order of the images, with ``recoveries``, ``failed``, ``table`` and ``summary``.

    Examples
    --------
    Every scan of a folder, each result saved as it is done::

        outcomes = sbd.recover_many(sorted(Path("scans").glob("*.sxm")), out="results")
        outcomes.table

    >>> import numpy as np
    >>> images = {"topo": np.zeros((32, 32)), "empty": np.zeros((32, 32))}
    >>> images["topo"][8, 8] = images["topo"][20, 24] = 1
    >>> outcomes = recover_many(images, workers=1, kernel_size=5, starts=1, refinements=0, types=1)
    >>> [(outcome.name, outcome.status) for outcome in outcomes]
    [('topo', 'finished'), ('empty', 'failed')]
    """
    running = iter_recover_many(images, stop=stop, **options)
    outcomes: list[ImageOutcome] = []
    with closing(running):
        for outcome in running:
            outcomes.append(outcome)
            if progress is not None:
                progress(outcome, running.done, running.total)
    return Outcomes(outcomes)


class Running(Iterator[ImageOutcome]):
    """Outcomes as they come, and how far it is.

    Parameters
    ----------
    batches : generator of list of ImageOutcome
    total : int
        Number of images, and of frames where each has its own result.
    """

    def __init__(self, batches: Generator[list[ImageOutcome], None, None], total: int) -> None:
        self.total = total
        self.done = 0
        self._batches = batches
        self._ready: list[ImageOutcome] = []

    def __next__(self) -> ImageOutcome:
        while not self._ready:
            self._ready = next(self._batches)[::-1]
            self.done += 1
        return self._ready.pop()

    def close(self) -> None:
        """End now: what is under way is stopped, and its results are dropped."""
        self._batches.close()


def iter_recover_many(
    images: Any,
    *,
    recipe: Any = None,
    channel: str | None = None,
    stack: Stack = "energies",
    mask: Any = None,
    start: Any = None,
    pixel_size: float | tuple[float, float] | None = None,
    unit: str | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    workers: int | None = None,
    scheduler: Any = None,
    stop: Event | None = None,
    **options: Any,
) -> Running:
    """Recover many images; yields the outcome of each as it is done, in any order.

    Parameters
    ----------
    images
        See `recover_many`.
    recipe : Recipe, path or 'suggest', optional
        Applied to each image before; the path is that of its JSON file. 'suggest' proposes one for each.
    channel : str, optional
        Name of the files' channel; the topograph by default, or else the first.
    stack : {'energies', 'frames', 'kernel'}
        What the images of a stack (slices, rows, cols) have in common: the places of the defects, as slices
        at several energies do (one result); nothing (one result per frame); or the kernel, as the frames of
        a series do (one result per frame, all with one kernel).
    mask : array of bool, optional
        Pixels that count, in every image.
    start : array or Recovery, optional
        Where to begin, in every image: boxes, a kernel, or an earlier recovery.
    pixel_size : float or tuple of float, optional
        Instead of the files' own.
    unit : str, optional
        Unit of the pixel size.
    out : path, optional
        Folder for the results, made if there is none: NAME.sbd.h5 and the table of defects NAME.csv, written
        as each is done. Outcomes then open their recovery when it is asked for.
    resume : bool
        Whether to skip files whose results, of the same content and settings, are in `out` already. Those of
        other settings are replaced.
    overwrite : bool
        Whether results that are in `out` already may be replaced.
    workers : int, optional
        On this machine; as many as there are cores by default.
    scheduler : {'processes', 'threads'}, address or distributed.Client, optional
        Processes of this machine by default; or the scheduler of a Dask cluster, whose workers must see the
        files under the same paths.
    stop : threading.Event, optional
        See `recover_many`.
    **options
        Settings of the recovery, see `napari_sbd.Parameters`.

    Yields
    ------
    ImageOutcome

    Raises
    ------
    ValueError, OSError, ImportError
        If a setting cannot be used, the recipe cannot be read, results are in `out` already or it cannot be
        made; before any work.
        What is wrong with an image does not raise: it is the image's outcome.

    Examples
    --------
    >>> import numpy as np
    >>> [outcome.message for outcome in iter_recover_many([np.ones((9, 9))])]
    ['image 0 is constant: choose an image with contrast']
    """
    place = None if out is None else Path(out).expanduser().absolute()
    plan = Plan(options, recipe, channel, stack, mask, start, pixel_size, unit, place, resume)
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
        raise ValueError(f"workers must be a whole number from 1, not {workers!r}")
    check_scheduler(scheduler)
    if is_local(scheduler):
        device_of(options.get("device", "cpu"))  # which says what is missing, if anything is
    tasks = tasks_of(images, plan)
    if place is not None:
        if not (resume or overwrite):
            _check_free(place, tasks)
        _make(place)
    workers = workers or default_workers(len(tasks))
    return Running(_results(tasks, plan, scheduler, workers, stop), len(tasks))


def _results(
    tasks: list[Task], plan: Plan, scheduler: Any, workers: int, stop: Event | None
) -> Generator[list[ImageOutcome], None, None]:
    jobs = {number: partial(work, task, plan) for number, task in enumerate(tasks)}

    def lost(number: int, message: str) -> list[ImageOutcome]:
        return [failed(tasks[number], message)]

    for number, outcomes in run(jobs, lost, scheduler, workers, stop):
        yield outcomes or [cancelled(tasks[number])]


def _check_free(place: Path, tasks: list[Task]) -> None:
    names = [name for task in tasks for name in (task.label, frame_name(task.name, 0))]
    there = [path.name for name in dict.fromkeys(names) for path in paths_of(place, name) if path.exists()]
    if there:
        more = f" and {len(there) - 3} more" if len(there) > 3 else ""
        raise FileExistsError(
            f"{', '.join(there[:3])}{more} {'is' if len(there) == 1 else 'are'} in {place} already: choose "
            "another folder, resume (skips what is done) or overwrite"
        )


def _make(place: Path) -> None:
    try:
        place.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(f"{place} is a file: give a folder for the results") from None
