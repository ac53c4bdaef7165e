"""The sphere of unit-norm kernels: projection, tangent space, retraction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.floating]


def norms(kernels: Real) -> Real:
    """Frobenius norm of each kernel (types, …) over all slices, 1 for one that is zero; axes are kept.

    Examples
    --------
    >>> norms(np.array([[[3.0, 4.0]], [[0.0, 0.0]]])).ravel().tolist()
    [5.0, 1.0]
    """
    flat = kernels.reshape(kernels.shape[0], -1)
    size = np.linalg.norm(flat, axis=1)
    return np.where(size > 0, size, 1).reshape((-1,) + (1,) * (kernels.ndim - 1)).astype(kernels.dtype)


def project(kernels: Real) -> Real:
    """Scale each kernel (types, …) to unit Frobenius norm, over all slices together; zero stays zero.

    Examples
    --------
    >>> project(np.array([[[3.0, 4.0]]])).tolist()
    [[[0.6, 0.8]]]
    """
    return np.asarray(kernels / norms(kernels))


def tangent(kernels: Real, gradient: Real) -> Real:
    """Riemannian gradient: the part of `gradient` that is orthogonal to each kernel.

    Examples
    --------
    >>> tangent(np.array([[1.0, 0.0]]), np.array([[5.0, 2.0]])).tolist()
    [[0.0, 2.0]]
    """
    inner = (kernels * gradient).reshape(kernels.shape[0], -1).sum(1)
    return np.asarray(gradient - kernels * inner.reshape((-1,) + (1,) * (kernels.ndim - 1)))


def retract(kernels: Real, step: Real) -> Real:
    """Move from `kernels` by a tangent `step` and return to the sphere.

    Examples
    --------
    >>> retract(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])).round(3).tolist()
    [[0.707, 0.707]]
    """
    return project(kernels + step)
