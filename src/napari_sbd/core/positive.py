"""Symmetric positive definite systems: LAPACK as it is, without what is checked around it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

Real = NDArray[np.floating]

_SOLVERS = {"f": lapack.sposv, "d": lapack.dposv}


def solved_positive(matrix: Real, right: Real) -> Real | None:
    """Solve a symmetric positive definite system, finite throughout; None where the matrix is none.

    Only one triangle of the matrix is read, and it may be overwritten.

    Examples
    --------
    >>> solved_positive(np.array([[4.0, 0.0], [0.0, 2.0]]), np.array([2.0, 2.0])).round(9).tolist()
    [0.5, 1.0]
    >>> solved_positive(np.array([[-1.0]]), np.array([1.0])) is None
    True
    """
    # The transpose of a C array is in LAPACK's order: nothing is copied.
    _, found, failed = _SOLVERS[matrix.dtype.char](matrix.T, right, overwrite_a=True)
    return None if failed else np.asarray(found)
