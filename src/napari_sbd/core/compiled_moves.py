"""Moves in machine code: what `moves.py` does, by the loops of `move_loops.py`."""

from __future__ import annotations

import numpy as np

from napari_sbd.core import move_loops
from napari_sbd.core.board import AROUND, Board, Groups
from napari_sbd.core.moves import LEAST_GAIN, Moves, Odds, Rules


def best_moves(board: Board, groups: Groups, odds: Odds, rules: Rules) -> Moves:
    """The best move of each group that gains by one, the same ones but for rounding."""
    number, (shown, roots) = len(groups), board.around
    best = move_loops.Best(np.empty(number), np.empty((number, 2), np.intp), np.empty((number, 2)))
    puzzle = move_loops.Puzzle(
        shown=shown,
        roots=roots,
        table=board.correlations,
        typical=odds.typical.astype(float),
        spread=odds.spread.astype(float),
        weight=float(odds.weight),
        price=float(rules.price),
        nonnegative=bool(rules.nonnegative),
    )
    kinds, rows, cols = (np.ascontiguousarray(values) for values in (board.kinds, board.rows, board.cols))
    state = kinds, rows, cols, board.sizes.astype(float)
    move_loops.best_of_groups(puzzle, state, groups.first, groups.second, LEAST_GAIN, best)
    good = np.flatnonzero(best.gain > 0)
    chosen = groups.chosen(good)
    both = np.column_stack([chosen.first, chosen.second])
    places = board.centres[both] + AROUND[best.where[good]]
    return Moves(chosen, kinds[both], places, best.sizes[good].astype(board.sizes.dtype), best.gain[good])


def compile_now() -> None:
    """Compile all loops, on an empty board: what numba does not get on with here shows at once."""
    none, odds = np.empty(0, np.intp), Odds([np.ones(1, np.float32)], 1.0)
    best_moves(Board.of_nothing(), Groups(none, none), odds, Rules(1.0, nonnegative=True))
