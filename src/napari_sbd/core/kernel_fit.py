"""Kernels by least squares for activation maps that are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, cg

from napari_sbd.core.descent import Iterate
from napari_sbd.core.objective import Objective
from napari_sbd.core.sites import Sites

Real = NDArray[np.floating]

TOLERANCE, MOST_STEPS = 1e-4, 200
MOST_PAIRS = 1e4  # of atoms that overlap, or half the pixels, up to which steps on the support pay


def fit_kernels(
    objective: Objective, maps: Real, begin: Real | None = None, tolerance: float = TOLERANCE
) -> Iterate:
    """Kernels that explain the image best with these maps; of unit norm, which scales the maps.

    Least squares over all types and slices together, with the mask and a free bias, by conjugate gradients.

    Parameters
    ----------
    objective : Objective
        Image and window.
    maps : array (types, n1 + k1 - 1, n2 + k2 - 1)
        Extended activation maps.
    begin : array (types, slices, k1, k2), optional
        Kernels that are nearly right.
    tolerance : float
        Of the normal equations, relative.
    """
    shape = (len(maps), len(objective.data), *objective.convolution.kernel_shape)
    normal, right = normal_equations(objective, maps)
    operator = LinearOperator((right.size, right.size), matvec=normal, dtype=np.float64)
    guess = None if begin is None else begin.ravel().astype(float)
    flat, _ = cg(operator, right.ravel().astype(float), guess, rtol=tolerance, maxiter=MOST_STEPS)
    kernels = flat.reshape(shape)
    norms = np.linalg.norm(kernels.reshape(len(kernels), -1), axis=1)
    safe = np.where(norms > 0, norms, 1)
    unit = (kernels / safe[:, None, None, None]).astype(maps.dtype)
    scaled = maps * norms.astype(maps.dtype)[:, None, None]
    return Iterate(unit, scaled, np.inf)


def normal_equations(objective: Objective, maps: Real) -> tuple[Callable[[Real], Real], Real]:
    """The product with the normal matrix, and the right-hand side (types, slices, k1, k2)."""
    model, data = objective.convolution, objective.data
    shape = (len(maps), len(data), *model.kernel_shape)
    sites = Sites.of(maps)
    pairs = len(sites) * len(sites) / maps[0].size * 4 * model.kernel_shape[0] * model.kernel_shape[1]
    # A mask of weights, as bootstraps use it, is none that the support can see.
    if pairs <= max(MOST_PAIRS, maps[0].size / 2) and objective.mask.dtype == bool:
        quadratic = objective.model_of(sites, len(maps)).quadratic(sites.read(maps))
        return lambda flat: quadratic.product(
            flat.reshape(shape).astype(data.dtype)
        ).ravel(), quadratic.linear
    spectra = model.map_spectra(maps)

    def normal(flat: Real) -> Real:
        seen = model.predict(model.kernel_spectra(flat.reshape(shape).astype(data.dtype)), spectra)
        return model.correlate_maps(spectra, objective.weighted(seen)[0]).ravel()

    return normal, objective.shown_by(spectra)
