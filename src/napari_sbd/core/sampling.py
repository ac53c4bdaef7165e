"""Sampling: where defects crowd, their places are drawn at random, as likely as the image makes them.

A descent, or moves that only ever gain, keep the first arrangement that a blurred kernel suggests. Here
defects are moved, born, split and joined with the probabilities of their posterior at a raised temperature
(Gibbs' method), and after each sweep the kernels are fitted to the arrangement that came out: a stochastic
expectation-maximisation.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.board import Board
from napari_sbd.core.descent import Iterate
from napari_sbd.core.kernel_fit import fit_kernels
from napari_sbd.core.likelihood import Law
from napari_sbd.core.objective import Objective, misfit
from napari_sbd.core.peaks import WEAKEST, typical_amplitude
from napari_sbd.core.shrinkage import shrunk
from napari_sbd.core.sphere import project
from napari_sbd.core.subpixel import cores_on_pixels
from napari_sbd.core.sweep import sweep

Real = NDArray[np.floating]

LEAST = 11  # sweeps
LOOKED_BACK, STILL = 9, 0.035  # sweeps over which kernels that move less than that stay
# The mean is taken over the kernels of the last sweeps, and of that share of all that lie so near the last.
MEAN, TAIL, NEAR = 6, 0.5, 2 * STILL
# Sweeps after which, and after every how many, the cores of kernels that still move are brought back on to
# their pixels, if they are so near (px).
MORE, EVERY, HELD = 20, 5, 0.35
# Sweeps after which kernels that have not settled are doubted, and the growth of the spread that is too much.
DOUBT, GROWN = 29, 0.08
# Spread of amplitudes over the typical one: at first, at least, at most, and how fast it follows the draws.
SPREAD, NARROWEST, WIDEST, SLOWLY = 0.15, 0.03, 0.5, 0.1
GROWING = 1.15  # of the smallest misfit, up to which that of a chain may come back: in good ones up to 1.08
SMALLEST_MISFIT = 1e-6  # of the image's energy, for noise-free images
ROUGHLY = 3e-3  # accuracy of the kernels that are fitted to one map
INERTIA, DRIFT = 0.6, 2.0  # of the kernels from sweep to sweep, and of their norms


@dataclass(frozen=True)
class Heat:
    """How an image is sampled.

    Attributes
    ----------
    temperature : float
        Of the noise that the model leaves: by how much more than that power counts as noise.
    begin : float
        Of the typical amplitude of the map to begin with: rather too many defects at first than too few.
    most : int
        Sweeps.
    patient : bool
        Whether it goes on though amplitudes spread: defects change over between types that are told apart.
    held : bool
        Whether the kernels stay.
    freed : float
        Share of the noise in the kernels that fit a map that is taken off them.
    """

    temperature: float = 1.5
    begin: float = 0.55
    most: int = 50
    patient: bool = False
    held: bool = False
    freed: float = 0.5


AS_GIVEN = Heat()


class Ending(Enum):
    """How sampling ended: kernels stay, or only the mean of many tells them, or they are wrong."""

    SETTLED = "settled"
    AVERAGED = "averaged"
    GIVEN_UP = "given up"


def sample_places(
    objective: Objective, found: Iterate, nonnegative: bool, seed: int, heat: Heat = AS_GIVEN
) -> Generator[Iterate, None, Ending]:
    """Draw places and amplitudes and fit the kernels by turns; yields both after each sweep.

    It ends once the kernels stay, up to what chance does to them; the last iterate's are their mean. It is
    given up where a type has no defect left, where kernels grow against each other and more is left again,
    or where the kernels go on moving and amplitudes spread ever farther: then defects are composed of
    several, by wrong kernels.

    Parameters
    ----------
    objective : Objective
    found : Iterate
        Where to begin.
    nonnegative : bool
        Whether amplitudes must be.
    seed : int
    heat : Heat
    """
    chain = Chain.begun(objective, found, nonnegative, seed, heat)
    past: list[Real] = []
    spreads: list[float] = []
    ending = Ending.AVERAGED
    for number in range(heat.most):
        if number > MORE and number % EVERY == 0:
            chain.hold()
        alive = chain.sweep()
        spreads.append(float(chain.spread.max()))
        spreading = number == DOUBT and spreads[-1] > spreads[LOOKED_BACK] + GROWN
        if not alive or (spreading and not heat.patient):
            return Ending.GIVEN_UP
        yield chain.found
        past = [*past[-max(LOOKED_BACK, int(TAIL * number)) :], chain.found.kernels]
        still = number >= LEAST and _apart(past[-1], past[-1 - LOOKED_BACK]) < STILL
        if still and number < MORE:
            ending = Ending.SETTLED
        if still:
            break
    yield replace(chain.found, kernels=_mean(past))
    return ending


def _apart(one: Real, other: Real) -> float:
    """The largest difference of two kernels of a type, in norm."""
    return float(np.linalg.norm((one - other).reshape(len(one), -1), axis=1).max())


def _mean(past: list[Real]) -> Real:
    """Of the last kernels, and of those before that were not yet on their way."""
    near = [kernels for kernels in past[:-MEAN] if _apart(kernels, past[-1]) < NEAR]
    return project(np.mean([*near, *past[-MEAN:]], axis=0))


@dataclass
class Chain:
    """Where sampling stands: kernels and maps, what amplitudes are like, and how the kernels move."""

    objective: Objective
    found: Iterate
    nonnegative: bool
    rng: np.random.Generator
    heat: Heat
    typical: Real
    spread: Real
    velocity: Real
    least: float = np.inf

    @classmethod
    def begun(cls, objective: Objective, found: Iterate, nonnegative: bool, seed: int, heat: Heat) -> Chain:
        """One at the beginning: without weak activations, and rather too many defects than too few."""
        maps, typical = found.maps.copy(), []
        for map_ in maps:
            level = typical_amplitude(map_[map_ != 0])
            map_[np.abs(map_) < WEAKEST * level] = 0
            typical.append(heat.begin * level)
        spread, velocity = np.full(len(typical), SPREAD), np.zeros_like(found.kernels)
        begin, rng = replace(found, maps=maps), np.random.default_rng(seed)
        return cls(objective, begin, nonnegative, rng, heat, np.array(typical), spread, velocity)

    def hold(self) -> None:
        """Bring the cores of symmetric kernels that have moved off their pixels a little back on to them."""
        self.found = replace(self.found, kernels=cores_on_pixels(self.found.kernels, HELD))

    def sweep(self) -> bool:
        """Draw the maps, then turn the kernels; False where that leads nowhere.

        A type has no defect left there, or kernels and maps grow against each other.
        """
        board = Board(self.objective, self.found)
        energy = sweep(board, self._law(board), self.rng)
        maps = board.maps()
        if not maps.any(axis=(1, 2)).all():
            return False
        sizes = [np.abs(board.sizes[board.kinds == kind]) for kind in range(len(self.typical))]
        own = np.array([sizes_.std() for sizes_ in sizes]) / self.typical
        drift = np.array([sizes_.mean() for sizes_ in sizes]) / self.typical
        self.spread = np.clip((1 - SLOWLY) * self.spread + SLOWLY * own, NARROWEST, WIDEST)
        self.found = Iterate(self.found.kernels, maps, energy)
        if not self.heat.held:
            ahead = self._ahead(maps, drift, self._noise(energy))
            self.found = replace(self.found, kernels=self._turned(ahead))
        self.least = min(self.least, self.found.objective)
        return self.found.objective <= GROWING * self.least

    def _ahead(self, maps: Real, drift: Real, noise: float) -> Real:
        """The kernels that fit these maps, their norms what `typical` should be."""
        fitted = fit_kernels(self.objective, maps, self.found.kernels, ROUGHLY)
        scale = np.abs(fitted.maps).sum((1, 2)) / np.abs(maps).sum((1, 2))
        power = np.square(fitted.maps).sum((1, 2), dtype=float)
        kernels = shrunk(fitted.kernels, self.heat.freed * noise / power[:, None, None, None])
        return np.asarray(kernels * _by_type(self.typical * scale * drift**DRIFT))

    def _noise(self, energy: float) -> float:
        """Power of what is left, per pixel, from half its sum of squares."""
        left = max(2 * energy, SMALLEST_MISFIT * 2 * self.objective.field.energy)
        return left / float(self.objective.mask.sum())

    def _turned(self, ahead: Real) -> Real:
        """The kernels after a step ahead, with inertia; their norms are `typical`."""
        kernels = self.found.kernels
        before = kernels * _by_type(self.typical)
        self.velocity = INERTIA * self.velocity + (ahead - before).astype(kernels.dtype)
        now = before + self.velocity
        self.typical = np.linalg.norm(now.reshape(len(now), -1), axis=1)
        return (now / _by_type(self.typical)).astype(kernels.dtype)

    def _law(self, board: Board) -> Law:
        """From what the image holds beyond noise: that many defects of typical amplitude."""
        energy, typical = 2 * self.objective.field.energy, self.typical
        noise = self._noise(misfit(board.left()))
        left = noise * float(self.objective.mask.sum())
        explained = max(energy - left, 1e-3 * left)
        power = np.array([np.square(board.sizes[board.kinds == kind]).sum() for kind in range(len(typical))])
        share = power / max(power.sum(), 1e-30)
        places = float((board.norms[0] > 0.5).sum())
        density = np.clip(share * explained / typical**2 / places, 1 / places, 0.5)
        variance, odds = (self.spread * typical) ** 2, np.log(density / (1 - density))
        return Law(self.heat.temperature * noise, typical, variance, odds, self.nonnegative)


def _by_type(values: Real) -> Real:
    return np.asarray(values)[:, None, None, None]
