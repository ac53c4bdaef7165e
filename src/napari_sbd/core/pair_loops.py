"""Pair loops: in machine code (numba), near defects and how they are paired, as `draws.py` has it.

As in `draw_loops.py` all loops stand in one file.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.machine_code import machine_code

Index = NDArray[np.intp]


@machine_code
def near_pairs(rows: Index, cols: Index, near: int) -> Index:
    """Pairs (n, 2) at most so far apart along rows and columns, the first before the second, in order."""
    number = len(rows)
    if number < 2:
        return np.empty((0, 2), np.intp)
    # One cell more on each side, so that every cell has neighbours.
    wide = cols.max() // near + 3
    heads, after = np.full((rows.max() // near + 3) * wide, -1, np.intp), np.empty(number, np.intp)
    for one in range(number - 1, -1, -1):
        cell = (rows[one] // near + 1) * wide + cols[one] // near + 1
        after[one] = heads[cell]
        heads[cell] = one
    pairs, count = np.empty((4 * number, 2), np.intp), 0
    for one in range(number):
        begin = count
        corner = rows[one] // near * wide + cols[one] // near
        for cell in range(9):
            other = heads[corner + cell // 3 * wide + cell % 3]
            while other >= 0:
                beside = abs(rows[other] - rows[one]) <= near and abs(cols[other] - cols[one]) <= near
                if other > one and beside:
                    if count == len(pairs):
                        pairs = np.concatenate((pairs, np.empty_like(pairs)))
                    place = count
                    while place > begin and pairs[place - 1, 1] > other:
                        pairs[place] = pairs[place - 1]
                        place -= 1
                    pairs[place, 0], pairs[place, 1] = one, other
                    count += 1
                other = after[other]
    return pairs[:count]


@machine_code
def matched(pairs: Index, order: Index, number: int) -> tuple[Index, Index]:
    """Of so many defects, those alone, and pairs (n, 2) of the others: in this order, as long as both are."""
    alone, taken, count = np.ones(number, np.bool_), np.empty((number // 2, 2), np.intp), 0
    for one in order:
        first, second = pairs[one]
        if alone[first] and alone[second]:
            alone[first] = alone[second] = False
            taken[count, 0], taken[count, 1] = first, second
            count += 1
    return np.flatnonzero(alone), taken[:count]
