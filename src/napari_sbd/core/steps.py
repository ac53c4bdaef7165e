"""Steps of a recovery: what each yields, and how one follows another."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar, cast

import numpy as np

from napari_sbd.core.descent import Iterate
from napari_sbd.core.objective import Penalty

FORBIDDEN = 1e4  # weight that keeps a pixel out of a frozen support

Result = TypeVar("Result")


@dataclass(frozen=True)
class Snapshot:
    """Where a recovery stands after one step."""

    stage: str
    lam: float
    iterate: Iterate
    start: int = 0


Steps = Generator[Snapshot, None, Iterate]


def follow(steps: Iterator[Iterate], stage: str, lam: float, start: int, begin: Iterate) -> Steps:
    """Yield each iterate as a Snapshot; returns the last, or `begin` where there is none."""
    last = begin
    for last in steps:
        yield Snapshot(stage, lam, last, start)
    return last


def shown_as(
    best: Iterate, steps: Generator[Snapshot, None, Result], prefix: str = ""
) -> Generator[Snapshot, None, Result]:
    """The same steps; until they end, what is shown is the best until then."""
    while True:
        try:
            snapshot = next(steps)
        except StopIteration as end:
            return cast(Result, end.value)
        yield replace(snapshot, stage=f"{prefix}{snapshot.stage}", iterate=best)


def drained(steps: Generator[Snapshot, None, Result]) -> Result:
    """What steps return, taken to their end at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast(Result, end.value)


def frozen(found: Iterate, penalty: Penalty) -> Penalty:
    """No penalty on the support, no way off it."""
    weights = np.where(found.maps != 0, 0, FORBIDDEN).astype(found.maps.dtype)
    return replace(penalty, mu=0.0, weights=weights)
