"""*Live* in napari's window: re-solves per second, and how long the event loop is kept waiting meanwhile."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.tables import Table, note
from napari_sbd.simulate import ldos_kernel, random_field

if TYPE_CHECKING:
    from napari_sbd.widgets.recover import RecoverWidget

SIDE, WINDOW, DENSITY, SNR_DB = 256, 31, 1e-3, 20.0
SECONDS = 8.0
BEAT, MOVES = 5, 16  # ms: period of the timer that is delayed, and between two moves of the mouse
RATE, LATENCY = 8.0, 30.0  # due: re-solves per second, ms
SIZES = ((1000, 700), (1280, 800))  # of napari's window
PATIENCE = 120.0  # s


def run(seeds: Iterable[int]) -> None:
    """Drag λ to and fro with the mouse in a real viewer, without *Live* and with it."""
    columns = ["window", "seed", "dragging", "moves/s", "re-solves/s", "p50 ms", "p99 ms", "largest ms"]
    title = f"Live: {SIDE}², θ {DENSITY:g}, window {WINDOW}; due ≥ {RATE:g} re-solves/s, p99 ≤ {LATENCY:g} ms"
    table = Table(title, columns, {"window": 10, "dragging": 14})
    for seed in seeds:
        for size in SIZES:
            for what, row in _measured(seed, size).items():
                table.row(f"{size[0]}×{size[1]}", seed, what, *row)
    load = ", ".join(f"{n:.1f}" for n in os.getloadavg())
    note(f"\nLoad of the machine: {load} on {os.cpu_count()} cores; drawn in software where there is no GPU.")


def _measured(seed: int, size: tuple[int, int]) -> dict[str, list[str]]:
    import napari

    from napari_sbd.widgets.recover import RecoverWidget

    logging.getLogger("vispy").addFilter(lambda record: record.levelno > logging.WARNING)
    field = random_field(
        ldos_kernel(WINDOW), (SIDE, SIDE), density=DENSITY, snr_db=SNR_DB, seed=seed, outside=True
    )
    viewer = napari.Viewer()
    viewer.window.resize(*size)
    viewer.add_image(field.image, name="topo", scale=(0.2, 0.2), units=("nm", "nm"))
    widget = RecoverWidget(viewer)
    viewer.window.add_dock_widget(widget, name="sbd")
    widget.form.fields["kernel_size"].set_value((WINDOW, WINDOW))
    ended: list[Any] = []
    widget.finished.connect(ended.append)
    widget.recover()
    _wait(lambda: bool(ended))
    live = widget.live
    live.switch.click()
    _wait(lambda: live.solver is not None and not live.solver.is_busy)
    try:
        return {"slider alone": _dragged(widget, solving=False), "Live": _dragged(widget, solving=True)}
    finally:
        viewer.close()


def _dragged(widget: RecoverWidget, solving: bool) -> list[str]:
    """Moves per second, re-solves that were drawn per second, and delays of the event loop."""
    from qtpy.QtCore import QEventLoop, QTimer

    live, drawn = widget.live, []
    assert live.view is not None

    def count() -> None:
        drawn.append(time.perf_counter())

    live.view.drawn.connect(count)
    if not solving:
        live.fields.changed.disconnect(live._follow)
    drag, beat, loop = Drag(live.fields.lam_slider), Beat(), QEventLoop()
    QTimer.singleShot(round(1000 * SECONDS), loop.quit)
    loop.exec()
    delays = beat.stop()
    moves = drag.stop()
    live.view.drawn.disconnect(count)
    if not solving:
        live.fields.changed.connect(live._follow)
    _wait(lambda: live.solver is not None and not live.solver.is_busy)
    p50, p99 = np.percentile(delays, [50, 99])
    rates = [f"{moves / SECONDS:.0f}", f"{len(drawn) / SECONDS:.1f}" if solving else "–"]
    return [*rates, f"{p50:.1f}", f"{p99:.1f}", f"{delays.max():.1f}"]


class Beat:
    """A timer that notes how late it comes, in ms: so long does any event wait."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self._delays: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._note)
        self._timer.start(BEAT)

    def _note(self) -> None:
        now = time.perf_counter()
        self._delays.append(max(0.0, 1e3 * (now - self._last) - BEAT))
        self._last = now

    def stop(self) -> NDArray[np.floating]:
        """The delays."""
        self._timer.stop()
        return np.array(self._delays)


class Drag:
    """A hand that drags a slider's handle to and fro with the mouse."""

    def __init__(self, slider: Any) -> None:
        from qtpy.QtCore import Qt, QTimer
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QStyle, QStyleOptionSlider

        option = QStyleOptionSlider()
        slider.initStyleOption(option)
        control, handle = QStyle.ComplexControl.CC_Slider, QStyle.SubControl.SC_SliderHandle
        self._slider, self._moves = slider, 0
        self._begin = slider.style().subControlRect(control, option, handle, slider).center()
        QTest.mousePress(slider, Qt.MouseButton.LeftButton, pos=self._begin)  # type: ignore[call-overload]
        self._timer = QTimer()
        self._timer.timeout.connect(self._move)
        self._timer.start(MOVES)

    def _at(self) -> Any:
        from qtpy.QtCore import QPoint

        return self._begin + QPoint(round(25 * np.sin(self._moves / 25)), 0)

    def _move(self) -> None:
        from qtpy.QtTest import QTest

        self._moves += 1
        QTest.mouseMove(self._slider, self._at())

    def stop(self) -> int:
        """Let go; returns the number of moves."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        self._timer.stop()
        button = Qt.MouseButton.LeftButton
        QTest.mouseRelease(self._slider, button, pos=self._at())  # type: ignore[call-overload]
        return self._moves


def _wait(done: Callable[[], bool]) -> None:
    from qtpy.QtWidgets import QApplication

    end = time.perf_counter() + PATIENCE
    while not done():
        QApplication.processEvents()
        time.sleep(0.002)
        if time.perf_counter() > end:
            raise SystemExit(f"Nothing came back within {PATIENCE:g} s.")
