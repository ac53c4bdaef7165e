"""The engine: exact steps on the support, in kernels and maps by turns, and screening for new sites.

Between two screenings nothing touches a pixel that no defect covers. Where the support grows too large for
that to pay, the plain descent takes over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import spatial

from napari_sbd.core.amplitudes import solve_amplitudes
from napari_sbd.core.descent import Iterate, Schedule, descend, solve_maps
from napari_sbd.core.held_slopes import HeldSlopes
from napari_sbd.core.kernel_fit import normal_equations
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.sites import Sites, largest_of_neighbours
from napari_sbd.core.sphere_quadratic import minimise_on_sphere
from napari_sbd.core.support_model import SupportModel
from napari_sbd.core.tiles import Active, Tile

Real = NDArray[np.floating]

LARGEST_SHARE = 0.04  # of the map's places that may be sites
SCREENING = 3  # steps from one screening to the next, at most
TINY = 1e-30
MOST_SOLVES, SOLVED = 20, 1e-4  # of the amplitudes on a support that stays
LEADING = 0.5  # of the best candidate's excess over λ nearby, below which another may be its side lobe
SLACK = 1e-3  # of λ, by which a correlation must exceed it to be a candidate
LARGE = 400 * 400  # places, from which a look at all of them costs more than following what has changed
RISEN = 0.05  # of λ, by which correlations may have risen since a screening that need not be repeated
ROUGH = 1e-3  # of a gradient, to which kernels are solved where only their place is wanted
FINER = 0.05  # of the tolerance of kernels, to which each step solves them


def alternate(
    objective: Objective,
    kernels: Real,
    maps: Real,
    penalty: Penalty,
    schedule: Schedule,
    screened: bool = False,
) -> Iterator[Iterate]:
    """Minimise ψ in maps and kernels by exact steps in turn, from these on; yields every iterate.

    `screened` says that no place off the support is above λ to begin with.
    """
    return _Alternation(objective, kernels, maps, penalty, held=False).run(schedule, screened)


def fit_maps(
    objective: Objective, kernels: Real, maps: Real, penalty: Penalty, schedule: Schedule
) -> Iterator[Iterate]:
    """Minimise ψ in the maps for kernels that stay; yields every iterate."""
    return _Alternation(objective, kernels, maps, penalty, held=True).run(schedule)


def crowded(sites: int, maps: Real) -> bool:
    """Whether so many sites are too many for steps on them to pay."""
    return bool(sites > LARGEST_SHARE * maps[0].size)


def fit_kernels_on_sphere(objective: Objective, kernels: Real, maps: Real) -> Real:
    """The kernels of unit norm that minimise ψ for maps that stay, roughly."""
    if not maps.any():
        return kernels
    if len(kernels) == 1:
        normal, right = normal_equations(objective, maps)
        linear = right.ravel()
        if not linear.any():
            return kernels
        found, _ = minimise_on_sphere(normal, linear, kernels.ravel(), ROUGH)
        return found.reshape(kernels.shape)
    sites = Sites.of(maps)
    quadratic = objective.model_of(sites, len(kernels)).quadratic(sites.read(maps))
    return quadratic.minimised(kernels, ROUGH)[0]


def unpenalised(objective: Objective, kernels: Real, maps: Real, nonnegative: bool) -> Iterate | None:
    """Amplitudes on the support of maps without penalty; None where the support is too large for that."""
    sites = Sites.of(maps)
    if not len(sites) or crowded(len(sites), maps):
        return None
    model = objective.model_of(sites, len(kernels))
    reach, gram = model.reach(kernels), model.gram(kernels)
    found = sites.read(maps)
    free = np.zeros_like(found)
    for _ in range(MOST_SOLVES):
        before, found = found, solve_amplitudes(gram, reach, free, found, nonnegative)
        if np.linalg.norm(found - before) <= SOLVED * np.linalg.norm(found):
            break
    value = objective.field.energy + 0.5 * float(np.vdot(found, gram @ found)) - float(np.vdot(found, reach))
    return Iterate(kernels, sites.write(found, maps), value)


class _Alternation:
    """Kernels, sites and amplitudes on their way; `held` keeps the kernels."""

    def __init__(self, objective: Objective, kernels: Real, maps: Real, penalty: Penalty, held: bool) -> None:
        self.objective, self.penalty, self.held = objective, penalty, held
        self.kernels, self.like = kernels, maps
        self.sites = Sites.of(maps)
        self.amplitudes = self.sites.read(maps)
        self.screened: tuple[Real, Real] | None = None
        self.model: SupportModel | None = None
        self.slopes: HeldSlopes | None = None

    def run(self, schedule: Schedule, screened: bool = False) -> Iterator[Iterate]:
        since, moved, last = SCREENING, np.inf, np.inf
        for step in range(schedule.steps):
            settled = moved < schedule.tolerance
            if settled and not (schedule.thorough and self._may_have_risen()):
                return
            if since >= SCREENING or settled:
                fresh = Sites.none() if screened and step == 0 else self._candidates()
                if settled and len(fresh) <= schedule.slight * len(self.sites):
                    return
                self._work_on(fresh)
                since, last = 0, np.inf
                if crowded(len(self.sites), self.like):
                    rest = replace(schedule, steps=schedule.steps - step)
                    plain = solve_maps if self.held else descend
                    yield from plain(self.objective, self.kernels, self._maps(), self.penalty, rest)
                    return
                if not len(self.sites):
                    yield Iterate(self.kernels, self._maps(), self.objective.field.energy)
                    return
            value, now = self._step(FINER * schedule.tolerance)
            moved, last = _to_come(last, now) if schedule.foresees else now, now
            since = SCREENING if self.held else since + 1
            yield Iterate(self.kernels, self._maps(), value)

    def _maps(self) -> Real:
        return self.sites.write(self.amplitudes, self.like)

    def _work_on(self, fresh: Sites) -> None:
        """Go on with the sites that are active and with fresh ones."""
        kept = self.amplitudes != 0
        if self.model is None or len(fresh) or not kept.all():
            none = np.zeros(len(fresh), self.amplitudes.dtype)
            sites, amplitudes = self.sites.chosen(kept).joined(fresh), np.append(self.amplitudes[kept], none)
            order = sites.order
            self.sites, self.amplitudes = sites.chosen(order), amplitudes[order]
            known = [] if self.model is None else self.model.leading
            if len(self.sites) and not crowded(len(self.sites), self.like):
                self.model = self.objective.model_of(self.sites, len(self.kernels))
                for vector in known:
                    others = np.full(len(fresh), np.abs(vector).mean(), vector.dtype)
                    self.model.leading[:] = [np.append(vector[kept], others)[order]]
        self.screened = self.kernels, self.amplitudes

    def _may_have_risen(self) -> bool:
        """Whether a place may have come above λ since the last screening, by what has moved since."""
        assert self.screened is not None
        kernels, amplitudes = self.screened
        turned = np.linalg.norm((self.kernels - kernels).reshape(len(kernels), -1), axis=1).max()
        change, largest = (np.abs(x).max() for x in (self.amplitudes - amplitudes, self.amplitudes))
        return bool(change + turned * largest > RISEN * self.penalty.lam)

    def _step(self, tolerance: float) -> tuple[float, float]:
        """Solve amplitudes, then kernels; returns ψ and how far what was solved last has moved."""
        assert self.model is not None
        price = self._price()
        reach, gram = self.model.reach(self.kernels), self.model.gram(self.kernels)
        before = self.amplitudes
        now = solve_amplitudes(gram, reach, price, before, self.penalty.nonnegative)
        self.amplitudes = now
        rest = self.objective.field.energy + float(np.vdot(price, np.abs(now)))
        if self.held:
            moved = float(np.linalg.norm(now - before)) / max(float(np.linalg.norm(now)), TINY)
            return rest + 0.5 * float(np.vdot(now, gram @ now)) - float(np.vdot(now, reach)), moved
        quadratic = self.model.quadratic(now)
        turned, value = quadratic.minimised(self.kernels, tolerance)
        moved = float(np.linalg.norm((turned - self.kernels).reshape(len(turned), -1), axis=1).max())
        self.kernels = turned
        return rest + value, moved

    def _price(self) -> Real:
        weights = self.penalty.weights
        price = self.penalty.lam * (1 if weights is None else self.sites.read(weights))
        return np.broadcast_to(np.asarray(price, self.amplitudes.dtype), self.amplitudes.shape)

    def _candidates(self) -> Sites:
        """Places off the support where the residual's correlation exceeds λ, of neighbours the best."""
        kept = self.amplitudes != 0
        active = self.sites.chosen(kept)
        here = Active(active.kinds, active.rows, active.cols, self.amplitudes[kept])
        found: list[Sites] = [Sites.none()]
        excess: list[Real] = [np.empty(0)]
        for tile, around, slope in self._slopes(here):
            sites, own = self._above(tile, around, slope, active)
            found.append(sites)
            excess.append(own)
        fresh, own = Sites.all_of(found), np.concatenate(excess)
        if self.objective.in_one_piece or len(fresh) <= len(active):
            return fresh
        return fresh.chosen(_leading(fresh, own, self.objective.convolution.kernel_shape))

    def _slopes(self, active: Active) -> Iterator[tuple[Tile, Tile, Real]]:
        """Correlations with the residual; where kernels stay, a large image is gone through once."""
        if self.like[0].size < LARGE or not self.held:
            yield from self.objective.slopes(self.kernels, active, halo=1)
            return
        if self.slopes is None:
            self.slopes = HeldSlopes(self.objective, self.kernels, active)
        else:
            self.slopes.follow(active)
        for tile in self.objective.map_tiles(self.kernels):
            around = tile.grown(1, self.objective.convolution.map_shape)
            yield tile, around, self.slopes.values[:, around.rows, around.cols]

    def _above(self, tile: Tile, around: Tile, slope: Real, active: Sites) -> tuple[Sites, Real]:
        """The candidates in one tile, from the correlation in it and its halo, and their excess over λ."""
        penalty, weights = self.penalty, self.penalty.weights
        size = slope if penalty.nonnegative else np.abs(slope)
        limit: Real | float = penalty.lam
        if weights is not None:
            weights = weights[:, around.rows, around.cols]
            limit = penalty.lam * weights
        limit *= 1 + SLACK
        above = size > limit

        def over(*at: NDArray[np.intp]) -> Real:
            return np.asarray(size[at] - (penalty.lam if weights is None else penalty.lam * weights[at]))

        here = active.within(around)
        above[here.kinds, here.rows - around.rows.start, here.cols - around.cols.start] = False
        best = largest_of_neighbours(above, over)
        found = Sites(best.kinds, best.rows + around.rows.start, best.cols + around.cols.start)
        inside = found.inside(tile)
        best = best.chosen(inside)
        return found.chosen(inside), over(best.kinds, best.rows, best.cols)


def _to_come(last: float, now: float) -> float:
    """What all further steps on the same sites will move, if they shrink as this one did; at most as far."""
    return now * min(1.0, now / (last - now)) if now < last else now


def _leading(fresh: Sites, excess: Real, window: tuple[int, int]) -> NDArray[np.bool_]:
    """Which candidates are no mere side lobes: not far below the best within half a window.

    On a large image every screening costs, and side lobes taken for atoms make more of them necessary.
    """
    places = np.column_stack([fresh.rows, fresh.cols]) / (np.array(window) / 2)
    pairs = spatial.KDTree(places).query_pairs(1.0, p=np.inf, output_type="ndarray")
    best = excess.copy()
    np.maximum.at(best, pairs[:, 0], excess[pairs[:, 1]])
    np.maximum.at(best, pairs[:, 1], excess[pairs[:, 0]])
    return np.asarray(excess >= LEADING * best)
