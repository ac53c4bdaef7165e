"""Desks: where a recovery is solved again and again, here or in a process of its own.

A window that is drawn holds Python's lock for most of the time while a hand drags; a solver in another
thread would get a small share of it between its many short steps.
"""

from __future__ import annotations

import time
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Protocol

from napari_sbd.batch.processes import pool_of, with_stop
from napari_sbd.core.part import Box
from napari_sbd.core.resolve import Resolver, Solved, drained, wanted_of
from napari_sbd.core.threads import one_thread
from napari_sbd.core.threshold import Threshold
from napari_sbd.layers import part_recovery
from napari_sbd.results import Recovery

# A newer wish stops what takes longer; stopped earlier, a moving hand would never see anything.
LONGEST_PICTURE = 0.12  # s
POLL = 0.02  # s, between two looks at whether to stop
SHOWN = ("candidates", "noise_snr", "defects")  # what a window is about to show
FIGURES = ("false_positives", "trust")
OF_THE_MODEL = ("reconstruction", "residual")


class Stop(Protocol):
    """An Event of threads or of processes."""

    def is_set(self) -> bool:
        """Whether to stop."""


@dataclass(frozen=True)
class Wish:
    """What is to be solved again.

    Parameters
    ----------
    options : dict
        Those of `Recovery.again`.
    threshold : Threshold
    exact : bool
        Whether the result is that of the console; otherwise it is a sketch, for the while a hand drags.
    figures : bool
        Whether a sketch has its figures of trust.
    """

    options: dict[str, Any]
    threshold: Threshold
    exact: bool = False
    figures: bool = True


class Desk:
    """Solves here.

    Quick wishes set out from the last result, exact ones from the recovery, so that they do not depend on the
    way there.

    Parameters
    ----------
    recovery : Recovery
    """

    def __init__(self, recovery: Recovery) -> None:
        self.recovery = recovery
        self._resolver: Resolver | None = None
        self._last: Solved | None = None

    def do(self, wish: Wish, stop: Stop) -> Recovery | None:
        """Do a wish.

        Once stopped, an exact one returns None; a quick one what it has reached, if it has taken long.
        """
        with one_thread():
            return self._do(wish, stop)

    def close(self) -> None:
        """End."""

    def _do(self, wish: Wish, stop: Stop) -> Recovery | None:
        began = time.perf_counter()
        if self._resolver is None:
            self._resolver = Resolver(self.recovery)
        resolver = self._resolver
        if wish.exact and not wish.options:
            return _shown(self.recovery, wish)
        steps = resolver.steps(wanted_of(self.recovery, wish.options), None if wish.exact else self._last)
        solved, stopped = drained(steps, lambda: stop.is_set() and (wish.exact or _took_long(began)))
        if wish.exact and stopped:
            return None
        self._last = solved
        result = resolver.result(solved) if wish.exact else resolver.sketch(solved, wish.figures)
        assert isinstance(result, Recovery)
        return _shown(result, wish)


class FarDesk:
    """Solves in a process of its own, which ends with `close`, and with this process.

    Parameters
    ----------
    recovery : Recovery
    box : tuple of slice, optional
        Part that is worked with.
    """

    def __init__(self, recovery: Recovery, box: Box | None = None) -> None:
        self.recovery, self._box = recovery, box
        self._pool, self._stop = pool_of(1)
        self._open = False

    def do(self, wish: Wish, stop: Stop) -> Recovery | None:
        """Do a wish, see `Desk.do`."""
        if not self._open:
            if self._box is not None:
                self.recovery = part_recovery(self.recovery, self._box)
            self._pool.submit(_open, _bare(self.recovery, self._box is not None)).result()
            self._open = True
        self._stop.clear()
        future = self._pool.submit(with_stop, partial(_do, wish))
        while True:
            try:
                news = future.result(POLL)
                break
            except NotYet:
                if stop.is_set():
                    self._stop.set()
        return None if news is None else news.told(self.recovery)

    def close(self) -> None:
        """End at the next step."""
        self._stop.set()
        self._pool.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True)
class _News:
    """What a recovery has that differs from the one it was solved from, as it travels between processes."""

    changed: dict[str, Any]
    known: dict[str, Any]

    @classmethod
    def of(cls, recovery: Recovery, old: Recovery, exact: bool) -> _News:
        names = [f.name for f in fields(recovery)]
        changed = {n: getattr(recovery, n) for n in names if getattr(recovery, n) is not getattr(old, n)}
        known = {
            n: vars(recovery)[n]
            for n in (*SHOWN, *FIGURES, *(OF_THE_MODEL if exact else ()))
            if n in vars(recovery)
        }
        return cls(changed, known)

    def told(self, old: Recovery) -> Recovery:
        new = replace(old, **self.changed) if self.changed else old
        vars(new).update(self.known)
        return new


_desk: Desk | None = None  # of a process of its own


def _open(recovery: Recovery) -> None:
    global _desk
    _desk = Desk(recovery)


def _do(wish: Wish, stop: Stop) -> _News | None:
    assert _desk is not None
    result = _desk.do(wish, stop)
    return None if result is None else _News.of(result, _desk.recovery, wish.exact)


def _bare(recovery: Recovery, part: bool) -> Recovery:
    """A recovery without what can be worked out from it; a part keeps the scale of the whole."""
    bare = replace(recovery)
    if part:
        vars(bare)["_past"] = recovery._past
    return bare


def _shown(result: Recovery, wish: Wish) -> Recovery:
    """A result with the threshold that is wished for, and all worked out that a window is about to show."""
    if wish.threshold != result.threshold:
        chosen = wish.threshold
        result = result.with_threshold(chosen.snr, chosen.strength, outside=chosen.outside)
    for name in (*SHOWN, *(FIGURES if wish.exact or wish.figures else ())):
        getattr(result, name)
    return result


def _took_long(began: float) -> bool:
    return time.perf_counter() - began > LONGEST_PICTURE
