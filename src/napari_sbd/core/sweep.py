"""A sweep of sampling: every defect drawn anew, first where it lies, then how many there are.

Many are drawn at a time as if the others stayed. Random numbers are drawn here, all that may be needed:
`draws.py` and, in machine code, `compiled_draws.py` do the same with them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.board import Board
from napari_sbd.core.compiled import compiled_draws
from napari_sbd.core.draws import Draws, Grid, Round
from napari_sbd.core.likelihood import Law

Index = NDArray[np.intp]

CELL, TURNS = 5, 2  # px: groups that are moved at the same time lie in every other cell; so many of a cell


def sweep(board: Board, law: Law, rng: np.random.Generator) -> float:
    """Draw all defects of a board once, in machine code where that is at hand; the misfit that this leaves.

    Parameters
    ----------
    board : Board
    law : Law
        What is likely.
    rng : Generator
    """
    draws = (compiled_draws() or Draws)(board, law)
    draws.move(_rounds(draws, rng))
    for kind in range(board.shape[0]):
        grid = Grid.of(board.shape[1:], rng.integers(0, Grid.TILE, 2))
        uniform, normal = rng.random(len(grid)), rng.standard_normal((len(grid), 3))
        draws.redraw(kind, grid, uniform, normal)
    return draws.misfit


def _rounds(draws: Draws, rng: np.random.Generator) -> list[Round]:
    """Groups that are drawn at the same time: one in every other cell of a grid that lies at random.

    A third one in a cell, and more, wait for the next sweep: they are few.
    """
    board, groups = draws.board, draws.matched(rng)
    uniform, normal = rng.random((len(groups), 2)), rng.standard_normal((len(groups), 3))
    cells = (board.centres[groups.first] + rng.integers(0, 2 * CELL, 2)) // CELL
    order = rng.permutation(len(groups))
    flat = cells[order] @ [2**20, 1]
    sort = np.argsort(flat, kind="stable")
    begins = np.flatnonzero(np.append(True, np.diff(flat[sort]) != 0))
    turn = np.arange(len(sort)) - np.repeat(begins, np.diff(np.append(begins, len(sort))))
    colour = 4 * turn + (cells[order][sort] % 2) @ [2, 1]
    rounds = [order[sort[colour == one]] for one in np.unique(colour[turn < TURNS])]
    return [Round(groups.chosen(which), uniform[which], normal[which]) for which in rounds]
