"""The exact minimum of a quadratic on the unit sphere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

Real = NDArray[np.floating]

MOST_PRODUCTS = 12
TOLERANCE = 1e-4
MOST_SECULAR, SECULAR = 50, 1e-10  # Newton steps on 1/‖z‖, which rise to the root, and where they end


def minimise_on_sphere(
    product: Callable[[Real], Real], linear: Real, tolerance: float = TOLERANCE, most: int = MOST_PRODUCTS
) -> Real:
    """Minimise `½⟨a, G a⟩ - ⟨c, a⟩` over ‖a‖ = 1, by Lanczos and the secular equation.

    Parameters
    ----------
    product : callable
        Maps a flat `a` to `G a`; G is symmetric.
    linear : array (n,)
        c, not zero.
    tolerance : float
        Of the gradient along the sphere, over ‖c‖.
    most : int
        Largest number of products.

    Notes
    -----
    In the Krylov space of c the minimum solves `(T + θ) z = ‖c‖ e₁` with θ such that ‖z‖ = 1, T the
    tridiagonal Lanczos matrix (Gould et al., SIAM J. Optim. 9, 504, 1999); it is looked at every other step.

    Examples
    --------
    >>> G = np.diag([1.0, 2.0, 5.0])
    >>> a = minimise_on_sphere(lambda v: G @ v, np.array([1.0, 1.0, 1.0]))
    >>> bool(np.allclose(np.cross(G @ a - 1, a), 0, atol=1e-3))
    True
    """
    size = float(np.linalg.norm(linear))
    basis = np.empty((most, linear.size), linear.dtype)
    diagonal, beside = np.empty(most), np.empty(most)
    vector, small = linear / size, 0
    coordinates: Real = np.ones(1)
    for small in range(1, most + 1):
        basis[small - 1] = vector
        image = product(vector)
        diagonal[small - 1] = float(np.vdot(vector, image))
        held = basis[:small]
        for _ in range(2):
            image = image - (held @ image) @ held
        beside[small - 1] = float(np.linalg.norm(image))
        spent = beside[small - 1] <= tolerance**2 * size
        if spent or small == most or small % 2 == 0:
            coordinates = _on_small_sphere(diagonal[:small], beside[: small - 1], size)
            if spent or beside[small - 1] * abs(coordinates[-1]) <= tolerance * size:
                break
        vector = image / beside[small - 1]
    found: Real = coordinates.astype(linear.dtype) @ basis[:small]
    return found / float(np.linalg.norm(found))


def _on_small_sphere(diagonal: Real, beside: Real, size: float) -> Real:
    """The same problem for a tridiagonal matrix and the linear term `size · e₁`."""
    levels, vectors = (
        linalg.eigh_tridiagonal(diagonal, beside) if len(diagonal) > 1 else (diagonal, np.ones((1, 1)))
    )
    pull = size * vectors[0]
    shift = -levels[0] + max(abs(float(pull[0])), 1e-12 * size)
    scaled = pull / (levels + shift)
    for _ in range(MOST_SECULAR):
        square = float(scaled @ scaled)
        if abs(square - 1) < SECULAR:
            break
        root = square**0.5
        shift += (root - 1) * square / float(scaled @ (scaled / (levels + shift)))
        scaled = pull / (levels + shift)
    return np.asarray(vectors @ scaled)
