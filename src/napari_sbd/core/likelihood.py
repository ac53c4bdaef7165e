"""Likelihood: log weights of one defect, or of two, at places around centres, and draws by random numbers.

Amplitudes are normal about what is typical, and integrated out. Where atoms are seen whole, all but their
reach depends on lags alone and is computed once per lag: few passes over all pairs of places are left.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.board import AROUND, BETWEEN, REACH, Spot, Views

Real = NDArray[np.floating]
Index = NDArray[np.intp]

UNLIKELY, LEAST_LIKELY = -8.0, -1e6  # log weights, below which nothing is born, and of staying where one is
ALIKE = 1e-6  # share of the product of two precisions, which their determinant is at least
LEAST_SEEN = 0.1  # of an atom's energy, for one that can be drawn
WEAK = 0.3  # of the typical amplitude, which no nonnegative one falls below


@dataclass(frozen=True)
class Options:
    """Pairs of places around two centres: the number of either, to be broadcast against the other."""

    first: Index
    second: Index

    @cached_property
    def lags(self) -> Index:
        """Numbers of their lags."""
        return np.asarray(BETWEEN[self.first, self.second])

    def beside(self, values: Real) -> Real:
        """Values by group as they meet those of pairs."""
        return values.reshape(-1, *(1,) * self.lags.ndim)


PLACES = np.arange(len(AROUND))
ORDERED = Options(PLACES[:, None], PLACES[None])
# Of two alike about one centre, either order is the same, and they are not at one place.
UNORDERED = Options(*np.triu_indices(len(AROUND), 1))


@dataclass(frozen=True)
class Law:
    """What is likely: by type the typical amplitude, its variance, the log odds of a defect at a place."""

    noise: float
    typical: Real
    variance: Real
    odds: Real
    nonnegative: bool

    def pulls(self, spot: Spot) -> Pulls:
        """What draws the amplitudes of defects at the places of a spot."""
        dtype = spot.reach.dtype
        numbers = (self.typical, self.variance, self.odds)
        typical, variance, odds = (v.astype(dtype)[spot.kinds, None] for v in numbers)
        constant = odds - 0.5 * typical**2 / variance - 0.5 * np.log(variance)
        sign = 1.0 if self.nonnegative else np.sign(spot.reach)
        return Pulls(
            spot.norms / self.noise + 1 / variance,
            spot.reach / self.noise + sign * (typical / variance),
            np.where(spot.norms > LEAST_SEEN, constant, dtype.type(-np.inf)),
            WEAK * typical if self.nonnegative else None,
        )


@dataclass(frozen=True)
class Pulls:
    """Precision and linear term of amplitudes (centres, places), and the log weight of all else.

    The `floor` (centres, 1) is the least amplitude of a defect; None where both signs occur.
    """

    precision: Real
    linear: Real
    constant: Real
    floor: Real | None = None

    @cached_property
    def alone(self) -> Real:
        """Log weight of one defect against none."""
        a, b = self.precision, self.linear
        weight = self.constant - 0.5 * np.log(a) + 0.5 * b**2 / a
        if self.floor is not None:
            weight = weight - 0.5 * np.minimum(self.excess, 0) ** 2 / a
        return np.asarray(weight)

    @property
    def excess(self) -> Real:
        """By how much the mean amplitude, times its precision, exceeds the floor."""
        assert self.floor is not None
        return np.asarray(self.linear - self.precision * self.floor)

    def above_floor(self, amplitudes: Real) -> Real:
        """Amplitudes, one for each centre, those below the floor raised to it."""
        return amplitudes if self.floor is None else np.maximum(amplitudes, self.floor[:, 0])

    def amplitudes(self, at: Index, normal: Real) -> Real:
        """Of one defect at a place of each centre, by as many normal random numbers."""
        row = np.arange(len(at))
        a, b = self.precision[row, at], self.linear[row, at]
        return self.above_floor(b / a + normal / np.sqrt(a))

    def chosen(self, which: NDArray[np.bool_]) -> Pulls:
        """Those of some centres."""
        floor = None if self.floor is None else self.floor[which]
        return Pulls(self.precision[which], self.linear[which], self.constant[which], floor)


class Twos:
    """Two defects, each at a place around one of two centres."""

    def __init__(self, views: Views, law: Law) -> None:
        self.views, self.law = views, law
        first = law.pulls(views.spots[0])
        same = views.spots[1] is views.spots[0]
        self.pulls = first, first if same else law.pulls(views.spots[1])

    def weights(self, options: Options = ORDERED) -> Real:
        """Log weights (groups, options) against none; two of one kind are not at one place."""
        whole = self.views.whole
        if whole.all():
            return _of_whole(self.views, self.pulls, self.law.noise, options)
        if not whole.any():
            return _of_cut(self.views, self.pulls, self.law.noise, options)
        weights = np.empty((len(whole), *options.lags.shape), self.pulls[0].linear.dtype)
        for which, of in ((whole, _of_whole), (~whole, _of_cut)):
            pulls = (self.pulls[0].chosen(which), self.pulls[1].chosen(which))
            weights[which] = of(self.views.chosen(which), pulls, self.law.noise, options)
        return weights

    def amplitudes(self, at: Index, normal: Real) -> Real:
        """Of two defects at places (groups, 2), by normal random numbers (groups, 3)."""
        row, (i, j) = np.arange(len(at)), at.T
        (a1, b1), (a2, b2) = (
            (p.precision[row, n], p.linear[row, n]) for p, n in zip(self.pulls, (i, j), strict=True)
        )
        spots, lags = self.views.spots, np.broadcast_to(self.views.lags, (len(at), self.views.lags.shape[1]))
        cross = lags[row, BETWEEN[i, j]] * spots[0].roots[row, i] * spots[1].roots[row, j] / self.law.noise
        determinant = _determinant(a1 * a2, cross)
        first = (a2 * b1 - cross * b2) / determinant
        first += np.sqrt(a2 / determinant) * normal[:, 0]
        first = self.pulls[0].above_floor(first)
        wanted = (b2 - cross * first) / a2 + normal[:, 1] / np.sqrt(a2)
        second = self.pulls[1].above_floor(wanted)
        # Once more for the partner of one at the floor, or both together miss what the image holds.
        again = (b1 - cross * second) / a1 + normal[:, 2] / np.sqrt(a1)
        first = np.where(second > wanted, self.pulls[0].above_floor(again), first)
        return np.column_stack([first, second])


def _determinant(product: Real, cross: Real) -> Real:
    """That of two amplitudes' precision; of atoms that are all but one, rounding leaves no sign."""
    return np.asarray(np.maximum(product - np.square(cross), ALIKE * product))


def _of_whole(views: Views, pulls: tuple[Pulls, Pulls], noise: float, options: Options) -> Real:
    """Where all atoms are seen whole: factors by lag."""
    rows = slice(0, len(views.lags))  # one, where all groups are of one kind about one centre
    (a1, c1), (a2, c2) = ((p.precision[rows, :1], p.constant[rows, :1]) for p in pulls)
    (i, j), lags = (options.first, options.second), options.lags
    cross = views.lags / noise
    determinant = _determinant(a1 * a2, cross)
    constant = c1 + c2 - 0.5 * np.log(determinant) + _once(views)
    b1, b2 = (p.linear for p in pulls)
    weights = (b1**2 * a2).take(i, 1) + (b2**2 * a1).take(j, 1)
    weights *= (0.5 / determinant).take(lags, 1)
    product = b1.take(i, 1) * b2.take(j, 1)
    product *= (cross / determinant).take(lags, 1)
    weights -= product
    weights += constant.take(lags, 1)
    if pulls[0].floor is not None:
        weights -= _unlikely(cross.take(lags, 1), determinant.take(lags, 1), pulls, options)
    return np.asarray(weights)


def _of_cut(views: Views, pulls: tuple[Pulls, Pulls], noise: float, options: Options) -> Real:
    """Where frame or mask cut some."""
    (i, j), (one, two) = (options.first, options.second), pulls
    a1, b1 = one.precision.take(i, 1), one.linear.take(i, 1)
    a2, b2 = two.precision.take(j, 1), two.linear.take(j, 1)
    cross = (views.lags / noise).take(options.lags, 1) * views.spots[0].roots.take(i, 1)
    cross *= views.spots[1].roots.take(j, 1)
    determinant = _determinant(a1 * a2, cross)
    unlikely = 0.0 if one.floor is None else _unlikely(cross, determinant, pulls, options)
    cross *= b1 * b2
    weights = (0.5 * b1**2) * a2
    weights += a1 * (0.5 * b2**2)
    weights -= cross
    weights /= determinant
    weights -= unlikely
    np.log(determinant, out=determinant)
    determinant *= determinant.dtype.type(0.5)
    weights -= determinant
    weights += one.constant.take(i, 1)
    weights += two.constant.take(j, 1)
    weights += _once(views).take(options.lags, 1)
    return np.asarray(weights)


def _unlikely(cross: Real, determinant: Real, pulls: tuple[Pulls, Pulls], options: Options) -> Real:
    """Half the squared deviations by which the mean amplitudes of two lie below their floors.

    A normal law has that little there; without it, pairs whose difference the image hardly tells take
    amplitudes that are not allowed, and what they are cut to does not explain the image.
    """
    (i, j), (one, two) = (options.first, options.second), pulls
    assert one.floor is not None
    assert two.floor is not None
    a1, a2 = one.precision.take(i, 1), two.precision.take(j, 1)
    first = a2 * one.excess.take(i, 1)
    first = first - cross * (two.linear.take(j, 1) - cross * options.beside(one.floor))
    np.minimum(first, 0, out=first)
    second = a1 * two.excess.take(j, 1)
    second = second - cross * (one.linear.take(i, 1) - cross * options.beside(two.floor))
    np.minimum(second, 0, out=second)
    np.square(first, out=first)
    np.square(second, out=second)
    first /= a2
    second /= a1
    first += second
    first *= first.dtype.type(0.5)
    first /= determinant
    return np.asarray(first)


def _once(views: Views) -> Real:
    """By group and lag, what forbids two defects of one kind at one place."""
    first, second = views.spots
    rows, side = len(views.lags), 4 * REACH + 1
    lag = first.places[:rows, 0] - second.places[:rows, 0] + 2 * REACH
    meet = (first.kinds[:rows] == second.kinds[:rows]) & ((lag >= 0) & (lag < side)).all(1)
    forbidden = np.zeros(views.lags.shape, views.lags.dtype)
    forbidden[meet, side**2 - 1 - lag[meet] @ [side, 1]] = -np.inf
    return forbidden


def drawn(weights: Real, uniform: Real) -> Index:
    """One option of each row, by its log weight and a random number."""
    return _picked(np.exp(weights - weights.max(1, keepdims=True)), uniform)


def drawn_pair(weights: Real, uniform: Real) -> Index:
    """Two places (groups, 2) by the log weight of both and random numbers (groups, 2).

    Overwrites the weights.
    """
    weights -= weights.max((1, 2), keepdims=True)
    np.exp(weights, out=weights)
    first = _picked(weights.sum(2), uniform[:, 0])
    return np.column_stack([first, _picked(weights[np.arange(len(first)), first], uniform[:, 1])])


def drawn_number(one: Real, two: Real, uniform: Real, options: Options = UNORDERED) -> tuple[Index, Index]:
    """None, one or two defects of one kind around centres: their number, and places (centres, 2).

    By the log weights of one at each place and of two (centres, options), and random numbers; the second
    weights are overwritten.
    """
    top = np.maximum(np.maximum(two.max(1), one.max(1)), 0)[:, None]
    two -= top
    np.exp(two, out=two)
    choice = _picked(np.column_stack([np.exp(-top), np.exp(one - top), two]), uniform) - 1
    places = one.shape[1]
    number = (choice >= 0).astype(int) + (choice >= places)
    pair = np.maximum(choice - places, 0)
    at = np.column_stack([options.first[pair], options.second[pair]])
    at[number == 1, 0] = choice[number == 1]
    return number, at


def _picked(chance: Real, uniform: Real) -> Index:
    """One option of each row, as likely as its share."""
    held = chance.cumsum(1)
    return np.asarray((held < uniform[:, None] * held[:, -1:]).sum(1))
