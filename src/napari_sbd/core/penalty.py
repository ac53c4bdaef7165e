"""The sparsity penalty: the Huber function of the activations, its value and its proximal map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.floating]


def huber(x: Real, mu: float) -> Real:
    """Huber function less its bottom: `|x| - mu/2` beyond `mu`, `x²/(2 mu)` below; zero costs nothing.

    Equation 20 of Zhang et al. (2017) up to the constant `mu/2` a pixel; `mu = 0` is the absolute value.

    Parameters
    ----------
    x : array
        Activations, any shape and unit.
    mu : float
        Half-width of the rounded bottom, in the unit of `x`.

    Examples
    --------
    >>> huber(np.array([-2.0, 0.0, 0.5]), 1.0).tolist()
    [1.5, 0.0, 0.125]
    """
    size = np.abs(x)
    if mu == 0:
        return size
    return np.where(size <= mu, size**2 / (2 * mu), size - mu / 2)


def prox_huber(z: Real, step: Real | float, mu: float, nonnegative: bool) -> Real:
    """Proximal map of `step · huber(·, mu)`, with the constraint `x ≥ 0` where asked.

    Minimises `½ (x - z)² + step · huber(x, mu)` for each pixel: `z / (1 + step/mu)` where
    `|z| ≤ mu + step`, else `z - step · sign z`.

    Parameters
    ----------
    z : array
        Where the gradient step ended.
    step : float or array
        Penalty times step length; an array holds one for each pixel (reweighting).
    mu : float
        Half-width of the rounded bottom, in the unit of `z`.
    nonnegative : bool
        Whether activations are positive.

    Examples
    --------
    >>> prox_huber(np.array([-3.0, 0.5, 3.0]), 1.0, 0.0, nonnegative=False).tolist()
    [-2.0, 0.0, 2.0]
    """
    if nonnegative:
        shrunk: Real = np.maximum(z - step, 0)
        if mu:
            inside = z <= mu + step
            shrunk = np.where(inside, np.maximum(z, 0) / (1 + step / mu), shrunk)
        return shrunk
    shrunk = z - np.clip(z, -step, step)
    if mu:
        shrunk = np.where(np.abs(z) <= mu + step, z / (1 + step / mu), shrunk)
    return shrunk
