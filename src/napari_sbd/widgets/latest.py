"""Jobs in the background of which only the latest counts."""

from __future__ import annotations

from collections.abc import Callable, Generator
from threading import Event
from typing import Any

from napari.qt.threading import create_worker
from psygnal import Signal
from qtpy.QtWidgets import QWidget

from napari_sbd.prepare.stopping import stoppable
from napari_sbd.widgets.run import Failure
from napari_sbd.widgets.window_watch import WindowWatch, is_alive

Job = Callable[[], Any]


class Latest:
    """Does one job at a time in the background; of those asked for meanwhile, only the last is done then.

    Emits `done` with what the job returned, or a Failure, unless another was asked for meanwhile or it was
    forgotten. Nothing is emitted once the owner's window is closed.

    Parameters
    ----------
    owner : QWidget
        For whom it is done.
    """

    done = Signal(object)

    def __init__(self, owner: QWidget) -> None:
        self._owner = owner
        self._next: Job | None = None
        self._watch: WindowWatch | None = None
        self._wanted = False
        self._stop = Event()  # of the job that is being done
        self.started = 0  # jobs, until now

    @property
    def is_running(self) -> bool:
        """Whether a job is being done, wanted or not."""
        return self._watch is not None

    @property
    def is_wanted(self) -> bool:
        """Whether a result is still to come."""
        return self._wanted or self._next is not None

    def ask(self, job: Job) -> None:
        """Do a job as soon as the one that is being done has ended."""
        self._wanted = False
        if self.is_running:
            self._next = job
            self._stop.set()
        else:
            self._start(job)

    def forget(self) -> None:
        """Want no result any more; what is being done is stopped, and nobody hears of it."""
        self._wanted, self._next = False, None
        self._stop.set()

    def _start(self, job: Job) -> None:
        self.started += 1
        self._watch, self._wanted, self._stop = WindowWatch(self._owner), True, Event()
        create_worker(_done, job, self._stop, _connect={"returned": self._end})

    def _end(self, outcome: Any) -> None:
        watch, wanted = self._watch, self._wanted
        self._watch, self._wanted = None, False
        job, self._next = self._next, None
        if watch is None or watch.is_closed or not is_alive(self._owner):
            return
        if job is not None:
            self._start(job)
        elif wanted:
            self.done.emit(outcome)


def _done(job: Job, stop: Event) -> Generator[None, None, Any]:
    """Do a job in the worker's thread; a generator's arguments are freed, unlike a function's."""
    try:
        with stoppable(stop):
            outcome = job()
    except Exception as error:
        outcome = Failure(error)
    yield
    return outcome
