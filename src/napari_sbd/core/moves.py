"""Moves: what one or two defects would explain at other places, for one pair or for many at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.defects import WEAKEST, typical_amplitude
from napari_sbd.core.noise import robust_std

Real = NDArray[np.floating]

RIDGE = 1e-3
SMALLEST_NORM = 10 * RIDGE  # squared, of what is seen of an atom that can be placed
FREEDOM = 3  # of Student's distribution of amplitudes
NARROWEST = 0.1  # its width over the typical amplitude, at least
LEAST_GAIN = 0.05  # of a second defect's price, for which a move is worth it


class Odds:
    """Cost of amplitudes of a type whose defects are much alike, with room for some that are not.

    Parameters
    ----------
    amplitudes : array (n,)
        Of the type's defects.
    weight : float
        Variance of the noise; 0 where amplitudes shall not count.
    """

    def __init__(self, amplitudes: Real, weight: float) -> None:
        size = np.abs(amplitudes)
        strong = size[size >= WEAKEST * typical_amplitude(size)]
        self.weight = weight if len(strong) else 0.0
        self.typical = float(np.median(strong)) if len(strong) else 1.0
        self.spread = max(robust_std(strong), NARROWEST * self.typical)

    def cost(self, amplitudes: Real | float) -> Real:
        """Minus the logarithm of Student's density, nothing at the typical amplitude, times `weight`."""
        off = (np.abs(amplitudes) - self.typical) / self.spread
        return np.asarray(self.weight * (FREEDOM + 1) / 2 * np.log1p(off**2 / FREEDOM))


@dataclass(frozen=True)
class Rules:
    """What a move costs: `price` of a second defect, and whether amplitudes must be nonnegative."""

    price: float
    nonnegative: bool

    def threshold(self, now: Real) -> Real:
        """What a move must reach where `now` is what its defects explain where they are."""
        return np.asarray(now + np.maximum(LEAST_GAIN * self.price, 1e-6 * np.abs(now)))


@dataclass(frozen=True)
class Offers:
    """Amplitudes and gains (…, places) of one defect, and (…, places, places) of two."""

    one: Real
    gain_of_one: Real
    first: Real
    second: Real
    gain_of_two: Real

    def top(self) -> Real:
        """The largest gain of each pair."""
        flat = self.gain_of_two.reshape(*self.gain_of_two.shape[:-2], -1)
        return np.asarray(np.maximum(self.gain_of_one.max(-1), flat.max(-1)))


def offers_of_one(reach: Real, norms: Real, odds: Odds, rules: Rules) -> tuple[Real, Real]:
    """Amplitude and gain of one defect, at places (…, n) where atoms have these squared norms."""
    usable = norms > SMALLEST_NORM
    value = np.where(usable, reach / np.maximum(norms, RIDGE), 0)
    if rules.nonnegative:
        value = np.maximum(value, 0)
    return value, 0.5 * value**2 * norms - odds.cost(value)


def offers(
    reach: tuple[Real, Real], norms: tuple[Real, Real], cross: Real, odds: tuple[Odds, Odds], rules: Rules
) -> Offers:
    """What one defect or two would explain at places of two groups.

    Parameters
    ----------
    reach : two arrays (…, n) and (…, m)
        Correlation of the atoms at each place with the image less all other defects.
    norms : two arrays
        Their squared norms, as far as they are seen.
    cross : array (…, n, m)
        Their inner products.
    odds : two Odds
    rules : Rules
    """
    ones = [offers_of_one(r, n, o, rules) for r, n, o in zip(reach, norms, odds, strict=True)]
    b1, n1 = reach[0][..., :, None], norms[0][..., :, None]
    b2, n2 = reach[1][..., None, :], norms[1][..., None, :]
    determinant = n1 * n2 - cross**2
    safe = determinant > RIDGE * n1 * n2
    inverse = np.where(safe, 1 / np.where(safe, determinant, 1), 0)
    x, y = (n2 * b1 - cross * b2) * inverse, (n1 * b2 - cross * b1) * inverse
    gain = 0.5 * (x * b1 + y * b2) - rules.price - odds[0].cost(x) - odds[1].cost(y)
    good = (n1 > SMALLEST_NORM) & (n2 > SMALLEST_NORM)
    if rules.nonnegative:
        good = good & (x > 0) & (y > 0)
    gain = np.where(good, gain, -np.inf)
    return Offers(
        np.concatenate([ones[0][0], ones[1][0]], -1), np.concatenate([ones[0][1], ones[1][1]], -1), x, y, gain
    )
