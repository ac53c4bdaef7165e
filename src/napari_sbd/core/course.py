"""The course of stage I from one start, which may be followed some steps at a time."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import cast

from napari_sbd.core.descent import Iterate
from napari_sbd.core.steps import Snapshot, Steps


@dataclass
class Course:
    """Steps that were made and those to come.

    Parameters
    ----------
    steps : generator
        Yields a Snapshot after each and returns the last Iterate.

    Attributes
    ----------
    values : list of float
        ψ after each step.
    here : Iterate, optional
        After the last one.
    ended : bool
        Whether no step is to come.
    """

    steps: Steps
    values: list[float] = field(default_factory=list)
    here: Iterate | None = None
    ended: bool = False

    def ahead(self, number: int) -> Generator[Snapshot, None, None]:
        """So many steps, or to the end."""
        for _ in range(number):
            if self.ended:
                return
            try:
                snapshot = next(self.steps)
            except StopIteration as end:
                self.here, self.ended = cast(Iterate, end.value), True
                return
            self.here = snapshot.iterate
            self.values.append(snapshot.iterate.objective)
            yield snapshot
