"""Sampling: where defects crowd, their places are drawn at random, as likely as the image makes them.

A descent, or moves that only ever gain, keep the first arrangement that a blurred kernel suggests. Here defects
are moved, born, split and joined with the probabilities of their posterior at a raised temperature (Gibbs'
method), and after each sweep the kernels are fitted to the arrangement that came out: a stochastic
expectation-maximisation.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.board import MIDDLE, REACH, Board, Groups, Views
from napari_sbd.core.defects import WEAKEST, typical_amplitude
from napari_sbd.core.descent import Iterate
from napari_sbd.core.kernel_fit import fit_kernels
from napari_sbd.core.objective import Objective

Real = NDArray[np.floating]
Index = NDArray[np.intp]

TEMPERATURE = 2.0
BEGIN = 0.8  # of the typical amplitude: rather too many defects at first than too few
SPREAD, NARROWEST, WIDEST, SLOWLY = 0.15, 0.03, 0.5, 0.1  # of amplitudes over the typical one; how fast it follows
INERTIA, DRIFT = 0.6, 2.0  # of the kernels from sweep to sweep, and of their norms
PARTNERS = 4  # px, within which two defects are drawn together
CELL, NURSERY = 7, 16  # px: groups, and births, at the same time lie in every other cell
LEAST_SEEN = 0.1  # of an atom's energy, for one that can be drawn
WEAK = 0.3  # of the typical amplitude, which no nonnegative one falls below


@dataclass(frozen=True)
class _Law:
    """What is likely: by type the typical amplitude, its variance, and the log odds of a defect at a place."""

    noise: float
    typical: Real
    variance: Real
    odds: Real
    nonnegative: bool

    def pulls(self, reach: Real, norms: Real, kinds: Index) -> tuple[Real, Real, Real]:
        """Precision and linear term of amplitudes, and the log weight of what does not depend on them."""
        shape = (-1,) + (1,) * (reach.ndim - 1)
        typical, variance, odds = (v[kinds].reshape(shape) for v in (self.typical, self.variance, self.odds))
        sign = 1.0 if self.nonnegative else np.sign(reach)
        constant = odds - 0.5 * typical**2 / variance - 0.5 * np.log(variance)
        constant = np.where(norms > LEAST_SEEN, constant, -np.inf)
        return norms / self.noise + 1 / variance, reach / self.noise + sign * (typical / variance), constant


def sampled(
    objective: Objective, found: Iterate, nonnegative: bool, sweeps: int, seed: int
) -> Iterator[Iterate]:
    """Draw places and amplitudes and fit the kernels by turns; yields both after each sweep.

    Parameters
    ----------
    objective : Objective
    found : Iterate
        Where to begin.
    nonnegative : bool
        Whether amplitudes must be.
    sweeps : int
    seed : int
    """
    rng = np.random.default_rng(seed)
    found, typical = _begin(found)
    spread = np.full(len(typical), SPREAD)
    velocity = np.zeros_like(found.kernels)
    for _ in range(sweeps):
        board = Board(objective, found)
        law = _law(objective, board, typical, spread, nonnegative)
        _Sweep(board, law, rng).run()
        maps = board.maps()
        if not maps.any(axis=(1, 2)).all():
            return
        sizes = [np.abs(board.sizes[board.kinds == kind]) for kind in range(len(typical))]
        drift = np.array([own.mean() for own in sizes]) / typical
        own = np.array([own.std() / t for own, t in zip(sizes, typical, strict=True)])
        spread = np.clip((1 - SLOWLY) * spread + SLOWLY * own, NARROWEST, WIDEST)
        kernels, typical, velocity = _turned(objective, found.kernels, typical, maps, velocity, drift)
        found = Iterate(kernels, maps, np.inf)
        yield found


def _turned(
    objective: Objective, kernels: Real, typical: Real, maps: Real, velocity: Real, drift: Real
) -> tuple[Real, Real, Real]:
    """Kernels and typical amplitudes after a step towards what fits these maps, with inertia."""
    fitted = fit_kernels(objective, maps)
    scale = np.abs(fitted.maps).sum((1, 2)) / np.abs(maps).sum((1, 2))
    before = kernels * _by_type(typical)
    ahead = fitted.kernels * _by_type(typical * scale * drift**DRIFT)
    velocity = INERTIA * velocity + (ahead - before).astype(kernels.dtype)
    now = before + velocity
    norms = np.linalg.norm(now.reshape(len(now), -1), axis=1)
    return (now / _by_type(norms)).astype(kernels.dtype), norms, velocity


def _by_type(values: Real) -> Real:
    return np.asarray(values)[:, None, None, None]


def _begin(found: Iterate) -> tuple[Iterate, Real]:
    """Without weak activations, and the typical amplitudes to begin with."""
    maps, typical = found.maps.copy(), []
    for map_ in maps:
        level = typical_amplitude(map_[map_ != 0])
        map_[np.abs(map_) < WEAKEST * level] = 0
        typical.append(BEGIN * level)
    return replace(found, maps=maps), np.array(typical)


def _law(objective: Objective, board: Board, typical: Real, spread: Real, nonnegative: bool) -> _Law:
    """From what the image holds beyond noise: that many defects of typical amplitude."""
    count = float(objective.mask.sum())
    left = 2 * board.misfit
    explained = max(2 * objective.field.energy - left, 1e-3 * left)
    power = np.array([np.square(board.sizes[board.kinds == kind]).sum() for kind in range(len(typical))])
    share = power / max(power.sum(), 1e-30)
    places = float((board.norms[0] > 0.5).sum())
    density = np.clip(share * explained / typical**2 / places, 1 / places, 0.5)
    return _Law(
        TEMPERATURE * left / count,
        typical,
        (spread * typical) ** 2,
        np.log(density / (1 - density)),
        nonnegative,
    )


class _Sweep:
    """Every defect drawn anew once, alone or with a near one; then births."""

    def __init__(self, board: Board, law: _Law, rng: np.random.Generator) -> None:
        self.board, self.law, self.rng = board, law, rng

    def run(self) -> None:
        """Draw."""
        groups = self._matched()
        for batch in self._batches(groups):
            self._draw(groups.chosen(batch))
            self.board.refresh()
        for cells in self._nurseries():
            self._bear(cells)
            self.board.refresh()
        self.board.tidy()

    def _matched(self) -> Groups:
        """Defects paired at random with near ones, as far as there are any."""
        close = self.board.close(PARTNERS)
        free = np.ones(len(self.board), bool)
        pairs = []
        for number in self.rng.permutation(len(close)).tolist():
            first, second = close.first[number], close.second[number]
            if free[first] and free[second]:
                free[first] = free[second] = False
                pairs.append(number)
        alone = np.flatnonzero(free)
        return Groups(np.append(alone, close.first[pairs]), np.append(alone, close.second[pairs]))

    def _batches(self, groups: Groups) -> list[Index]:
        """Groups that are drawn at the same time: one in every other cell of a grid that lies at random."""
        cells = (self.board.centres[groups.first] + self.rng.integers(0, 2 * CELL, 2)) // CELL
        order = self.rng.permutation(len(groups))
        flat = cells[order] @ [2**20, 1]
        sort = np.argsort(flat, kind="stable")
        begins = np.flatnonzero(np.append(True, np.diff(flat[sort]) != 0))
        turn = np.arange(len(sort)) - np.repeat(begins, np.diff(np.append(begins, len(sort))))
        colour = 4 * turn + (cells[order][sort] % 2) @ [2, 1]
        return [order[sort[colour == one]] for one in np.unique(colour)]

    def _draw(self, groups: Groups) -> None:
        views = self.board.views(groups)
        weights, terms = _weights(views, groups, self.law)
        choice = _drawn(weights, self.rng)
        number = views.reach[0].shape[1]
        one = np.clip(choice - 1, 0, 2 * number - 1)
        two = np.clip(choice - 1 - 2 * number, 0, None)
        both, slot = choice > 2 * number, one // number
        i = np.where(both, two // number, one % number)
        j = np.where(both, two % number, one % number)
        row = np.arange(len(choice))
        cross = np.where(both, views.cross[row, i, j] / self.law.noise, 0)
        a1, b1 = (t[row, i] for t in terms[0])
        a2, b2 = (t[row, j] for t in terms[1])
        sizes = self._amplitudes(a1, b1, a2, b2, cross)
        sizes[0] *= both | ((choice > 0) & (slot == 0))
        sizes[1] *= both | ((choice > 0) & (slot == 1))
        for n, at in ((0, i), (1, j)):
            sizes[n] = self._possible(sizes[n], views.kinds[n])
        self._put(groups, views, (i, j), sizes)

    def _amplitudes(self, a1: Real, b1: Real, a2: Real, b2: Real, cross: Real) -> list[Real]:
        """Two amplitudes drawn together; where they have nothing in common, each for itself."""
        determinant = a1 * a2 - cross**2
        first = (a2 * b1 - cross * b2) / determinant + np.sqrt(
            a2 / determinant
        ) * self.rng.standard_normal(len(a1))
        second = (b2 - cross * first) / a2 + self.rng.standard_normal(len(a1)) / np.sqrt(a2)
        return [first, second]

    def _possible(self, sizes: Real, kinds: Index) -> Real:
        if not self.law.nonnegative:
            return sizes
        return np.where(sizes != 0, np.maximum(sizes, WEAK * self.law.typical[kinds]), 0)

    def _put(self, groups: Groups, views: Views, at: tuple[Index, Index], sizes: list[Real]) -> None:
        row, board = np.arange(len(groups)), self.board
        places = [views.places[n][row, at[n]] for n in range(2)]
        paired = groups.paired
        board.put(groups.first, places[0], sizes[0])
        board.put(groups.second[paired], places[1][paired], sizes[1][paired])
        # Of one that was alone only the second may be there.
        moved = ~paired & (sizes[0] == 0) & (sizes[1] != 0)
        board.put(groups.first[moved], places[1][moved], sizes[1][moved])
        split = ~paired & (sizes[0] != 0) & (sizes[1] != 0)
        board.add(views.kinds[1][split], places[1][split], sizes[1][split])

    def _nurseries(self) -> list[tuple[slice, slice]]:
        corner = self.rng.integers(0, NURSERY, 2)
        return [(slice(r + corner[0], None), slice(c + corner[1], None)) for r in (0, NURSERY) for c in (0, NURSERY)]

    def _bear(self, cells: tuple[slice, slice]) -> None:
        """At most one new defect in every other cell, drawn among all its places."""
        board, law = self.board, self.law
        types, rows, cols = board.shape
        shown, norms = board.shown[:, *cells], board.norms[:, *cells]
        kinds = np.arange(types)
        a, b, constant = law.pulls(shown, norms, kinds)
        weights = constant - 0.5 * np.log(a) + 0.5 * b**2 / a
        likely = weights - np.log(self.rng.exponential(size=weights.shape))
        tall, wide = (-(-n // (2 * NURSERY)) for n in likely.shape[1:])
        padded = np.full((types, 2 * NURSERY * tall, 2 * NURSERY * wide), -np.inf)
        padded[:, : likely.shape[1], : likely.shape[2]] = likely
        split = padded.reshape(types, tall, 2 * NURSERY, wide, 2 * NURSERY)[:, :, :NURSERY, :, :NURSERY]
        flat = split.transpose(1, 3, 0, 2, 4).reshape(tall, wide, -1)
        best = flat.argmax(-1)
        born = flat.max(-1) > -np.log(self.rng.exponential(size=best.shape))
        down, right = np.nonzero(born)
        kind, row, col = np.unravel_index(best[born], (types, NURSERY, NURSERY))
        row, col = row + 2 * NURSERY * down, col + 2 * NURSERY * right
        mean, width = (b / a)[kind, row, col], 1 / np.sqrt(a[kind, row, col])
        sizes = self._possible(mean + width * self.rng.standard_normal(len(mean)), kind)
        board.add(kind, np.column_stack([row + cells[0].start, col + cells[1].start]), sizes)


def _weights(
    views: Views, groups: Groups, law: _Law
) -> tuple[Real, tuple[tuple[Real, Real], tuple[Real, Real]]]:
    """Log weights (groups, options): none, one around either place, two; and the terms of amplitudes."""
    pulls = [law.pulls(views.reach[n], views.norms[n], views.kinds[n]) for n in range(2)]
    (a1, b1, c1), (a2, b2, c2) = pulls
    number, count = a1.shape[1], len(groups)
    weights = np.empty((count, 1 + 2 * number + number * number))
    weights[:, 0] = 0
    weights[:, 1 : 1 + number] = c1 - 0.5 * np.log(a1) + 0.5 * b1**2 / a1
    second = c2 - 0.5 * np.log(a2) + 0.5 * b2**2 / a2
    weights[:, 1 + number : 1 + 2 * number] = np.where(groups.paired[:, None], second, -np.inf)
    cross = views.cross / law.noise
    determinant = a1[:, :, None] * a2[:, None] - cross**2
    square = (b1**2)[:, :, None] * a2[:, None] + (b2**2)[:, None] * a1[:, :, None]
    square -= (2 * cross) * (b1[:, :, None] * b2[:, None])
    two = 0.5 * (square / determinant - np.log(determinant)) + c1[:, :, None] + c2[:, None]
    two[~groups.paired] += TWICE
    weights[:, 1 + 2 * number :] = two.reshape(count, -1)
    return weights, ((a1, b1), (a2, b2))


# Two places around one defect are the same in either order.
TWICE = np.where(np.triu(np.ones(((2 * REACH + 1) ** 2,) * 2), 1) > 0, 0.0, -np.inf)


def _drawn(weights: Real, rng: np.random.Generator) -> Index:
    """One option of each row, by its log weight."""
    chance = np.exp(weights - weights.max(1, keepdims=True))
    held = chance.cumsum(1)
    return np.asarray((held < rng.random(len(held))[:, None] * held[:, -1:]).sum(1))
