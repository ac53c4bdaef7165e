"""Draws: new places and amplitudes of defects on a board, by what is likely there, with NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.board import MIDDLE, NONE, REACH, Board, Groups, Spot
from napari_sbd.core.likelihood import (
    LEAST_LIKELY,
    UNLIKELY,
    UNORDERED,
    Law,
    Twos,
    drawn,
    drawn_number,
    drawn_pair,
)

Real = NDArray[np.floating]
Index = NDArray[np.intp]

PARTNERS = 4  # px, within which two defects are drawn together


@dataclass(frozen=True)
class Round:
    """Groups that are drawn at the same time, and random numbers: uniform (n, 2) and normal (n, 3)."""

    groups: Groups
    uniform: Real
    normal: Real

    def chosen(self, which: NDArray[np.bool_]) -> Round:
        """Some of them."""
        return Round(self.groups.chosen(which), self.uniform[which], self.normal[which])


@dataclass(frozen=True)
class Grid:
    """Tiles in which the number of defects is drawn, side by side from a corner on.

    Attributes
    ----------
    corner : array (2,)
    shape : tuple of int
        How many there are along rows and columns.
    """

    corner: Index
    shape: tuple[int, int]

    TILE: ClassVar[int] = 2 * REACH + 1  # px
    STRIDE: ClassVar[int] = 3  # every which tile, along rows and columns, is drawn at the same time

    @classmethod
    def of(cls, shape: tuple[int, ...], corner: Index) -> Grid:
        """As many as have their middles so far inside a map of this shape."""
        rows, cols = (
            len(range(begin + REACH, length - REACH, cls.TILE))
            for begin, length in zip(corner.tolist(), shape, strict=True)
        )
        return cls(corner, (rows, cols))

    def __len__(self) -> int:
        return self.shape[0] * self.shape[1]

    def rounds(self) -> Iterator[Index]:
        """Numbers of those that are drawn at the same time."""
        numbers = np.arange(len(self)).reshape(self.shape)
        for row, col in product(range(self.STRIDE), repeat=2):
            yield numbers[row :: self.STRIDE, col :: self.STRIDE].ravel()

    def centres(self, numbers: Index) -> Index:
        """Middles (n, 2) of some."""
        return np.asarray(
            self.corner + REACH + self.TILE * np.column_stack(np.divmod(numbers, self.shape[1]))
        )

    def number(self, places: Index) -> Index:
        """Of the tile in which each place (n, 2) lies; -1 outside."""
        tile = (places - self.corner) // self.TILE
        inside = ((tile >= 0) & (tile < self.shape)).all(1)
        return np.where(inside, tile @ [self.shape[1], 1], -1)


class Draws:
    """New places and amplitudes on a board.

    Parameters
    ----------
    board : Board
    law : Law
        What is likely.
    """

    def __init__(self, board: Board, law: Law) -> None:
        self.board, self.law = board, law

    def matched(self, rng: np.random.Generator) -> Groups:
        """Defects paired at random with near ones, as far as there are any."""
        close = self.board.close(PARTNERS)
        free = np.ones(len(self.board), bool)
        pairs = []
        for number in rng.permutation(len(close)).tolist():
            first, second = close.first[number], close.second[number]
            if free[first] and free[second]:
                free[first] = free[second] = False
                pairs.append(number)
        alone = np.flatnonzero(free)
        return Groups(np.append(alone, close.first[pairs]), np.append(alone, close.second[pairs]))

    def move(self, rounds: list[Round]) -> None:
        """As many defects as there are, at other places: groups round by round."""
        for one in rounds:
            paired = one.groups.paired
            if not paired.all():
                self._move_one(one.chosen(~paired))
            if paired.any():
                self._move_two(one.chosen(paired))
            self.board.refresh()
        self.board.tidy()

    def redraw(self, kind: int, grid: Grid, uniform: Real, normal: Real) -> None:
        """None, one or two defects of a kind in each tile, by random numbers (n,), and normal ones (n, 3).

        Tiles with more stay as they are, and so do empty ones where a defect is unlikely.
        """
        for numbers in grid.rounds():
            chosen, first, second = self._tiles(kind, grid, numbers)
            if len(chosen):
                centres = grid.centres(chosen)
                self._redraw(kind, centres, (first, second), uniform[chosen], normal[chosen])
                self.board.refresh()
        self.board.tidy()

    @property
    def misfit(self) -> float:
        """Half the sum of squares of what the defects leave of the image."""
        return self.board.misfit

    def _move_one(self, one: Round) -> None:
        board, numbers = self.board, one.groups.first
        spot = board.spot(board.kinds[numbers], board.centres[numbers], [numbers])
        pulls = self.law.pulls(spot)
        weights = pulls.alone
        # Who has no place that is seen stays.
        weights[:, MIDDLE] = np.maximum(weights[:, MIDDLE], LEAST_LIKELY)
        at = drawn(weights, one.uniform[:, 0])
        board.put(numbers, _places(spot, at), pulls.amplitudes(at, one.normal[:, 0]))

    def _move_two(self, one: Round) -> None:
        groups = one.groups
        twos = Twos(self.board.views(groups), self.law)
        weights = twos.weights()
        weights[:, MIDDLE, MIDDLE] = np.maximum(weights[:, MIDDLE, MIDDLE], LEAST_LIKELY)
        at = drawn_pair(weights, one.uniform)
        sizes = twos.amplitudes(at, one.normal)
        for n, numbers in enumerate((groups.first, groups.second)):
            self.board.put(numbers, _places(twos.views.spots[n], at[:, n]), sizes[:, n])

    def _tiles(self, kind: int, grid: Grid, numbers: Index) -> tuple[Index, Index, Index]:
        """Of some tiles those where at most two defects are, or one is likely, and these defects' numbers."""
        board = self.board
        here = np.flatnonzero((board.kinds == kind) & (board.sizes != 0))
        tile = grid.number(board.centres[here])
        count = np.bincount(tile[tile >= 0], minlength=len(grid))
        first, second = np.full((2, len(grid)), NONE)
        # What is written last stays: the second of two, and backwards the first.
        second[tile[tile >= 0]] = here[tile >= 0]
        first[tile[tile >= 0][::-1]] = here[tile >= 0][::-1]
        second[count < 2] = NONE
        empty = numbers[count[numbers] == 0]
        spot = board.spot(np.full(len(empty), kind), grid.centres(empty), [])
        likely = np.zeros(len(grid), bool)
        likely[empty] = self.law.pulls(spot).alone.max(1, initial=UNLIKELY) > UNLIKELY
        chosen = numbers[likely[numbers] | (count[numbers] == 1) | (count[numbers] == 2)]
        return chosen, first[chosen], second[chosen]

    def _redraw(
        self, kind: int, centres: Index, own: tuple[Index, Index], uniform: Real, normal: Real
    ) -> None:
        board = self.board
        twos = Twos(board.twice(kind, centres, own), self.law)
        number, at = drawn_number(twos.pulls[0].alone, twos.weights(UNORDERED), uniform)
        sizes = twos.amplitudes(at, normal)
        sizes[number == 1, 0] = twos.pulls[0].amplitudes(at[:, 0], normal[:, 0])[number == 1]
        gone = np.append(*own)
        board.sizes[gone[gone != NONE]] = 0
        for n in range(2):
            there = number > n
            places = _places(twos.views.spots[0], at[:, n])[there]
            board.add(np.full(len(places), kind), places, sizes[there, n])


def _places(spot: Spot, at: Index) -> Index:
    return np.asarray(spot.places[np.arange(len(at)), at])
