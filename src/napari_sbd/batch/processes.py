"""Worker processes for Dask's local scheduler: light to start, quick to stop, never left behind."""

from __future__ import annotations

import multiprocessing
import multiprocessing.spawn
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

# Of the libraries beneath NumPy: one worker is not to take the cores of the others.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_starting = threading.RLock()
_stop: Any = None


def pool_of(workers: int) -> tuple[ProcessPoolExecutor, Any]:
    """Pool of processes, and the event that stops what they do."""
    context = _Context()
    stop = context.Event()
    return ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(stop,)), stop


def with_stop(job: Callable[..., Any]) -> Any:
    """Run a job in a worker process, with the event that stops it."""
    return job(stop=_stop)


def cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        return os.cpu_count() or 1


class _Process(SpawnProcess):
    """A process that does not run the user's script once more, so that one without a guard works, too."""

    @staticmethod
    def _Popen(process_obj: Any) -> Any:
        with _starting, _without_main(), _few_threads():
            return SpawnProcess._Popen(process_obj)


class _Context(SpawnContext):
    # Not fork: napari and Dask have threads, whose locks a forked process would never see opened.
    Process = _Process


@contextmanager
def _without_main() -> Iterator[None]:
    """Jobs come from this package only: nothing of the main module is needed, and napari's is slow."""
    original = multiprocessing.spawn.get_preparation_data

    def lighter(name: str) -> dict[str, Any]:
        return {k: v for k, v in original(name).items() if not k.startswith("init_main")}

    multiprocessing.spawn.get_preparation_data = lighter
    try:
        yield
    finally:
        multiprocessing.spawn.get_preparation_data = original


@contextmanager
def _few_threads() -> Iterator[None]:
    """What the user has set stays."""
    added = [name for name in THREADS if name not in os.environ]
    os.environ.update(dict.fromkeys(added, "1"))
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _begin(stop: Any) -> None:
    global _stop
    _stop = stop
    # Ctrl+C reaches all processes of a terminal: the first of them decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
