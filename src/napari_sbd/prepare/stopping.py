"""How what prepares an image is stopped: whoever begins it gives an event, and long loops look at it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Event


class Stopped(RuntimeError):
    """Preparing was cancelled; there is no image to go on with."""

    def __init__(self) -> None:
        super().__init__("cancelled while the image was being prepared: nothing was recovered")


_asked: ContextVar[Event | None] = ContextVar("stop", default=None)


@contextmanager
def stoppable(stop: Event | None) -> Iterator[None]:
    """Let an event end what is prepared within; None leaves it to an event given further out.

    Examples
    --------
    >>> stop = Event()
    >>> with stoppable(stop):
    ...     go_on()
    ...     stop.set()
    ...     go_on()
    Traceback (most recent call last):
    napari_sbd.prepare.stopping.Stopped: cancelled while the image was being prepared: nothing was recovered
    """
    before = _asked.set(_asked.get() if stop is None else stop)
    try:
        go_on()
        yield
    finally:
        _asked.reset(before)


def go_on() -> None:
    """Raise Stopped if an end was asked for."""
    stop = _asked.get()
    if stop is not None and stop.is_set():
        raise Stopped
