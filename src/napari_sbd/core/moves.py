"""Moves: what one or two defects would explain at other places, for many groups at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.board import BETWEEN, Board, Groups, Views
from napari_sbd.core.noise import robust_std
from napari_sbd.core.peaks import WEAKEST, typical_amplitude

Real = NDArray[np.floating]
Index = NDArray[np.intp]

RIDGE = 1e-3
SMALLEST_NORM = 10 * RIDGE  # squared, of what is seen of an atom that can be placed
FREEDOM = 3  # of Student's distribution of amplitudes
NARROWEST = 0.1  # its width over the typical amplitude, at least
LEAST_GAIN = 0.05  # of a second defect's price, for which a move is worth it


class Odds:
    """Cost of amplitudes of types whose defects are much alike, with room for some that are not.

    Parameters
    ----------
    amplitudes : sequence of array (n,)
        Of each type's defects.
    weight : float
        Variance of the noise; 0 where amplitudes shall not count.
    """

    def __init__(self, amplitudes: Sequence[Real], weight: float) -> None:
        typical, spread = [], []
        for own in amplitudes:
            size = np.abs(own)
            strong = size[size >= WEAKEST * typical_amplitude(size)]
            typical.append(float(np.median(strong)) if len(strong) else 1.0)
            spread.append(max(robust_std(strong), NARROWEST * typical[-1]))
        self.weight, self.typical, self.spread = weight, np.array(typical), np.array(spread)

    def cost(self, amplitudes: Real, kinds: Index) -> Real:
        """Minus the logarithm of Student's density, nothing at the typical amplitude, times `weight`.

        `amplitudes` are (n, …) for defects of types `kinds` (n,).
        """
        if not self.weight:
            return np.zeros_like(amplitudes)
        dtype, shape = amplitudes.dtype, (-1,) + (1,) * (amplitudes.ndim - 1)
        typical, spread = (v.astype(dtype)[kinds].reshape(shape) for v in (self.typical, self.spread))
        off = (np.abs(amplitudes) - typical) / spread
        return np.asarray(self.weight * (FREEDOM + 1) / 2 * np.log1p(off**2 / FREEDOM), dtype)


@dataclass(frozen=True)
class Rules:
    """What a move costs: `price` of a second defect, and whether amplitudes must be nonnegative."""

    price: float
    nonnegative: bool

    def threshold(self, now: Real) -> Real:
        """What a move must reach where `now` is what its defects explain where they are."""
        return np.asarray(now + np.maximum(LEAST_GAIN * self.price, 1e-6 * np.abs(now)))


@dataclass(frozen=True)
class Moves:
    """Groups, and one or two defects in the place of each.

    Attributes
    ----------
    groups : Groups
    kinds : array (groups, 2)
    places : array (groups, 2, 2)
    sizes : array (groups, 2)
        Zero where there is no such defect.
    surplus : array (groups,)
        What the move gains beyond its threshold.
    """

    groups: Groups
    kinds: Index
    places: Index
    sizes: Real
    surplus: Real

    def chosen(self, which: NDArray[np.bool_] | Index) -> Moves:
        """Some of them."""
        return Moves(
            self.groups.chosen(which),
            self.kinds[which],
            self.places[which],
            self.sizes[which],
            self.surplus[which],
        )

    @classmethod
    def joined(cls, parts: Sequence[Moves]) -> Moves:
        """Those of all parts, one after the other; there is at least one part."""
        groups = Groups(*(np.concatenate([getattr(p.groups, n) for p in parts]) for n in ("first", "second")))
        rest = (
            np.concatenate([getattr(p, name) for p in parts])
            for name in ("kinds", "places", "sizes", "surplus")
        )
        return cls(groups, *rest)

    def make(self, board: Board) -> None:
        """Put them on the board."""
        gone = np.unique(np.append(self.groups.first, self.groups.second))
        there = self.sizes != 0
        board.replace(gone, self.kinds[there], self.places[there], self.sizes[there])
        board.tidy()
        board.refresh()


def best_moves(board: Board, groups: Groups, odds: Odds, rules: Rules) -> Moves:
    """The best move of each group that gains by one."""
    views = board.views(groups)
    now = board.explained(groups, views) - odds.cost(board.sizes[groups.first], views.spots[0].kinds)
    second = rules.price + odds.cost(board.sizes[groups.second], views.spots[1].kinds)
    least = rules.threshold(now - np.where(groups.paired, second, 0))
    found = [_ones(views, least, slot, odds, rules) for slot in range(2)]
    found.append(_twos(views, least, odds, rules))
    group, gain = (np.concatenate([getattr(f, name) for f in found]) for name in ("group", "gain"))
    order = np.lexsort((gain, group))
    last = order[np.append(group[order][1:] != group[order][:-1], True)] if len(order) else order
    group = group[last]
    where, sizes = (np.concatenate([getattr(f, name) for f in found])[last] for name in ("where", "sizes"))
    places = np.stack([views.spots[slot].places[group, where[:, slot]] for slot in range(2)], 1)
    kinds = np.column_stack([views.spots[slot].kinds[group] for slot in range(2)])
    return Moves(groups.chosen(group), kinds, places, sizes, gain[last] - least[group])


@dataclass(frozen=True)
class _Better:
    """Moves that gain more than the least, each of a `group`; `where` (n, 2) among the places around."""

    group: Index
    where: Index
    sizes: Real
    gain: Real


def _ones(views: Views, least: Real, slot: int, odds: Odds, rules: Rules) -> _Better:
    """One defect, at a place around the one of this slot."""
    spot = views.spots[slot]
    value = np.where(spot.norms > SMALLEST_NORM, spot.reach / np.maximum(spot.norms, RIDGE), 0)
    if rules.nonnegative:
        value = np.maximum(value, 0)
    gain = 0.5 * value**2 * spot.norms
    group, at = np.nonzero(gain > least[:, None])
    value, gain = value[group, at], gain[group, at]
    gain -= odds.cost(value, spot.kinds[group])
    better = gain > least[group]
    sizes = np.zeros((len(group), 2), value.dtype)
    sizes[:, slot] = value
    return _Better(group[better], np.column_stack([at, at])[better], sizes[better], gain[better])


def _twos(views: Views, least: Real, odds: Odds, rules: Rules) -> _Better:
    """Two defects, each at a place around one of the two."""
    group, i, j = _promising(views, 2 * (least + rules.price))
    first, second = views.spots
    b1, b2, n1, n2 = (
        first.reach[group, i],
        second.reach[group, j],
        first.norms[group, i],
        second.norms[group, j],
    )
    cross = views.lags[group, BETWEEN[i, j]] * first.roots[group, i] * second.roots[group, j]
    determinant = n1 * n2 - cross**2
    x, y = (n2 * b1 - cross * b2) / determinant, (n1 * b2 - cross * b1) / determinant
    gain = 0.5 * (x * b1 + y * b2) - rules.price
    gain -= odds.cost(x, first.kinds[group]) + odds.cost(y, second.kinds[group])
    better = (gain > least[group]) & (n1 > SMALLEST_NORM) & (n2 > SMALLEST_NORM)
    if rules.nonnegative:
        better &= (x > 0) & (y > 0)
    sizes, where = np.column_stack([x, y]), np.column_stack([i, j])
    return _Better(group[better], where[better], sizes[better], gain[better])


def _promising(views: Views, least: Real) -> tuple[Index, Index, Index]:
    """Groups and both places where two defects explain more than half of `least`.

    Amplitudes cost something, too, but most places are out of the question before.
    """
    whole = views.whole
    if whole.all():
        return _of_whole(views, least)
    if not whole.any():
        return _of_cut(views, least)
    parts = []
    for which, of in ((whole, _of_whole), (~whole, _of_cut)):
        group, i, j = of(views.chosen(which), least[which])
        parts.append((np.flatnonzero(which)[group], i, j))
    group, i, j = (np.concatenate(same) for same in zip(*parts, strict=True))
    return group, i, j


def _of_whole(views: Views, least: Real) -> tuple[Index, Index, Index]:
    """Where all atoms are seen whole: what depends on lags alone is computed once per lag."""
    b1, b2 = (spot.reach for spot in views.spots)
    determinant = 1 - np.square(views.lags)
    limit = np.where(determinant > RIDGE, least[:, None] * determinant, np.inf).astype(b1.dtype)
    twice = np.square(b1)[:, :, None] + np.square(b2)[:, None]
    product = b1[:, :, None] * b2[:, None]
    product *= (2 * views.lags).take(BETWEEN, axis=1)
    twice -= product
    return _where(twice > limit.take(BETWEEN, axis=1))


def _of_cut(views: Views, least: Real) -> tuple[Index, Index, Index]:
    """Where frame or mask cut some."""
    b1, n1 = views.spots[0].reach[:, :, None], views.spots[0].norms[:, :, None]
    b2, n2 = views.spots[1].reach[:, None], views.spots[1].norms[:, None]
    cross = views.cross
    determinant = n1 * n2
    safe = RIDGE * determinant
    determinant -= np.square(cross)
    twice = np.square(b1) * n2
    twice += np.square(b2) * n1
    twice -= (2 * cross) * (b1 * b2)
    return _where((twice > least[:, None, None] * determinant) & (determinant > safe))


def _where(good: NDArray[np.bool_]) -> tuple[Index, Index, Index]:
    """As `np.nonzero`, which takes longer."""
    group, places = np.divmod(np.flatnonzero(good), good.shape[1] * good.shape[2])
    i, j = np.divmod(places, good.shape[2])
    return group, i, j
