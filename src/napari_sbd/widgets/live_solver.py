"""Solving again in the background, at the rate of a hand that drags: only the latest wish counts."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from threading import Event
from typing import Any

from napari.qt.threading import create_worker
from psygnal import Signal

from napari_sbd.api import Recovery
from napari_sbd.core.part import Box
from napari_sbd.core.recovery import Recovery as CoreRecovery
from napari_sbd.core.resolve import Resolver, Solved, drained, wanted_of
from napari_sbd.core.threads import one_thread
from napari_sbd.core.threshold import Threshold
from napari_sbd.layers import part_recovery
from napari_sbd.widgets.run import Failure, Worker
from napari_sbd.widgets.window_watch import WindowWatch

# A newer wish stops what takes longer; a picture that is almost done is worth more, or a moving hand never sees one.
LONGEST_PICTURE = 0.12  # s
SHOWN = ("defects", "false_positives", "trust")  # what the dock is about to show


@dataclass(frozen=True)
class Wish:
    """Options of `Recovery.again` and a threshold; `exact` for what a recovery in the console gives."""

    options: dict[str, Any]
    threshold: Threshold
    exact: bool = False


class LiveSolver:
    """Does one wish at a time; of those made meanwhile, only the last.

    A newer wish stops the one under way at its next step: an exact one without a result, a quick one with
    what it has reached, once it has taken long enough. Quick ones set out from the last result, exact ones
    from the recovery, so that they do not depend on the way there.

    Emits `solved` with the Wish and its Recovery, or a Failure; nothing once the window is closed. Who
    receives it calls `go_on` when it has been drawn.

    Parameters
    ----------
    recovery : Recovery
    box : tuple of slice or None
        Part that is worked with; None for the whole image.
    watch : WindowWatch
        Tells when the viewer's window closes.
    """

    solved = Signal(object, object)

    def __init__(self, recovery: Recovery, box: Box | None, watch: WindowWatch) -> None:
        self._desk = _Desk(recovery, box)
        self._watch = watch
        self._next: Wish | None = None
        self._stop: Event | None = None  # of the wish under way
        self._drawing = False
        self._ended = False
        self.started = 0  # wishes, until now
        watch.closed.connect(self.end)

    @property
    def is_busy(self) -> bool:
        """Whether something is done, drawn or waits."""
        return self._stop is not None or self._drawing or self._next is not None

    def ask(self, wish: Wish) -> None:
        """Do this next, instead of what waits."""
        self._next = wish
        if self._stop is not None:
            self._stop.set()
        self._begin()

    def go_on(self) -> None:
        """Tell that the last result has been drawn."""
        self._drawing = False
        self._begin()

    def end(self) -> None:
        """Stop at the next step; nothing is emitted any more."""
        self._ended, self._next = True, None
        if self._stop is not None:
            self._stop.set()

    def _begin(self) -> None:
        if self._next is None or self._stop is not None or self._drawing or self._ended:
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
        if outcome is None:
            self._begin()
            return
        self._drawing = True
        self.solved.emit(wish, outcome)


class _Desk:
    """What is kept from wish to wish, in the worker's thread."""

    def __init__(self, recovery: Recovery, box: Box | None) -> None:
        self.recovery, self.box = recovery, box
        self.resolver: Resolver | None = None
        self.last: Solved | None = None

    def do(self, wish: Wish, stop: Event) -> Recovery | None:
        """Do a wish; None where it was stopped."""
        began = time.perf_counter()
        if self.resolver is None:
            self.resolver = Resolver(self.recovery if self.box is None else part_recovery(self.recovery, self.box))
        resolver = self.resolver
        if wish.exact and not wish.options:
            return self._shown(resolver.recovery, wish)
        steps = resolver.steps(wanted_of(resolver.recovery, wish.options), None if wish.exact else self.last)
        solved, stopped = drained(steps, lambda: stop.is_set() and (wish.exact or _took_long(began)))
        if wish.exact and stopped:
            return None
        self.last = solved
        return self._shown(resolver.result(solved, quick=not wish.exact), wish)

    def _shown(self, result: CoreRecovery, wish: Wish) -> Recovery:
        """A result with the threshold that is wished for, and all worked out that the dock is about to show."""
        if wish.threshold != result.threshold:
            chosen = wish.threshold
            result = result.with_threshold(chosen.snr, chosen.strength, outside=chosen.outside)
        for name in SHOWN:
            getattr(result, name)
        assert isinstance(result, Recovery)
        return result


def _took_long(began: float) -> bool:
    return time.perf_counter() - began > LONGEST_PICTURE


def _result(desk: _Desk, wish: Wish, stop: Event) -> Generator[None, None, Any]:
    """Do a wish; a generator, because napari keeps the arguments of plain functions."""
    yield
    try:
        with one_thread():
            return desk.do(wish, stop)
    except Exception as error:
        return Failure(error)
