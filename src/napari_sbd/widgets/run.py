"""One recovery in the background: its states, its stop, and its layers in the viewer."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum
from threading import Event
from typing import Any

from napari.qt.threading import GeneratorWorker, create_worker
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_sbd.api import Recovery, follow
from napari_sbd.core.observation import Observation
from napari_sbd.core.recover import State
from napari_sbd.layers import Ready, Source, ready
from napari_sbd.prepare.recipe import Recipe
from napari_sbd.widgets.live import LiveLayers
from napari_sbd.widgets.window_watch import WindowWatch

# Time between two drawings over the time that one takes, and at most, in seconds: drawing must not slow the
# recovery down.
PAUSE_PER_DRAWING, LONGEST_PAUSE = 3.0, 0.5


class RunState(Enum):
    """What a run, or the widget, is doing."""

    IDLE = "idle"
    RUNNING = "running"
    CANCELLING = "cancelling"


@dataclass(frozen=True)
class Failure:
    """How a run ended that has no result."""

    error: Exception


class Worker(GeneratorWorker):  # type: ignore[misc]
    """Worker that returns its best so far when it is asked to quit, as napari does when it closes."""

    stop: Event

    def quit(self) -> None:
        """Ask for the end; the generator is not abandoned, so that its arrays are freed."""
        self.stop.set()


class Run:
    """One recovery in the background; it lives until its end, whatever becomes of the widget.

    Emits `state_changed` and `progressed` on its way, and `finished` with a Recovery or a Failure.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    seen : Observation
    source : Source
    options : dict
    watch : WindowWatch
        Tells when the viewer's window closes.
    recipe : Recipe
        Taken first, in the background, too.
    """

    state_changed = Signal(RunState)
    progressed = Signal(State)
    finished = Signal(object)

    def __init__(
        self,
        viewer: Any,
        seen: Observation,
        source: Source,
        options: dict[str, Any],
        watch: WindowWatch,
        recipe: Recipe | None = None,
    ) -> None:
        self.viewer = viewer
        self.recipe = recipe or Recipe()
        self.state = RunState.IDLE
        self.source = source
        self._start = (seen, options)
        self.layers = LiveLayers(viewer, source)
        self.stop, self._unseen = Event(), Event()
        self._watch = watch

    def start(self) -> None:
        """Begin; returns at once."""
        seen, options = self._start
        worker = create_worker(
            _states,
            seen,
            self.source,
            options,
            self.recipe,
            self.stop,
            self._unseen,
            _worker_class=Worker,
            _start_thread=False,
            _connect={"yielded": self._show, "returned": self._end},
        )
        worker.stop = self.stop
        self._watch.closed.connect(self.cancel)
        _running.add(self)
        self._become(RunState.RUNNING)
        worker.start()

    def cancel(self) -> None:
        """Ask for the best so far; it comes within one step."""
        self.stop.set()
        if self.state is RunState.RUNNING:
            self._become(RunState.CANCELLING)

    def _become(self, state: RunState) -> None:
        self.state = state
        if not self._watch.is_closed:
            self.state_changed.emit(state)

    def _show(self, state: State | Ready) -> None:
        if isinstance(state, Ready):
            # Where the results lie is known only now.
            self.source = state.source
            self.layers = LiveLayers(self.viewer, state.source)
            return
        began = time.perf_counter()
        if not self._watch.is_closed:
            self.layers.show(state)
            self.progressed.emit(state)
        # What was changed is drawn before the timer's turn.
        QTimer.singleShot(0, lambda: self._rest(time.perf_counter() - began))

    def _rest(self, spent: float) -> None:
        QTimer.singleShot(round(1000 * min(PAUSE_PER_DRAWING * spent, LONGEST_PAUSE)), self._unseen.clear)

    def _end(self, outcome: Recovery | Failure) -> None:
        _running.discard(self)
        self._watch.closed.disconnect(self.cancel)
        self.state = RunState.IDLE
        if self._watch.is_closed:
            return
        if isinstance(outcome, Recovery):
            try:
                self.layers.finish(outcome)
            except Exception as error:
                outcome = Failure(error)
        if isinstance(outcome, Failure):
            self.layers.discard()
        self.finished.emit(outcome)


_running: set[Run] = set()


def _worked_out(recovery: Recovery) -> Recovery:
    """The recovery with everything computed that the window is about to show."""
    for name in ("reconstruction", "residual", "defects", "trust", "false_positives"):
        getattr(recovery, name)
    return recovery


def _states(
    seen: Observation,
    source: Source,
    options: dict[str, Any],
    recipe: Recipe,
    stop: Event,
    unseen: Event,
) -> Generator[State | Ready, None, Recovery | Failure]:
    """Follow a recovery in the worker's thread; a state is left out while the one before is not yet shown."""
    try:
        image = ready(seen, source, recipe, options.get("start"), stop)
        yield image
        for state in follow(image.seen, image.source, stop, **options | image.known()):
            if isinstance(state.recovery, Recovery):
                return _worked_out(state.recovery)
            if not unseen.is_set():
                unseen.set()
                yield state
    except Exception as error:
        return Failure(error)
    raise AssertionError("a recovery ends with its result")
