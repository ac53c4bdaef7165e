"""Draw loops: in machine code (numba), what `draws.py` does with arrays of all places and pairs of places.

The formulas, and why they are these, are those of `likelihood.py` and `board.py`. Here the image that is
left and what kernels find in it follow each change, by atoms and by the kernels' correlations: no transforms.

All loops stand in one file, for numba compiles them anew only when the file of the outermost has changed.
After a change of a constant from elsewhere, remove `__pycache__`; `tests/core/test_draws.py` tells.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.board import BETWEEN, MIDDLE, NONE, REACH, WHOLE
from napari_sbd.core.likelihood import ALIKE, LEAST_LIKELY, LEAST_SEEN, UNLIKELY, WEAK
from napari_sbd.core.machine_code import machine_code

Real = NDArray[np.floating]
Number = float | np.floating
Index = NDArray[np.intp]
Pair = tuple[int, int]
State = tuple[Index, Index, Index, Real]

SIDE, LAG_SIDE = 2 * REACH + 1, 4 * REACH + 1
PLACES, LAGS = SIDE**2, LAG_SIDE**2
OPTIONS = 1 + PLACES + PLACES * (PLACES - 1) // 2  # none, one, or two defects of a kind around a centre
# Rows of a spot (8, places).
FOUND, ROOT, PRECISION, LINEAR, CONSTANT, EXCESS, LOGGED, SPREAD = range(8)
CROSS, INVERSE, LOGARITHM = range(3)  # of the precision of two: rows of a table by lag (3, lags)
STAYS = -2  # in place of a place: the defects of a tile do
NEVER = -1e30  # a log weight: infinities would rule out what makes the loops fast
SLIGHT = -18.0  # log weight against the largest, which single precision loses
CROSSED = 7.0  # what the logarithm of a pair's cross term is at most: -½ log `ALIKE`
UNCUT = 1 - 1e-6  # root of the visible share of an atom of which nothing is hidden


class Scene(NamedTuple):
    """What all loops see. Rows of arrays are padded such that loops over columns need not look for ends.

    Attributes
    ----------
    shown : array (types, rows, cols)
        What kernels find in what is left, less `shift`, with a margin; not kept up for atoms that are cut.
    roots : array like it
        Of the visible shares of atoms.
    margin : tuple of int
        Rows above and columns to the left of the first place of these two.
    table : array (types, types, lags, lags)
        The kernels' correlations, zero at the ends.
    middle : tuple of int
        Where lag 0 stands in it.
    first, wide : int
        Its first column that is not zero, and how many are read from there.
    kernels : array (types, slices, k1, columns)
    left : array (slices, rows, cols)
        What is left of the image, with k - 1 pixels around it, and `REACH` more.
    mask : array like it
        1 where a pixel counts.
    means : array (slices,)
        Of what is left: the bias, which is taken off after each round.
    counts : array (slices,)
        Pixels that count.
    sums : array (types, slices)
        Of the kernels.
    shift : array (types,)
        What the biases take off all that is shown.
    """

    shown: Real
    roots: Real
    margin: Pair
    table: Real
    middle: Pair
    first: int
    wide: int
    kernels: Real
    left: Real
    mask: Real
    means: Real
    counts: Real
    sums: Real
    shift: Real


class Rule(NamedTuple):
    """A `Law` for loops: arrays by type, and two numbers."""

    typical: Real
    variance: Real
    odds: Real
    noise: float
    nonnegative: bool


class Work(NamedTuple):
    """Arrays that loops write to: two spots, weights, what lags tell, shares and numbers of options."""

    one: Real
    other: Real
    alone: Real
    both: Real
    options: Real
    by_lag: Real
    shares: Real
    kept: Index
    floors: Real
    columns: Real
    own: Index


@machine_code
def work_for(scene: Scene) -> Work:
    """Room for work."""
    return Work(
        np.empty((8, PLACES)),
        np.empty((8, PLACES)),
        np.empty(PLACES),
        np.empty(PLACES**2),
        np.empty(OPTIONS),
        np.empty((3, LAGS)),
        np.empty(PLACES**2),
        np.empty(PLACES**2, np.intp),
        np.empty(2),
        np.empty((SIDE, scene.kernels.shape[3]), np.float32),
        np.empty((2, 2), np.intp),
    )


@machine_code
def look(spot: Real, scene: Scene, work: Work, kind: int, row: int, col: int, least: float) -> None:
    """What is seen at the places around a centre; not of rows where no more than `least` of an atom is."""
    down, right = scene.margin
    for r in range(SIDE):
        cut, most = False, 0.0
        for c in range(SIDE):
            place = r * SIDE + c
            at = row + r - REACH + down, col + c - REACH + right
            root = scene.roots[kind, at[0], at[1]]
            spot[ROOT, place] = root
            cut = cut or root < UNCUT
            most = max(most, root)
            spot[FOUND, place] = scene.shown[kind, at[0], at[1]] - scene.shift[kind]
        if cut and most * most > least:
            look_along(spot, scene, work.columns, kind, r, row + r - REACH, col - REACH)


@machine_code
def look_along(spot: Real, scene: Scene, columns: Real, kind: int, number: int, row: int, col: int) -> None:
    """What atoms of one row of a spot find in what is left of the image, pixel by pixel.

    By the atoms' columns first, which is fast; not of rows outside the frame.
    """
    columns[:] = 0
    width, height = columns.shape[1], scene.kernels.shape[2]
    above = height - 1 - row
    below = scene.left.shape[1] - 2 * REACH - (height - 1) - row
    for n in range(len(scene.left)):
        for r in range(max(above, 0), min(below, height)):
            atom, line = scene.kernels[kind, n, r], scene.left[n, row + r + REACH, col + REACH :]
            for c in range(SIDE):
                sums, pixels = columns[c], line[c : c + width]
                for m in range(width):
                    sums[m] += atom[m] * pixels[m]
    for c in range(SIDE):
        place = number * SIDE + c
        if spot[ROOT, place] < UNCUT:
            spot[FOUND, place] = columns[c].sum() if spot[ROOT, place] > 0 else 0.0


@machine_code
def leave_out(spot: Real, scene: Scene, kind: int, row: int, col: int, state: State, own: int) -> None:
    """The same without a defect near there."""
    kinds, rows, cols, sizes = state
    leave_out_at(spot, scene, kind, row, col, kinds[own], rows[own], cols[own], sizes[own])


@machine_code
def leave_out_at(
    spot: Real,
    scene: Scene,
    kind: int,
    row: int,
    col: int,
    own_kind: int,
    own_row: int,
    own_col: int,
    size: float,
) -> None:
    """The same by what it is."""
    size = size * scene.roots[own_kind, own_row + scene.margin[0], own_col + scene.margin[1]]
    top, begin = row - own_row + scene.middle[0] - REACH, col - own_col + scene.middle[1] - REACH
    for place in range(PLACES):
        lag = scene.table[kind, own_kind, top + place // SIDE, begin + place % SIDE]
        spot[FOUND, place] += size * spot[ROOT, place] * lag


@machine_code
def change(scene: Scene, kind: int, row: int, col: int, size: Number) -> None:
    """Add to a defect's size, or put one there, and show what that leaves."""
    by = np.float32(size)
    height, width = scene.kernels.shape[2:]
    for n in range(len(scene.left)):
        total = np.float32(0)
        for r in range(height):
            at, end = row + r + REACH, col + REACH + width
            atom, line = scene.kernels[kind, n, r], scene.left[n, at, col + REACH : end]
            seen = scene.mask[n, at, col + REACH : end]
            for m in range(width):
                less = by * atom[m] * seen[m]
                line[m] -= less
                total += less
        scene.means[n] -= total / scene.counts[n]
    first, wide = scene.first, scene.wide
    begin = col + scene.margin[1] - scene.middle[1] + first
    for other in range(len(scene.shown)):
        for lag in range(1 - height, height):
            lags = scene.table[other, kind, lag + scene.middle[0], first : first + wide]
            line = scene.shown[other, row + lag + scene.margin[0], begin : begin + wide]
            for m in range(wide):
                line[m] -= by * lags[m]


@machine_code
def take_bias(scene: Scene) -> None:
    """Take the mean off what is left."""
    for n in range(len(scene.left)):
        mean = np.float32(scene.means[n])
        for r in range(scene.left.shape[1]):
            line, seen = scene.left[n, r], scene.mask[n, r]
            for c in range(len(line)):
                line[c] -= mean * seen[c]
        for kind in range(len(scene.shift)):
            scene.shift[kind] += scene.means[n] * scene.sums[kind, n]
        scene.means[n] = 0


@machine_code
def whole_precision(rule: Rule, kind: int) -> Number:
    """Of the amplitude of an atom that is seen whole."""
    return 1 / rule.noise + 1 / float(rule.variance[kind])


@machine_code
def weigh(weights: Real, spot: Real, rule: Rule, kind: int) -> bool:
    """Log weights of one defect at the places of a spot; True where all atoms there are seen whole."""
    noise, nonnegative = rule.noise, rule.nonnegative
    typical, variance = rule.typical[kind], rule.variance[kind]
    constant = rule.odds[kind] - 0.5 * typical**2 / variance - 0.5 * np.log(variance)
    half_log, whole = 0.5 * np.log(whole_precision(rule, kind)), True
    for place in range(PLACES):
        found, root = spot[FOUND, place], spot[ROOT, place]
        whole = whole and root >= WHOLE
        sign = 1.0 if nonnegative or found >= 0 else -1.0
        a = root * root / noise + 1 / variance
        b = found / noise + sign * typical / variance
        excess = b - a * WEAK * typical
        below = min(excess, 0.0) if nonnegative else 0.0
        spot[PRECISION, place], spot[LINEAR, place], spot[EXCESS, place] = a, b, excess
        spot[CONSTANT, place] = constant if root * root > LEAST_SEEN else NEVER
        spot[SPREAD, place] = 1 / a
        spot[LOGGED, place] = spot[CONSTANT, place] - (half_log if root >= UNCUT else 0.5 * np.log(a))
        weights[place] = spot[LOGGED, place] + 0.5 * (b * b - below * below) / a
    return whole


@machine_code
def cross_terms(by_lag: Real, scene: Scene, kinds: Pair, lag: Pair, noise: float) -> None:
    """By lag the cross term of the precision of two atoms, were they seen whole."""
    top, left = lag[0] + scene.middle[0] - 2 * REACH, lag[1] + scene.middle[1] - 2 * REACH
    for r in range(LAG_SIDE):
        for c in range(LAG_SIDE):
            by_lag[CROSS, r * LAG_SIDE + c] = scene.table[kinds[0], kinds[1], top + r, left + c] / noise


@machine_code
def tabulate(by_lag: Real, precisions: tuple[Number, Number]) -> None:
    """What else weights of two atoms that are seen whole have from their lag alone."""
    product = precisions[0] * precisions[1]
    for n in range(LAGS):
        determinant = max(product - by_lag[CROSS, n] ** 2, ALIKE * product)
        by_lag[INVERSE, n], by_lag[LOGARITHM, n] = 1 / determinant, 0.5 * np.log(determinant)


@machine_code
def weigh_two(
    both: Real,
    first: Real,
    second: Real,
    precisions: tuple[Number, Number],
    work: Work,
    nonnegative: bool,
    once: bool,
) -> None:
    """Log weights of defects at any two places around two centres where all atoms are seen whole.

    One after the other for each first place; with `once` only second places that come after it.
    """
    by_lag, floors, (a1, a2) = work.by_lag, work.floors, precisions
    per1, per2 = 0.5 / a1, 0.5 / a2
    n = 0
    for i in range(PLACES):
        b1, e1, constant = first[LINEAR, i], first[EXCESS, i], first[CONSTANT, i]
        begin = i + 1 if once else 0
        for j in range(begin, PLACES):
            lag = BETWEEN[i, j]
            c, b2, e2 = by_lag[CROSS, lag], second[LINEAR, j], second[EXCESS, j]
            gain = 0.5 * (b1 * b1 * a2 + b2 * b2 * a1) - c * b1 * b2
            if nonnegative:
                one = min(a2 * e1 - c * (b2 - c * floors[0]), 0.0)
                two = min(a1 * e2 - c * (b1 - c * floors[1]), 0.0)
                gain -= one * one * per2 + two * two * per1
            weight = constant + second[CONSTANT, j] - by_lag[LOGARITHM, lag]
            both[n + j - begin] = weight + gain * by_lag[INVERSE, lag]
        n += PLACES - begin


@machine_code
def weigh_two_cut(both: Real, first: Real, second: Real, work: Work, nonnegative: bool, once: bool) -> None:
    """The same where frame or mask cut some.

    The logarithm that a pair's own cross term takes is left out, at most `CROSSED`, where it changes nothing.
    """
    by_lag, floors, shares = work.by_lag, work.floors, work.shares
    n = 0
    for i in range(PLACES):
        a1, b1, e1, constant = first[PRECISION, i], first[LINEAR, i], first[EXCESS, i], first[LOGGED, i]
        root, per1 = first[ROOT, i], 1 / first[PRECISION, i]
        begin = i + 1 if once else 0
        for j in range(begin, PLACES):
            a2, b2, e2, per2 = second[PRECISION, j], second[LINEAR, j], second[EXCESS, j], second[SPREAD, j]
            c = by_lag[CROSS, BETWEEN[i, j]] * root * second[ROOT, j]
            gain = 0.5 * (b1 * b1 * a2 + b2 * b2 * a1) - c * b1 * b2
            if nonnegative:
                one = min(a2 * e1 - c * (b2 - c * floors[0]), 0.0)
                two = min(a1 * e2 - c * (b1 - c * floors[1]), 0.0)
                gain -= 0.5 * (one * one * per2 + two * two * per1)
            per = per1 * per2
            apart = max(1 - c * c * per, ALIKE)
            shares[n + j - begin] = apart
            both[n + j - begin] = constant + second[LOGGED, j] + gain * per / apart
        n += PLACES - begin
    least = largest(both) + SLIGHT - CROSSED
    for m in range(n):
        if both[m] > least:
            both[m] -= 0.5 * np.log(shares[m])


@machine_code
def keep_apart(both: Real, lag: Pair) -> None:
    """Two of a kind are not at one place."""
    for i in range(PLACES):
        r, c = lag[0] + i // SIDE, lag[1] + i % SIDE
        if 0 <= r < SIDE and 0 <= c < SIDE:
            both[i * PLACES + r * SIDE + c] = NEVER


@machine_code
def largest(weights: Real) -> float:
    """Of some numbers; faster than NumPy's, which watches for what is none."""
    top = weights[0]
    for weight in weights:
        top = max(top, weight)
    return float(top)


@machine_code
def chances(work: Work, weights: Real) -> tuple[int, float]:
    """Of options those that count, by their numbers in `kept` and their shares: how many, and their sum."""
    shares, kept = work.shares, work.kept
    top, count, total = largest(weights), 0, 0.0
    for n in range(len(weights)):
        kept[count] = n
        count += weights[n] > top + SLIGHT
    # Of weights that are no numbers none is kept: some option, rather than none that there is.
    count = max(count, 1)
    for n in range(count):
        shares[n] = np.exp(weights[kept[n]] - top)
        total += shares[n]
    return count, total


@machine_code
def picked(weights: Real, work: Work, uniform: float) -> int:
    """One option by its log weight."""
    shares, kept = work.shares, work.kept
    count, total = chances(work, weights)
    left = uniform * total
    for n in range(count):
        left -= shares[n]
        if left <= 0:
            return int(kept[n])
    return int(kept[count - 1])


@machine_code
def picked_pair(both: Real, work: Work, uniform: Real) -> Pair:
    """Two places by the log weight of both: a first one, then another beside it."""
    shares, kept = work.shares, work.kept
    count, total = chances(work, both)
    left, n = uniform[0] * total, 0
    while True:
        first, own, begin = kept[n] // PLACES, 0.0, n
        while n < count and kept[n] // PLACES == first:
            own += shares[n]
            n += 1
        left -= own
        if left <= 0 or n == count:
            break
    left = uniform[1] * own
    for m in range(begin, n):
        left -= shares[m]
        if left <= 0:
            return first, kept[m] % PLACES
    return first, kept[n - 1] % PLACES


@machine_code
def raised(size: float, floor: float, nonnegative: bool) -> float:
    """An amplitude, at least the floor where it must not be negative."""
    return max(size, floor) if nonnegative else size


@machine_code
def amplitude(spot: Real, place: int, floor: float, nonnegative: bool, normal: float) -> float:
    """Of one defect at a place."""
    a, b = spot[PRECISION, place], spot[LINEAR, place]
    return raised(b / a + normal / np.sqrt(a), floor, nonnegative)


@machine_code
def two_amplitudes(
    sizes: Real, first: Real, second: Real, places: Index, work: Work, nonnegative: bool, normal: Real
) -> None:
    """Of two defects at their places."""
    i, j, by_lag, floors = places[0], places[1], work.by_lag, work.floors
    a1, b1, a2, b2 = first[PRECISION, i], first[LINEAR, i], second[PRECISION, j], second[LINEAR, j]
    c = by_lag[CROSS, BETWEEN[i, j]] * first[ROOT, i] * second[ROOT, j]
    determinant = max(a1 * a2 - c * c, ALIKE * a1 * a2)
    one = (a2 * b1 - c * b2) / determinant + np.sqrt(a2 / determinant) * normal[0]
    one = raised(one, floors[0], nonnegative)
    wanted = (b2 - c * one) / a2 + normal[1] / np.sqrt(a2)
    two = raised(wanted, floors[1], nonnegative)
    if two > wanted:
        one = raised((b1 - c * two) / a1 + normal[2] / np.sqrt(a1), floors[0], nonnegative)
    sizes[0], sizes[1] = one, two


@machine_code
def move(
    scene: Scene, rule: Rule, state: State, groups: Index, ends: Index, uniform: Real, normal: Real
) -> None:
    """Draw places and sizes of groups anew, in rounds that end at some of them.

    Of a group's two defects by their numbers (n, 2), twice the same where one is alone, by random numbers
    (n, 2) and normal ones (n, 3); the state, kinds, rows, columns and sizes of all defects, is changed.
    """
    places, sizes = np.empty((len(groups), 2), np.intp), np.empty((len(groups), 2))
    work, begin = work_for(scene), 0
    for end in ends:
        for n in range(begin, end):
            if groups[n, 0] == groups[n, 1]:
                draw_one(places[n], sizes[n], scene, rule, work, state, groups[n, 0], uniform[n], normal[n])
            else:
                draw_two(places[n], sizes[n], scene, rule, work, state, groups[n], uniform[n], normal[n])
        for n in range(begin, end):
            put(scene, state, groups[n, 0], places[n, 0], sizes[n, 0])
            if groups[n, 0] != groups[n, 1]:
                put(scene, state, groups[n, 1], places[n, 1], sizes[n, 1])
        take_bias(scene)
        begin = end


@machine_code
def draw_one(
    places: Index,
    sizes: Real,
    scene: Scene,
    rule: Rule,
    work: Work,
    state: State,
    number: int,
    uniform: Real,
    normal: Real,
) -> None:
    """Where a defect is, of the places around it, and its size."""
    kinds, rows, cols, _ = state
    kind, row, col = kinds[number], rows[number], cols[number]
    look(work.one, scene, work, kind, row, col, 0.0)
    leave_out(work.one, scene, kind, row, col, state, number)
    weigh(work.alone, work.one, rule, kind)
    work.alone[MIDDLE] = max(work.alone[MIDDLE], LEAST_LIKELY)
    places[0] = picked(work.alone, work, uniform[0])
    floor = WEAK * rule.typical[kind]
    sizes[0] = amplitude(work.one, places[0], floor, rule.nonnegative, normal[0])


@machine_code
def draw_two(
    places: Index,
    sizes: Real,
    scene: Scene,
    rule: Rule,
    work: Work,
    state: State,
    group: Index,
    uniform: Real,
    normal: Real,
) -> None:
    """Where the two of a group are, and their sizes."""
    kinds, rows, cols, _ = state
    first, second = group[0], group[1]
    whole = True
    for m in range(2):
        spot, number = (work.one, first) if m == 0 else (work.other, second)
        kind, row, col = kinds[number], rows[number], cols[number]
        look(spot, scene, work, kind, row, col, 0.0)
        leave_out(spot, scene, kind, row, col, state, first)
        leave_out(spot, scene, kind, row, col, state, second)
        whole = weigh(work.alone, spot, rule, kind) and whole
        work.floors[m] = WEAK * rule.typical[kind]
    lag = rows[first] - rows[second], cols[first] - cols[second]
    cross_terms(work.by_lag, scene, (kinds[first], kinds[second]), lag, rule.noise)
    if whole:
        precisions = whole_precision(rule, kinds[first]), whole_precision(rule, kinds[second])
        tabulate(work.by_lag, precisions)
        weigh_two(work.both, work.one, work.other, precisions, work, rule.nonnegative, False)
    else:
        weigh_two_cut(work.both, work.one, work.other, work, rule.nonnegative, False)
    if kinds[first] == kinds[second]:
        keep_apart(work.both, lag)
    here = MIDDLE * PLACES + MIDDLE
    work.both[here] = max(work.both[here], LEAST_LIKELY)
    places[0], places[1] = picked_pair(work.both, work, uniform)
    two_amplitudes(sizes, work.one, work.other, places, work, rule.nonnegative, normal)


@machine_code
def put(scene: Scene, state: State, number: int, place: int, size: float) -> None:
    """Move a defect to one of the places around it, with another size."""
    kinds, rows, cols, sizes = state
    kind, row, col, new = kinds[number], rows[number], cols[number], np.float32(size)
    if place == MIDDLE:
        change(scene, kind, row, col, new - sizes[number])
    else:
        change(scene, kind, row, col, -sizes[number])
        rows[number], cols[number] = row + place // SIDE - REACH, col + place % SIDE - REACH
        change(scene, kind, rows[number], cols[number], new)
    sizes[number] = new


@machine_code
def redraw(
    scene: Scene, rule: Rule, maps: Real, kind: int, tiles: Index, ends: Index, uniform: Real, normal: Real
) -> None:
    """Draw how many defects of a kind are in tiles, by their middles (n, 2), in rounds; changes the maps.

    By random numbers (n,) and normal ones (n, 3).
    """
    places, sizes = np.empty((len(tiles), 2), np.intp), np.empty((len(tiles), 2))
    work, begin = work_for(scene), 0
    work.floors[:] = WEAK * rule.typical[kind]
    precision = whole_precision(rule, kind)
    cross_terms(work.by_lag, scene, (kind, kind), (0, 0), rule.noise)
    tabulate(work.by_lag, (precision, precision))
    for end in ends:
        for n in range(begin, end):
            tile = maps, kind, tiles[n, 0], tiles[n, 1]
            draw_number(places[n], sizes[n], scene, rule, work, tile, uniform[n], normal[n])
        for n in range(begin, end):
            if places[n, 0] != STAYS:
                fill(scene, maps, kind, tiles[n], places[n], sizes[n])
        take_bias(scene)
        begin = end


@machine_code
def draw_number(
    places: Index,
    sizes: Real,
    scene: Scene,
    rule: Rule,
    work: Work,
    tile: tuple[Real, int, int, int],
    uniform: float,
    normal: Real,
) -> None:
    """Where none, one or two defects are in a tile: maps, kind, row and column of its middle; their sizes."""
    maps, kind, row, col = tile
    places[:] = NONE
    number = defects_in(work.own, maps, kind, row, col)
    if number > 2:
        places[0] = STAYS
        return
    spot = work.one
    look(spot, scene, work, kind, row, col, LEAST_SEEN)
    for m in range(number):
        r, c = work.own[m, 0], work.own[m, 1]
        leave_out_at(spot, scene, kind, row, col, kind, r, c, maps[kind, r, c])
    whole = weigh(work.alone, spot, rule, kind)
    if number == 0 and largest(work.alone) <= UNLIKELY:
        return
    options = work.options
    options[0], pairs = 0, options[1 + PLACES :]
    options[1 : 1 + PLACES] = work.alone
    if whole:
        precision = whole_precision(rule, kind)
        weigh_two(pairs, spot, spot, (precision, precision), work, rule.nonnegative, True)
    else:
        weigh_two_cut(pairs, spot, spot, work, rule.nonnegative, True)
    choice = picked(work.options, work, uniform)
    if choice > PLACES:
        places[0], places[1] = pair_of(choice - 1 - PLACES)
        two_amplitudes(sizes, spot, spot, places, work, rule.nonnegative, normal)
    elif choice > 0:
        places[0] = choice - 1
        sizes[0] = amplitude(spot, choice - 1, work.floors[0], rule.nonnegative, normal[0])


@machine_code
def defects_in(own: Index, maps: Real, kind: int, row: int, col: int) -> int:
    """How many defects of a kind there are around a centre, and the places of two of them."""
    number = 0
    for place in range(PLACES):
        r, c = row + place // SIDE - REACH, col + place % SIDE - REACH
        if maps[kind, r, c] != 0:
            if number < 2:
                own[number, 0], own[number, 1] = r, c
            number += 1
    return number


@machine_code
def pair_of(number: int) -> Pair:
    """The two places that stand at a number in the list of all pairs, the earlier one first."""
    first = 0
    while number >= PLACES - 1 - first:
        number -= PLACES - 1 - first
        first += 1
    return first, first + 1 + number


@machine_code
def fill(scene: Scene, maps: Real, kind: int, middle: Index, places: Index, sizes: Real) -> None:
    """Put defects into a tile, at most two, instead of those that are there."""
    for place in range(PLACES):
        row, col = middle[0] + place // SIDE - REACH, middle[1] + place % SIDE - REACH
        before, size = maps[kind, row, col], np.float32(0)
        for m in range(2):
            if places[m] == place:
                size = np.float32(sizes[m])
        if size != before:
            change(scene, kind, row, col, size - before)
            maps[kind, row, col] = size
