"""The exact minimum of a quadratic on the unit sphere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

Real = NDArray[np.floating]

MOST_PRODUCTS = 12
TOLERANCE = 2e-5
MOST_SECULAR, SECULAR = 50, 1e-10  # Newton steps on 1/‖z‖, which rise to the root, and where they end


def minimise_on_sphere(
    product: Callable[[Real], Real],
    linear: Real,
    begin: Real,
    tolerance: float = TOLERANCE,
    most: int = MOST_PRODUCTS,
) -> tuple[Real, float]:
    """Minimise `½⟨a, G a⟩ - ⟨c, a⟩` over ‖a‖ = 1 in a growing subspace; the minimum and its value.

    Parameters
    ----------
    product : callable
        Maps a flat `a` to `G a`; G is symmetric.
    linear : array (n,)
        c, not zero.
    begin : array (n,)
        Where to begin, not zero: near the minimum a product or two do.
    tolerance : float
        Of the gradient along the sphere, over ‖c‖.
    most : int
        Largest number of products.

    Notes
    -----
    The subspace begins with `begin`, and each step adds the gradient at its minimum, which solves
    `(H + θ) z = d` with θ such that ‖z‖ = 1, H and d the matrix and the linear term in the subspace. From
    `begin = c` that is Lanczos' method (Gould et al., SIAM J. Optim. 9, 504, 1999).

    Examples
    --------
    >>> G, c = np.diag([1.0, 2.0, 5.0]), np.array([1.0, 1.0, 1.0])
    >>> a, _ = minimise_on_sphere(lambda v: G @ v, c, begin=c)
    >>> bool(np.allclose(np.cross(G @ a - 1, a), 0, atol=1e-3))
    True
    """
    size = _length(linear)
    basis, images = np.empty((2, most, linear.size), linear.dtype)
    matrix, pull = np.empty((most, most)), np.empty(most)
    fresh = begin / _length(begin)
    for small in range(1, most + 1):
        last = small - 1
        basis[last], images[last] = fresh, product(fresh)
        held, seen = basis[:small], images[:small]
        matrix[last, :small] = matrix[:small, last] = held @ images[last]
        pull[last] = float(np.vdot(fresh, linear))
        place, multiplier = _on_small_sphere(matrix[:small, :small], pull[:small], size)
        place = place.astype(linear.dtype)
        found, image = place @ held, place @ seen
        # What is left of the gradient in the subspace is rounding.
        slope = image - linear + linear.dtype.type(multiplier) * found
        slope -= (held @ slope) @ held
        steep = _length(slope)
        if steep <= tolerance * size:
            break
        fresh = slope / steep
    value = 0.5 * float(np.vdot(found, image)) - float(np.vdot(found, linear))
    return found / _length(found), value


def _length(flat: Real) -> float:
    """The norm of a vector, without what NumPy's looks at before it comes to that."""
    return float(np.sqrt(flat @ flat))


def _on_small_sphere(matrix: Real, pull: Real, size: float) -> tuple[Real, float]:
    """The same problem in a subspace: its minimum, and θ."""
    if len(pull) == 1:
        place = np.array([1.0 if pull[0] >= 0 else -1.0])
        return place, float(abs(pull[0]) - matrix[0, 0])
    roots, vectors, _ = lapack.dsyev(matrix)
    pull = pull @ vectors
    # Of so few numbers, lists are faster than arrays.
    pairs = list(zip(roots.tolist(), np.square(pull).tolist(), strict=True))
    least = 1e-12 * size
    shift = max(max(q**0.5, least) - level for level, q in pairs)
    shift = max(shift, least - pairs[0][0])
    for _ in range(MOST_SECULAR):
        square = steep = 0.0
        for level, q in pairs:
            inverse = 1 / (level + shift)
            term = q * inverse * inverse
            square += term
            steep += term * inverse
        if abs(square - 1) < SECULAR:
            break
        shift += (square**0.5 - 1) * square / steep
    return np.asarray(vectors @ (pull / (roots + shift))), shift
