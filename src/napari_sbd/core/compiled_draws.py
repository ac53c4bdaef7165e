"""Draws in machine code: what `draws.py` does, by the loops of `draw_loops.py`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core import draw_loops, pair_loops
from napari_sbd.core.board import REACH, Board, Groups
from napari_sbd.core.draws import PARTNERS, Draws, Grid, Round
from napari_sbd.core.likelihood import Law
from napari_sbd.core.window import padded

Real = NDArray[np.floating]

LANES = 32  # numbers that a loop takes at a time


class CompiledDraws(Draws):
    """New places and amplitudes on a board, the same ones but for rounding.

    What the board shows is not kept up: after sampling's next step its kernels are others.
    """

    def __init__(self, board: Board, law: Law) -> None:
        super().__init__(board, law)
        typical, variance, odds = (v.astype(float) for v in (law.typical, law.variance, law.odds))
        self._rule = draw_loops.Rule(typical, variance, odds, float(law.noise), bool(law.nonnegative))
        self._scene = _scene(board)

    def matched(self, rng: np.random.Generator) -> Groups:
        """Defects paired at random with near ones."""
        rows, cols = (np.ascontiguousarray(places) for places in (self.board.rows, self.board.cols))
        pairs = pair_loops.near_pairs(rows, cols, PARTNERS)
        alone, both = pair_loops.matched(pairs, rng.permutation(len(pairs)), len(rows))
        return Groups(np.append(alone, both[:, 0]), np.append(alone, both[:, 1]))

    def move(self, rounds: list[Round]) -> None:
        """As many defects as there are, at other places: groups round by round."""
        if rounds:
            groups = np.concatenate([np.column_stack([r.groups.first, r.groups.second]) for r in rounds])
            uniform, normal = (np.concatenate([getattr(r, n) for r in rounds]) for n in ("uniform", "normal"))
            ends = np.cumsum([len(r.groups) for r in rounds])
            # Of one layout in memory, for which alone loops are compiled.
            kinds, rows, cols, sizes = self.board.state
            kinds, rows, cols = (np.ascontiguousarray(numbers) for numbers in (kinds, rows, cols))
            self.board.state = kinds, rows, cols, np.ascontiguousarray(sizes)
            draw_loops.move(self._scene, self._rule, self.board.state, groups, ends, uniform, normal)
        self.board.tidy()

    def redraw(self, kind: int, grid: Grid, uniform: Real, normal: Real) -> None:
        """None, one or two defects of a kind in each tile, by random numbers (n,), and normal ones (n, 3)."""
        rounds, maps = list(grid.rounds()), self.board.maps()
        ends, order = np.cumsum([len(numbers) for numbers in rounds]), np.concatenate(rounds)
        tiles, numbers = grid.centres(order), (uniform[order], normal[order])
        draw_loops.redraw(self._scene, self._rule, maps, kind, tiles, ends, *numbers)
        kinds, rows, cols = np.nonzero(maps)
        self.board.state = kinds, rows, cols, maps[kinds, rows, cols]

    @property
    def misfit(self) -> float:
        """Half the sum of squares of what the defects leave of the image."""
        left = self._scene.left.ravel()
        return 0.5 * float(np.vdot(left, left))


def compile_now() -> None:
    """Compile all loops, on an empty board: what numba does not get on with here shows at once."""
    board, one, none = Board.of_nothing(), np.ones(1), np.empty(0, np.intp)
    draws = CompiledDraws(board, Law(1.0, one, one, -one, nonnegative=True))
    draws.matched(np.random.default_rng(0))
    draws.move([Round(Groups(none, none), np.empty((0, 2)), np.empty((0, 3)))])
    grid = Grid.of(board.shape[1:], np.zeros(2, np.intp))
    draws.redraw(0, grid, np.zeros(len(grid)), np.zeros((len(grid), 3)))


def _scene(board: Board) -> draw_loops.Scene:
    objective, kernels, table = board.objective, board.kernels, board.correlations
    k1, k2 = kernels.shape[2:]
    width, wide = _of_lanes(k2), _of_lanes(2 * k2 - 1)
    middle = table.shape[2] // 2, table.shape[3] // 2
    first, margin = middle[1] - k2 + 1, (max(k1 - 1, REACH), max(k2 - 1, REACH))
    left = board.left()
    beyond = k1 - 1 + REACH
    pixels = (beyond, k2 - 1 + REACH), (beyond, width + REACH)
    places = margin, (margin[0], wide)
    mask = objective.mask.astype(left.dtype)
    return draw_loops.Scene(
        shown=padded(board.shown, *places),
        roots=padded(board.roots, *places),
        margin=margin,
        table=padded(table, (0, 0), (0, wide)),
        middle=middle,
        first=first,
        wide=wide,
        kernels=padded(kernels, (0, 0), (0, width - k2)),
        left=padded(left, *pixels),
        mask=padded(mask, *pixels),
        means=np.zeros(len(left)),
        counts=np.maximum(mask.sum((1, 2), dtype=float), 1),
        sums=kernels.sum((2, 3), dtype=float),
        shift=np.zeros(len(kernels)),
    )


def _of_lanes(columns: int) -> int:
    """So many columns, or a few more, as a loop takes at a time."""
    return -(-columns // LANES) * LANES
