"""Progress of a recovery: planned work by phases, and the time that is left."""

from __future__ import annotations

import time
from collections.abc import Sequence


class Progress:
    """Share of planned work that is done; a phase that ends early counts as done.

    Parameters
    ----------
    phases : sequence of float
        Planned cost of each phase, in any unit.

    Examples
    --------
    >>> progress = Progress([1.0, 3.0])
    >>> progress.finish_phase()
    >>> progress.fraction
    0.25
    """

    def __init__(self, phases: Sequence[float]) -> None:
        self._phases = list(phases)
        self._finished = 0
        self._done = 0.0
        self._before = 0.0
        self._began = time.perf_counter()

    def advance(self, cost: float) -> None:
        """Count work in the current phase."""
        self._done += cost

    def finish_phase(self) -> None:
        """Go on to the next phase."""
        self._finished += 1
        self._done = 0.0

    def skip(self, phases: int) -> None:
        """Go past phases that turned out not to be needed."""
        for _ in range(phases):
            self.finish_phase()

    def extend(self, phases: Sequence[float]) -> None:
        """Plan more work before the last phase, which stays the last."""
        left = self._phases[self._finished :]
        self.replan([*left[:-1], *phases, *left[-1:]])

    def replan(self, phases: Sequence[float]) -> None:
        """Replace all phases that are not finished; the share of what is done stays as it is."""
        self._before = self.fraction
        self._phases, self._finished, self._done = list(phases), 0, 0.0

    @property
    def fraction(self) -> float:
        """Share of the planned work that is done, from 0 to 1."""
        current = self._phases[self._finished] if self._finished < len(self._phases) else 0.0
        done = sum(self._phases[: self._finished]) + min(self._done, current)
        return self._before + (1 - self._before) * done / sum(self._phases)

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._began

    @property
    def remaining(self) -> float:
        """Seconds to the end, if work goes on as until now; infinite before any is done."""
        done = self.fraction
        return self.elapsed * (1 - done) / done if done > 0 else float("inf")
