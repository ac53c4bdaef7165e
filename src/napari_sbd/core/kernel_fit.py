"""Kernels by least squares for activation maps that are known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, cg

from napari_sbd.core.descent import Iterate
from napari_sbd.core.objective import Objective

Real = NDArray[np.floating]

TOLERANCE, MOST_STEPS = 1e-4, 200


def fit_kernels(objective: Objective, maps: Real) -> Iterate:
    """Kernels that explain the image best with these maps; of unit norm, which scales the maps.

    Least squares over all types and slices together, with the mask and a free bias, by conjugate gradients.

    Parameters
    ----------
    objective : Objective
        Image and window.
    maps : array (types, n1 + k1 - 1, n2 + k2 - 1)
        Extended activation maps.
    """
    model, data = objective.convolution, objective.data
    shape = (len(maps), len(data), *model.kernel_shape)
    spectra = model.map_spectra(maps)
    nothing = np.zeros(shape, data.dtype)
    right = -objective.kernel_gradient(nothing, maps)

    def normal(flat: Real) -> Real:
        seen = model.predict(model.kernel_spectra(flat.reshape(shape).astype(data.dtype)), spectra)
        return model.correlate_maps(spectra, objective.weighted(seen)[0]).ravel()

    operator = LinearOperator((right.size, right.size), matvec=normal, dtype=np.float64)
    flat, _ = cg(operator, right.ravel().astype(float), rtol=TOLERANCE, maxiter=MOST_STEPS)
    kernels = flat.reshape(shape)
    norms = np.linalg.norm(kernels.reshape(len(kernels), -1), axis=1)
    safe = np.where(norms > 0, norms, 1)
    unit = (kernels / safe[:, None, None, None]).astype(data.dtype)
    scaled = maps * norms.astype(data.dtype)[:, None, None]
    return Iterate(unit, scaled, np.inf)
