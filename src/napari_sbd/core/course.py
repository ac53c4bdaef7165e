"""The course of stage I from one start, which may be followed some steps at a time."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.descent import Iterate
from napari_sbd.core.steps import Snapshot, Steps

Real = NDArray[np.floating]

EARLY = 3  # steps


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
    early : array (types, slices, k1, k2), optional
        Kernels after the first few, while most of what is active is one defect and those like it.
    ended : bool
        Whether no step is to come.
    """

    steps: Steps
    values: list[float] = field(default_factory=list)
    here: Iterate | None = None
    early: Real | None = None
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
            if len(self.values) <= EARLY:
                self.early = snapshot.iterate.kernels
            yield snapshot
