"""Move loops: in machine code (numba), what `moves.py` does with arrays of all places and pairs of places.

The formulas, and why they are these, are those of `moves.py` and `board.py`. As in `draw_loops.py` all loops
stand in one file.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.board import REACH
from napari_sbd.core.machine_code import machine_code
from napari_sbd.core.moves import FREEDOM, RIDGE, SMALLEST_NORM

Real = NDArray[np.floating]
Index = NDArray[np.intp]
Place = tuple[int, int, int]
State = tuple[Index, Index, Index, Real]

SIDE = 2 * REACH + 1
LAG_SIDE, PLACES = 2 * SIDE - 1, SIDE**2
MIDDLE = PLACES // 2


class Puzzle(NamedTuple):
    """What all loops see.

    Attributes
    ----------
    shown : array (types, rows, cols)
        What kernels find in what is left, `REACH` places more on each side.
    roots : array like it
        Of the visible shares of atoms.
    table : array (types, types, lags, lags)
        The kernels' correlations, lag 0 in the middle, zero at the ends.
    typical, spread : array (types,)
        Of amplitudes.
    weight : float
        What the odds of amplitudes count.
    price : float
        Of a second defect.
    nonnegative : bool
        Whether amplitudes must be.
    """

    shown: Real
    roots: Real
    table: Real
    typical: Real
    spread: Real
    weight: float
    price: float
    nonnegative: bool


class Spot(NamedTuple):
    """What is seen at the places around a centre."""

    reach: Real
    roots: Real
    norms: Real


class Work(NamedTuple):
    """Room for overlaps of whole atoms by lag, for those of one place with all others, and for a row."""

    lags: Real
    row: Real
    room: Real


class Best(NamedTuple):
    """What the best move of each group gains, zero where none does, and its places and sizes (groups, 2)."""

    gain: Real
    where: Index
    sizes: Real


@machine_code
def cost(puzzle: Puzzle, size: float, kind: int) -> float:
    """Of one amplitude."""
    off = (abs(size) - puzzle.typical[kind]) / puzzle.spread[kind]
    return float(puzzle.weight * (FREEDOM + 1) / 2 * np.log1p(off * off / FREEDOM))


@machine_code
def read(out: Real, table: Real, down: int, right: int, side: int) -> None:
    """Inner products of two whole atoms at the lags (side, side) around one; `table` is zero at its ends."""
    rows, cols = table.shape
    top = min(max(rows // 2 + down - side // 2, 0), rows - side)
    first = min(max(cols // 2 + right - side // 2, 0), cols - side)
    for row in range(side):
        for col in range(side):
            out[row * side + col] = table[top + row, first + col]


@machine_code
def look(puzzle: Puzzle, spot: Spot, centre: Place) -> None:
    """Around a centre, all defects being where they are."""
    kind, top, first = centre
    for place in range(PLACES):
        row, col = top + place // SIDE, first + place % SIDE
        spot.roots[place] = puzzle.roots[kind, row, col]
        spot.norms[place] = spot.roots[place] ** 2
        spot.reach[place] = puzzle.shown[kind, row, col]


@machine_code
def take_out(puzzle: Puzzle, spot: Spot, work: Work, centre: Place, own: Place, size: float) -> None:
    """One defect out of what is seen around a centre."""
    size = size * puzzle.roots[own[0], own[1] + REACH, own[2] + REACH]
    read(work.row, puzzle.table[centre[0], own[0]], centre[1] - own[1], centre[2] - own[2], SIDE)
    for place in range(PLACES):
        spot.reach[place] += size * spot.roots[place] * work.row[place]


@machine_code
def explained(puzzle: Puzzle, spots: tuple[Spot, Spot], sizes: tuple[float, float], lag: float) -> float:
    """What two defects explain in the middles of their spots, `lag` being the overlap of whole ones."""
    gain = -sizes[0] * sizes[1] * lag * spots[0].roots[MIDDLE] * spots[1].roots[MIDDLE]
    for which in range(2):
        spot, size = spots[which], sizes[which]
        gain += size * spot.reach[MIDDLE] - 0.5 * size * size * spot.norms[MIDDLE]
    return float(gain)


@machine_code
def one(puzzle: Puzzle, spot: Spot, kind: int, slot: int, least: float, best: Best, group: int) -> None:
    """The best of one defect, at a place around a centre."""
    for place in range(PLACES):
        norm = spot.norms[place]
        if norm <= SMALLEST_NORM:
            continue
        size = spot.reach[place] / norm
        if puzzle.nonnegative:
            size = max(size, 0.0)
        gain = 0.5 * size * size * norm
        if gain <= max(least, best.gain[group]):
            continue
        gain -= cost(puzzle, size, kind)
        if gain > max(least, best.gain[group]):
            best.gain[group] = gain
            best.where[group, 0] = best.where[group, 1] = place
            best.sizes[group, slot], best.sizes[group, 1 - slot] = size, 0.0


@machine_code
def crosses(row: Real, lags: Real, root: float, roots: Real, place: int) -> None:
    """Overlaps of the atom at a place around the first centre with those around the second."""
    for down in range(SIDE):
        begin = (place // SIDE + SIDE - 1 - down) * LAG_SIDE + place % SIDE + SIDE - 1
        for right in range(SIDE):
            row[down * SIDE + right] = lags[begin - right]
    for other in range(PLACES):
        row[other] *= root * roots[other]


@machine_code
def promises(room: Real, row: Real, first: tuple[float, float], second: Spot, limit: float) -> float:
    """How much more than the limit two defects explain, times their determinant; the largest."""
    b1, n1 = first
    for j in range(PLACES):
        b2, n2 = second.reach[j], second.norms[j]
        # A division would take longer than all else.
        explained_ = b1 * b1 * n2 + b2 * b2 * n1 - 2 * row[j] * b1 * b2
        room[j] = explained_ - limit * (n1 * n2 - row[j] * row[j])
    most = room[0]
    for j in range(1, PLACES):
        most = max(most, room[j])
    return float(most)


@machine_code
def two(
    puzzle: Puzzle,
    spots: tuple[Spot, Spot],
    kinds: tuple[int, int],
    work: Work,
    least: float,
    best: Best,
    group: int,
) -> None:
    """The best of two defects, each at a place around one of two centres."""
    first, second = spots
    limit, row, room = 2 * (least + puzzle.price), work.row, work.room
    for i in range(PLACES):
        b1, n1 = first.reach[i], first.norms[i]
        if n1 <= SMALLEST_NORM:
            continue
        crosses(row, work.lags, first.roots[i], second.roots, i)
        if promises(room, row, (b1, n1), second, limit) <= 0:
            continue
        for j in range(PLACES):
            b2, n2, cross = second.reach[j], second.norms[j], row[j]
            determinant = n1 * n2 - cross * cross
            if room[j] <= 0 or n2 <= SMALLEST_NORM or determinant <= RIDGE * n1 * n2:
                continue
            x, y = (n2 * b1 - cross * b2) / determinant, (n1 * b2 - cross * b1) / determinant
            if puzzle.nonnegative and (x <= 0 or y <= 0):
                continue
            gain = 0.5 * (x * b1 + y * b2) - puzzle.price
            if gain <= max(least, best.gain[group]):
                continue
            gain -= cost(puzzle, x, kinds[0]) + cost(puzzle, y, kinds[1])
            if gain > max(least, best.gain[group]):
                best.gain[group] = gain
                best.where[group, 0], best.where[group, 1] = i, j
                best.sizes[group, 0], best.sizes[group, 1] = x, y


@machine_code
def spot_of() -> Spot:
    """Room for one."""
    return Spot(np.empty(PLACES), np.empty(PLACES), np.empty(PLACES))


@machine_code
def best_of_groups(
    puzzle: Puzzle, state: State, first: Index, second: Index, least_gain: float, best: Best
) -> None:
    """The best move of each group that gains by one: into `best`, its gain less what it must reach.

    Sizes come in double precision.
    """
    all_kinds, rows, cols, all_sizes = state
    spots, work = (spot_of(), spot_of()), Work(np.empty(LAG_SIDE**2), np.empty(PLACES), np.empty(PLACES))
    for group in range(len(first)):
        a, b = first[group], second[group]
        centres = (all_kinds[a], rows[a], cols[a]), (all_kinds[b], rows[b], cols[b])
        kinds, sizes = (all_kinds[a], all_kinds[b]), (all_sizes[a], all_sizes[b])
        if a == b:
            sizes = sizes[0], 0.0
        for spot, centre in zip(spots, centres):  # noqa: B905 (numba knows no strict)
            look(puzzle, spot, centre)
            take_out(puzzle, spot, work, centre, centres[0], sizes[0])
            if a != b:
                take_out(puzzle, spot, work, centre, centres[1], sizes[1])
        down, right = centres[0][1] - centres[1][1], centres[0][2] - centres[1][2]
        read(work.lags, puzzle.table[kinds[0], kinds[1]], down, right, LAG_SIDE)
        now = explained(puzzle, spots, sizes, work.lags[LAG_SIDE**2 // 2]) - cost(puzzle, sizes[0], kinds[0])
        if a != b:
            now -= puzzle.price + cost(puzzle, sizes[1], kinds[1])
        least = now + max(least_gain * puzzle.price, 1e-6 * abs(now))
        best.gain[group] = -np.inf
        for slot in range(2):
            one(puzzle, spots[slot], kinds[slot], slot, least, best, group)
        two(puzzle, spots, kinds, work, least, best, group)
        best.gain[group] = max(best.gain[group] - least, 0.0)
