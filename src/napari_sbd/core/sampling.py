"""Sampling: where defects crowd, their places are drawn at random, as likely as the image makes them.

A descent, or moves that only ever gain, keep the first arrangement that a blurred kernel suggests. Here
defects are moved, born, split and joined with the probabilities of their posterior at a raised temperature
(Gibbs' method), and after each sweep the kernels are fitted to the arrangement that came out: a stochastic
expectation-maximisation.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.board import AROUND, MIDDLE, REACH, Board, Groups, Views
from napari_sbd.core.defects import WEAKEST, typical_amplitude
from napari_sbd.core.descent import Iterate
from napari_sbd.core.kernel_fit import fit_kernels
from napari_sbd.core.objective import Objective
from napari_sbd.core.sphere import project

Real = NDArray[np.floating]
Index = NDArray[np.intp]

TEMPERATURE = 2.0
BEGIN = 0.8  # of the typical amplitude: rather too many defects at first than too few
LEAST, MOST = 11, 60  # sweeps
LOOKED_BACK, STILL = 9, 0.035  # sweeps over which kernels that move less than that stay
MEAN = 6  # sweeps over whose kernels the mean is taken
# Spread of amplitudes over the typical one: at first, at least, at most, and how fast it follows the draws.
SPREAD, NARROWEST, WIDEST, SLOWLY = 0.15, 0.03, 0.5, 0.1
SMALLEST_MISFIT = 1e-6  # of the image's energy, for noise-free images
INERTIA, DRIFT = 0.6, 2.0  # of the kernels from sweep to sweep, and of their norms
PARTNERS = 4  # px, within which two defects are drawn together
CELL = 5  # px: groups that are moved at the same time lie in every other cell
TILE, STRIDE = 2 * REACH + 1, 3  # px: where their number is drawn, and in every which tile at a time
UNLIKELY, LEAST_LIKELY = -8.0, -1e6  # log weights, below which nothing is born, and of staying where one is
LEAST_SEEN = 0.1  # of an atom's energy, for one that can be drawn
WEAK = 0.3  # of the typical amplitude, which no nonnegative one falls below


@dataclass(frozen=True)
class _Law:
    """What is likely: by type the typical amplitude, its variance, the log odds of a defect at a place."""

    noise: float
    typical: Real
    variance: Real
    odds: Real
    nonnegative: bool

    def pulls(self, reach: Real, norms: Real, kinds: Index) -> tuple[Real, Real, Real]:
        """Precision and linear term of amplitudes, and the log weight of what does not depend on them."""
        shape, dtype = (-1,) + (1,) * (reach.ndim - 1), reach.dtype
        numbers = (self.typical, self.variance, self.odds)
        typical, variance, odds = (v.astype(dtype)[kinds].reshape(shape) for v in numbers)
        sign = 1.0 if self.nonnegative else np.sign(reach)
        constant = odds - 0.5 * typical**2 / variance - 0.5 * np.log(variance)
        constant = np.where(norms > LEAST_SEEN, constant, dtype.type(-np.inf))
        return norms / self.noise + 1 / variance, reach / self.noise + sign * (typical / variance), constant

    def floor(self, kinds: Index) -> Real:
        """The least amplitude of defects of these kinds."""
        if not self.nonnegative:
            return np.full(len(kinds), -np.inf, np.float32)
        return (WEAK * self.typical).astype(np.float32)[kinds]

    def alone(self, reach: Real, norms: Real, kinds: Index) -> Real:
        """Log weight of one defect against none."""
        precision, linear, constant = self.pulls(reach, norms, kinds)
        return np.asarray(constant - 0.5 * np.log(precision) + 0.5 * linear**2 / precision)


def sample_places(
    objective: Objective, found: Iterate, nonnegative: bool, seed: int
) -> Generator[Iterate, None, bool]:
    """Draw places and amplitudes and fit the kernels by turns; yields both after each sweep.

    It ends once the kernels stay, up to what chance does to them; the last iterate's are their mean. Returns
    whether it could be done: not where no defect of a type is left.

    Parameters
    ----------
    objective : Objective
    found : Iterate
        Where to begin.
    nonnegative : bool
        Whether amplitudes must be.
    seed : int
    """
    chain = Chain.begun(objective, found, nonnegative, np.random.default_rng(seed))
    past: list[Real] = []
    for number in range(MOST):
        if not chain.sweep():
            return False
        yield chain.found
        past = [*past[-LOOKED_BACK:], chain.found.kernels]
        moved = np.linalg.norm((past[-1] - past[0]).reshape(len(past[0]), -1), axis=1).max()
        if number >= LEAST and moved < STILL:
            break
    yield replace(chain.found, kernels=project(np.mean(past[-MEAN:], axis=0)))
    return True


@dataclass
class Chain:
    """Where sampling stands: kernels and maps, what amplitudes are like, and how the kernels move."""

    objective: Objective
    found: Iterate
    nonnegative: bool
    rng: np.random.Generator
    typical: Real
    spread: Real
    velocity: Real

    @classmethod
    def begun(
        cls, objective: Objective, found: Iterate, nonnegative: bool, rng: np.random.Generator
    ) -> Chain:
        """At the beginning: without weak activations, and rather too many defects than too few."""
        maps, typical = found.maps.copy(), []
        for map_ in maps:
            level = typical_amplitude(map_[map_ != 0])
            map_[np.abs(map_) < WEAKEST * level] = 0
            typical.append(BEGIN * level)
        spread, velocity = np.full(len(typical), SPREAD), np.zeros_like(found.kernels)
        begin = replace(found, maps=maps)
        return cls(objective, begin, nonnegative, rng, np.array(typical), spread, velocity)

    def sweep(self) -> bool:
        """Draw the maps, then turn the kernels; False where a type has no defect left."""
        board = Board(self.objective, self.found)
        _Sweep(board, self._law(board), self.rng).run()
        maps = board.maps()
        if not maps.any(axis=(1, 2)).all():
            return False
        sizes = [np.abs(board.sizes[board.kinds == kind]) for kind in range(len(self.typical))]
        drift = np.array([own.mean() for own in sizes]) / self.typical
        own = np.array([own.std() for own in sizes]) / self.typical
        self.spread = np.clip((1 - SLOWLY) * self.spread + SLOWLY * own, NARROWEST, WIDEST)
        self.found = Iterate(self._turned(maps, drift), maps, board.misfit)
        return True

    def _turned(self, maps: Real, drift: Real) -> Real:
        """The kernels after a step towards what fits these maps, with inertia; their norms are `typical`."""
        kernels = self.found.kernels
        fitted = fit_kernels(self.objective, maps)
        scale = np.abs(fitted.maps).sum((1, 2)) / np.abs(maps).sum((1, 2))
        before = kernels * _by_type(self.typical)
        ahead = fitted.kernels * _by_type(self.typical * scale * drift**DRIFT)
        self.velocity = INERTIA * self.velocity + (ahead - before).astype(kernels.dtype)
        now = before + self.velocity
        self.typical = np.linalg.norm(now.reshape(len(now), -1), axis=1)
        return (now / _by_type(self.typical)).astype(kernels.dtype)

    def _law(self, board: Board) -> _Law:
        """From what the image holds beyond noise: that many defects of typical amplitude."""
        energy, typical = 2 * self.objective.field.energy, self.typical
        left = max(2 * board.misfit, SMALLEST_MISFIT * energy)
        explained = max(energy - left, 1e-3 * left)
        power = np.array([np.square(board.sizes[board.kinds == kind]).sum() for kind in range(len(typical))])
        share = power / max(power.sum(), 1e-30)
        places = float((board.norms[0] > 0.5).sum())
        density = np.clip(share * explained / typical**2 / places, 1 / places, 0.5)
        noise = TEMPERATURE * left / float(self.objective.mask.sum())
        variance, odds = (self.spread * typical) ** 2, np.log(density / (1 - density))
        return _Law(noise, typical, variance, odds, self.nonnegative)


def _by_type(values: Real) -> Real:
    return np.asarray(values)[:, None, None, None]


class _Sweep:
    """Every defect drawn anew, first where it lies, then how many there are."""

    def __init__(self, board: Board, law: _Law, rng: np.random.Generator) -> None:
        self.board, self.law, self.rng = board, law, rng

    def run(self) -> None:
        """Draw."""
        groups = self._matched()
        for batch in self._batches(groups):
            self._move(groups.chosen(batch))
            self.board.refresh()
        self.board.tidy()
        for kind in range(self.board.shape[0]):
            corner = self.rng.integers(0, TILE, 2)
            for row in range(STRIDE):
                for col in range(STRIDE):
                    if self._redraw(kind, corner + TILE * np.array([row, col])):
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

    def _move(self, groups: Groups) -> None:
        """As many defects as there are, at other places."""
        views, board = self.board.views(groups), self.board
        weights = _Weights(views, self.law)
        one, two = weights.one, weights.two
        # Who has no place that is seen stays.
        one[:, MIDDLE] = np.maximum(one[:, MIDDLE], LEAST_LIKELY)
        two[:, MIDDLE, MIDDLE] = np.maximum(two[:, MIDDLE, MIDDLE], LEAST_LIKELY)
        paired = groups.paired
        at = np.empty((len(groups), 2), np.intp)
        at[~paired] = _drawn(one[~paired], self.rng)[:, None]
        at[paired] = np.column_stack(
            np.divmod(_drawn(two[paired].reshape(-1, two.shape[1] ** 2), self.rng), two.shape[1])
        )
        sizes = weights.amplitudes(at, paired, self.rng)
        row = np.arange(len(groups))
        for n, numbers in enumerate((groups.first, groups.second)):
            which = paired if n else np.ones(len(groups), bool)
            board.put(numbers[which], views.places[n][row, at[:, n]][which], sizes[which, n])

    def _redraw(self, kind: int, corner: Index) -> bool:
        """None, one or two defects of a kind in each of the tiles in some distance from each other."""
        centres, own = self._tiles(kind, corner)
        if not len(centres):
            return False
        board, kinds = self.board, np.full(len(centres), kind)
        views = board.around((kinds, kinds), (centres, centres), own)
        weights = _Weights(views, self.law)
        number = weights.one.shape[1]
        two = (weights.two + TWICE).reshape(len(centres), -1)
        choice = _drawn(np.column_stack([np.zeros(len(centres)), weights.one, two]), self.rng) - 1
        both = choice >= number
        pair = np.column_stack(np.divmod(np.maximum(choice - number, 0), number))
        at = np.where(both[:, None], pair, np.maximum(choice, 0)[:, None] % number)
        sizes = weights.amplitudes(at, both, self.rng)
        numbers = np.append(own.first, own.second)
        board.sizes[numbers[numbers >= 0]] = 0
        row = np.arange(len(centres))
        for n, there in ((0, choice >= 0), (1, both)):
            board.add(kinds[there], views.places[n][row, at[:, n]][there], sizes[there, n])
        return True

    def _tiles(self, kind: int, corner: Index) -> tuple[Index, Groups]:
        """Centres of tiles where defects are, at most two, or are likely; and those defects (-1: none)."""
        board, step = self.board, TILE * STRIDE
        sides = zip(corner, board.shape[1:], strict=True)
        rows, cols = [np.arange(c + REACH, n - REACH, step) for c, n in sides]
        centres = np.stack(np.meshgrid(rows, cols, indexing="ij"), -1).reshape(-1, 2)
        first, second, number = self._owned(kind, corner, len(rows), len(cols))
        places = centres[:, None] + AROUND
        here = (kind, places[..., 0], places[..., 1])
        weights = self.law.alone(board.shown[here], board.norms[here], np.full(len(centres), kind))
        chosen = (number <= 2) & ((number > 0) | (weights.max(1, initial=UNLIKELY) > UNLIKELY))
        first, second = first[chosen], second[chosen]
        return centres[chosen], Groups(first, np.where(second < 0, first, second))

    def _owned(self, kind: int, corner: Index, rows: int, cols: int) -> tuple[Index, Index, Index]:
        """Numbers of a first and a second defect in each tile (-1: none), and how many there are."""
        board, step = self.board, TILE * STRIDE
        off = board.centres - corner
        tile = off // step
        here = (board.kinds == kind) & (board.sizes != 0) & (off >= 0).all(1) & (off % step < TILE).all(1)
        here &= (tile < [rows, cols]).all(1)
        numbers = np.flatnonzero(here)
        flat = tile[numbers] @ [cols, 1]
        count = np.bincount(flat, minlength=rows * cols)
        first, second = np.full((2, rows * cols), -1)
        second[flat] = numbers
        first[flat[::-1]] = numbers[::-1]
        return first, np.where(count > 1, second, -1), count


def _once() -> Real:
    """For each lag between two centres, what forbids two defects at one place around both."""
    lags = np.arange(1 - TILE, TILE)
    apart = np.stack(np.meshgrid(lags, lags, indexing="ij"), -1)[:, :, None, None]
    same = (apart + AROUND[:, None] - AROUND == 0).all(-1)
    return np.where(same, -np.inf, 0.0).astype(np.float32)


ONCE = _once()


class _Weights:
    """Log weights of one defect (groups, places) and of two (groups, places, places)."""

    def __init__(self, views: Views, law: _Law) -> None:
        self.views, self.law = views, law
        self.pulls = [law.pulls(views.reach[n], views.norms[n], views.kinds[n]) for n in range(2)]
        (a1, b1, c1), (a2, b2, c2) = self.pulls
        self.floors = [law.floor(kinds) for kinds in views.kinds]
        self.one = c1 - 0.5 * np.log(a1) + 0.5 * b1**2 / a1
        self.cross = views.cross / law.noise
        determinant = a1[:, :, None] * a2[:, None] - self.cross**2
        square = (b1**2)[:, :, None] * a2[:, None] + (b2**2)[:, None] * a1[:, :, None]
        square -= (2 * self.cross) * (b1[:, :, None] * b2[:, None])
        self.two = 0.5 * (square / determinant - np.log(determinant)) + c1[:, :, None] + c2[:, None]
        if law.nonnegative:
            self._without_weak(determinant)
        apart = views.places[0][:, 0] - views.places[1][:, 0]
        apart[views.kinds[0] != views.kinds[1]] = 2 * TILE
        near = (np.abs(apart) < TILE).all(1)
        self.two[near] += ONCE[tuple((apart[near] + TILE - 1).T)]

    def _without_weak(self, determinant: Real) -> None:
        """Less weight where amplitudes would be below the floor: what normal laws have there is not allowed."""
        (a1, b1, _), (a2, b2, _) = self.pulls
        low1, low2 = (floor[:, None] for floor in self.floors)
        self.one -= _short(b1 - low1 * a1, a1)
        first = a2[:, None] * (b1[:, :, None] - a1[:, :, None] * low1[..., None])
        first -= self.cross * (b2[:, None] - self.cross * low1[..., None])
        self.two -= _short(first, determinant * a2[:, None])
        second = a1[:, :, None] * (b2[:, None] - a2[:, None] * low2[..., None])
        second -= self.cross * (b1[:, :, None] - self.cross * low2[..., None])
        self.two -= _short(second, determinant * a1[:, :, None])

    def amplitudes(self, at: Index, both: NDArray[np.bool_], rng: np.random.Generator) -> Real:
        """Drawn for defects at these places (groups, 2), both of them or only the first."""
        row = np.arange(len(at))
        (a1, b1), (a2, b2) = (
            (self.pulls[n][0][row, at[:, n]], self.pulls[n][1][row, at[:, n]]) for n in range(2)
        )
        cross = np.where(both, self.cross[row, at[:, 0], at[:, 1]], 0)
        determinant = a1 * a2 - cross**2
        low1, low2 = self.floors
        first = (a2 * b1 - cross * b2) / determinant
        first += np.sqrt(a2 / determinant) * rng.standard_normal(len(at))
        first = np.maximum(first, low1)
        second = (b2 - cross * first) / a2 + rng.standard_normal(len(at)) / np.sqrt(a2)
        short = second < low2
        second = np.maximum(second, low2)
        # Once more for the partner of one at the floor, or both together miss what the image holds.
        again = (b1 - cross * second) / a1 + rng.standard_normal(len(at)) / np.sqrt(a1)
        return np.column_stack([np.where(short, np.maximum(again, low1), first), second])


def _short(excess: Real, precision: Real) -> Real:
    """Half the squared deviations by which a mean, times its precision, lies below what is allowed."""
    return np.asarray(0.5 * np.minimum(excess, 0) ** 2 / precision)


# Two places around one defect are the same in either order.
TWICE = np.where(np.triu(np.ones((TILE**2,) * 2), 1) > 0, 0.0, -np.inf).astype(np.float32)


def _drawn(weights: Real, rng: np.random.Generator) -> Index:
    """One option of each row, by its log weight."""
    chance = np.exp(weights - weights.max(1, keepdims=True))
    held = chance.cumsum(1)
    return np.asarray((held < rng.random(len(held))[:, None] * held[:, -1:]).sum(1))
