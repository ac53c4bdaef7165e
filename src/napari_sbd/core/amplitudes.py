"""Amplitudes of atoms at given sites: the ℓ1 problem on their Gram matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.positive import solved_positive

if TYPE_CHECKING:
    from napari_sbd.core.support_model import Gram

Real = NDArray[np.floating]

NEWTON_STEPS = 12
NEWTON_LARGEST = 500  # sites up to which a step of Newton's method is cheaper than many small ones
SMALL_STEPS = 200
TOLERANCE = 1e-5
RIDGE = 1e-6
POWER_STEPS, FEW_POWER_STEPS = 15, 4
SAFETY = 1.02
MOST_HALVINGS = 10
ROUNDING = 1e-5  # of ψ, up to which it has not risen


def solve_amplitudes(gram: Gram, reach: Real, price: Real, begin: Real, nonnegative: bool) -> Real:
    """Minimise `½ xᵀ G x - rᵀ x + Σ p |x|`, with `x ≥ 0` if so asked.

    Newton's method on the active set where there are few sites; accelerated proximal steps otherwise, and
    where Newton's method does not settle.

    Parameters
    ----------
    gram : Gram
        G.
    reach : array (sites,)
        r, correlation of each atom with the data.
    price : array (sites,)
        p, the penalty of each.
    begin : array (sites,)
    nonnegative : bool
    """
    if gram.means is None and len(reach) <= NEWTON_LARGEST:
        found = _newton(np.asarray(gram.matrix), reach, price, begin, nonnegative)
        if found is not None:
            return found
    return _proximal(gram, reach, price, begin, nonnegative)


def _newton(matrix: Real, reach: Real, price: Real, begin: Real, nonnegative: bool) -> Real | None:
    """Solve on the active set and correct it until it stays; None if it does not."""
    sign = np.sign(begin)
    slack = 1e-4 * price
    for _ in range(NEWTON_STEPS):
        active = np.flatnonzero(sign)
        found = np.zeros(len(reach), reach.dtype)
        if len(active):
            # All of a matrix is copied ten times faster than chosen rows and columns of it.
            every = len(active) == len(found)
            block = matrix.copy() if every else matrix.take(active, 0).take(active, 1)
            block.reshape(-1)[:: len(active) + 1] += RIDGE
            right = reach[active] - price[active] * sign[active]
            solved = solved_positive(block, right)
            if solved is None:
                return None
            found[active] = solved
        wrong = found * sign < 0
        slope = reach - matrix @ found
        enter = (slope if nonnegative else np.abs(slope)) > price + slack
        enter &= sign == 0
        if not wrong.any() and not enter.any():
            return found
        sign = np.where(wrong, 0, sign)
        sign[enter] = np.sign(slope[enter])
    return None


def _proximal(gram: Gram, reach: Real, price: Real, begin: Real, nonnegative: bool) -> Real:
    largest, before = _largest_eigenvalue(gram, len(reach), reach.dtype), _value(gram, reach, price, begin)
    for _ in range(MOST_HALVINGS):
        found = _descended(gram, reach, price, begin, nonnegative, 1 / largest)
        # What the power method took for the largest eigenvalue may be another: then the steps grow.
        if _value(gram, reach, price, found) <= before + ROUNDING * abs(before):
            return found
        largest *= 2
    return begin


def _value(gram: Gram, reach: Real, price: Real, found: Real) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.vdot(found, 0.5 * (gram @ found) - reach) + np.vdot(price, np.abs(found)))


@np.errstate(over="ignore", invalid="ignore")
def _descended(gram: Gram, reach: Real, price: Real, begin: Real, nonnegative: bool, step: float) -> Real:
    cost, pull = step * price, step * reach
    raised = pull - cost
    found, change, age = begin, np.zeros_like(begin), 0
    for _ in range(SMALL_STEPS):
        ahead = found + age / (age + 3) * change if age else found
        moved = gram @ ahead
        moved *= -step
        moved += ahead
        if nonnegative:
            now = np.maximum(moved + raised, 0)
        else:
            now = np.maximum(moved + raised, 0) - np.maximum(-moved - pull - cost, 0)
        change = now - found
        found = now
        age = 0 if float(np.vdot(ahead - found, change)) > 0 else age + 1
        if float(np.vdot(change, change)) <= TOLERANCE**2 * float(np.vdot(found, found)):
            break
    return found


def _largest_eigenvalue(gram: Gram, size: int, dtype: np.dtype) -> float:
    """By the power method; from the vector of the last matrix on, which is nearly the same."""
    known, value = gram.leading, 1.0
    vector = known[0] if known else np.ones(size, dtype) + np.linspace(0, 0.1, size, dtype=dtype)
    for _ in range(FEW_POWER_STEPS if known else POWER_STEPS):
        vector = gram @ vector
        value = float(np.linalg.norm(vector))
        vector = vector / value
    gram.leading[:] = [vector]
    return SAFETY * value
