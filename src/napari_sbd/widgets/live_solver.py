"""Solving again in the background, at the rate of a hand that drags: only the latest wish counts."""

from __future__ import annotations

from collections.abc import Generator
from threading import Event
from typing import Any

from napari.qt.threading import create_worker
from psygnal import Signal

from napari_sbd.api import Recovery
from napari_sbd.batch.desk import Desk, FarDesk, Wish
from napari_sbd.widgets.run import Failure, Worker
from napari_sbd.widgets.window_watch import WindowWatch


class LiveSolver:
    """Does one wish at a time; of those made meanwhile, only the last.

    A newer wish stops the one under way at its next step: an exact one without a result, a quick one with
    what it has reached, once it has taken long.

    Emits `solved` with the Wish and its Recovery, or a Failure; nothing once the window is closed. Who
    receives it calls `go_on` when it has been drawn.

    Parameters
    ----------
    desk : Desk or FarDesk
        Where it is done; closed at the end.
    watch : WindowWatch
        Tells when the viewer's window closes.
    """

    solved = Signal(object, object)

    def __init__(self, desk: Desk | FarDesk, watch: WindowWatch) -> None:
        self._desk = desk
        self._watch = watch
        self._next: Wish | None = None
        self._stop: Event | None = None  # of the wish under way
        self._ready: tuple[Wish, Recovery | Failure] | None = None
        self._drawing = self._ended = False
        self.started = 0  # wishes, until now
        watch.closed.connect(self.end)

    @property
    def is_busy(self) -> bool:
        """Whether something is done, drawn or waits."""
        waits = self._next is not None or self._ready is not None
        return waits or self._stop is not None or self._drawing

    def ask(self, wish: Wish) -> None:
        """Do this next, instead of what waits."""
        self._next = wish
        if self._stop is not None:
            self._stop.set()
        self._begin()

    def go_on(self) -> None:
        """Tell that the last result has been drawn."""
        self._drawing = False
        self._hand_on()

    def end(self) -> None:
        """Stop at the next step; nothing is emitted any more."""
        self._ended, self._next, self._ready = True, None, None
        if self._stop is not None:
            self._stop.set()
        self._desk.close()

    def _begin(self) -> None:
        # While one is drawn the next is done, but no more than one waits to be drawn.
        if self._next is None or self._stop is not None or self._ready is not None or self._ended:
            return
        wish, self._next = self._next, None
        self._stop = Event()
        self.started += 1
        worker = create_worker(
            _result,
            self._desk,
            wish,
            self._stop,
            _worker_class=Worker,
            _start_thread=False,
            _connect={"returned": lambda outcome: self._take(wish, outcome)},
        )
        worker.stop = self._stop
        worker.start()

    def _take(self, wish: Wish, outcome: Recovery | Failure | None) -> None:
        self._stop = None
        if self._ended or self._watch.is_closed:
            return
        if outcome is not None:
            self._ready = (wish, outcome)
        self._hand_on()

    def _hand_on(self) -> None:
        """Have drawn what waits for it, and begin what is next."""
        if self._ready is not None and not self._drawing:
            (wish, outcome), self._ready = self._ready, None
            self._drawing = True
            self.solved.emit(wish, outcome)
        self._begin()


def _result(desk: Desk | FarDesk, wish: Wish, stop: Event) -> Generator[None, None, Any]:
    """Do a wish; a generator, because napari keeps the arguments of plain functions."""
    yield
    try:
        return desk.do(wish, stop)
    except Exception as error:
        return Failure(error)
