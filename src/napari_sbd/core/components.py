"""Few components that stand for the many slices of a stack, while the kernel is sought."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.objective import Objective

Real = NDArray[np.floating]

LEFT_OUT = 0.01  # of what stands above the noise in all slices


@dataclass(frozen=True)
class Components:
    """Orthonormal combinations of slices: columns of `basis` (slices, components).

    Noise that is white and equal in all slices is so in the components, too.
    """

    basis: Real

    @classmethod
    def of(cls, objective: Objective) -> Components | None:
        """The principal components of a stack; None where they would not be fewer, or masks differ.

        Examples
        --------
        >>> rng = np.random.default_rng(0)
        >>> image = np.where(rng.random((60, 60)) > 0.99, 50.0, 0.0)
        >>> stack = np.stack([image, 2 * image, -image]) + rng.standard_normal((3, 60, 60))
        >>> Components.of(Objective(stack, np.ones(stack.shape, bool), (5, 5))).basis.shape
        (3, 1)
        """
        data, mask = objective.data, objective.mask
        if len(data) == 1 or not (mask == mask[0]).all():
            return None
        values = (data if mask.all() else data * mask).reshape(len(data), -1)
        count = max(1, int(mask[0].sum()))
        mean = values.sum(1, dtype=float) / count
        powers, vectors = np.linalg.eigh(values @ values.T / count - np.outer(mean, mean))
        above = np.cumsum(powers - powers[0])
        few = int(np.count_nonzero(above > LEFT_OUT * above[-1]))
        return cls(vectors[:, -few:].astype(data.dtype)) if 0 < few < len(data) else None

    def seen(self, objective: Objective) -> Objective:
        """An image's components as an image of their own."""
        data = np.tensordot(self.basis.T, objective.data, 1)
        window, device = objective.convolution.kernel_shape, objective.device
        return Objective(data, objective.mask[: len(data)], window, device)

    def combined(self, kernels: Real) -> Real:
        """Kernels (types, slices, k1, k2) as they show in the components."""
        return np.ascontiguousarray(np.einsum("sc,tsij->tcij", self.basis, kernels))

    def expanded(self, kernels: Real) -> Real:
        """Kernels (types, components, k1, k2) as they show in the slices."""
        return np.ascontiguousarray(np.einsum("sc,tcij->tsij", self.basis, kernels))
