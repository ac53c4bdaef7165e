"""The objective ψ(a, x, b) of sparse blind deconvolution for one window size: residual, value, gradients."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.convolution import Complex, Convolution
from napari_sbd.core.penalty import huber, prox_huber
from napari_sbd.core.sites import Field

Real = NDArray[np.floating]


@dataclass(frozen=True)
class Penalty:
    """`λ Σ w · huber(x, μ)` on activations that may be held nonnegative.

    Parameters
    ----------
    lam : float
        Sparsity penalty λ, in the unit of the correlation of kernel and data.
    mu : float
        Huber smoothing μ, in the unit of the activations.
    nonnegative : bool
        Whether `x ≥ 0`.
    weights : array, optional
        Reweighting of the extended map, at most 1.
    """

    lam: float
    mu: float = 0.0
    nonnegative: bool = True
    weights: Real | None = None

    def value(self, maps: Real) -> float:
        """Penalty of extended maps, zero for empty ones."""
        cost = huber(maps, self.mu)
        return self.lam * float(np.sum(cost if self.weights is None else cost * self.weights))

    def prox(self, maps: Real, step: float) -> Real:
        """Proximal map of `step` times this penalty."""
        length = step * self.lam if self.weights is None else step * self.lam * self.weights
        return prox_huber(maps, length, self.mu, self.nonnegative)

    def at(self, lam: float) -> Penalty:
        """The same penalty with another λ."""
        return replace(self, lam=lam)


class Objective:
    """`½ Σ_s ‖W ⊙ (P_Ω(Σ_k a_{k,s} ∗ x_k) + b_s - y_s)‖² + penalty` with the bias `b` in closed form.

    Parameters
    ----------
    data : array (slices, rows, cols)
        Observation, finite everywhere (what is masked may hold any number).
    mask : array of bool (slices, rows, cols)
        True where a pixel counts.
    kernel_shape : tuple of int
        Window of the kernels.

    Notes
    -----
    Zhang et al. (2017), equation 6, with the mask, the bias and the extended domain added.
    """

    def __init__(self, data: Real, mask: NDArray[np.bool_], kernel_shape: tuple[int, int]) -> None:
        self.data = data
        self.mask = mask
        self.convolution = Convolution((data.shape[1], data.shape[2]), kernel_shape)
        self._weight = self.convolution.to_canvas(mask.astype(data.dtype))
        self._target = self.convolution.to_canvas(np.where(mask, data, 0).astype(data.dtype))
        self._count = np.maximum(self._weight.sum((1, 2), dtype=np.float64), 1)

    @cached_property
    def field(self) -> Field:
        """The same data laid out for atoms."""
        return Field(self.data, self.mask, self.convolution.kernel_shape)

    def with_window(self, kernel_shape: tuple[int, int]) -> Objective:
        """The same data seen with kernels of another window."""
        if kernel_shape == self.convolution.kernel_shape:
            return self
        return Objective(self.data, self.mask, kernel_shape)

    def replaced(self, data: Real) -> Objective:
        """Other data of the same shape, seen with the same mask and window."""
        return Objective(data, self.mask, self.convolution.kernel_shape)

    def residual(self, kernel_spectra: Complex, map_spectra: Complex) -> tuple[Real, Real]:
        """`W ⊙ (a ∗ x + b - y)` on the canvas, and the bias `b` (slices,) that makes it smallest."""
        return self.weighted(self.convolution.predict(kernel_spectra, map_spectra) - self._target)

    def weighted(self, residual: Real) -> tuple[Real, Real]:
        """A canvas times the mask, less its mean over the mask in each slice, and minus that mean."""
        residual = residual * self._weight
        bias = -residual.sum((1, 2), dtype=np.float64) / self._count
        residual += bias.astype(residual.dtype)[:, None, None] * self._weight
        return residual, bias

    def visible_share(self, kernels: Real) -> Real:
        """Share of an atom's energy that falls on pixels which count, for each place of the extended maps."""
        spectra = self.convolution.kernel_spectra(np.square(kernels))
        share = self.convolution.correlate_kernels(spectra, self._weight)
        return np.clip(share, 0, 1)

    def value(self, kernels: Real, maps: Real, penalty: Penalty) -> float:
        """ψ at these kernels (types, slices, k1, k2) and extended maps, with the best bias."""
        convolution = self.convolution
        residual, _ = self.residual(convolution.kernel_spectra(kernels), convolution.map_spectra(maps))
        return misfit(residual) + penalty.value(maps)

    def kernel_gradient(self, kernels: Real, maps: Real) -> Real:
        """Euclidean gradient of ψ with respect to the kernels."""
        convolution = self.convolution
        map_spectra = convolution.map_spectra(maps)
        residual, _ = self.residual(convolution.kernel_spectra(kernels), map_spectra)
        return convolution.correlate_maps(map_spectra, residual)

    def correlation(self, kernels: Real) -> Real:
        """Correlation of the kernels with the data less its mean, on the extended domain: `C_aᵀ(y - b)`."""
        empty = np.zeros((1, *self.convolution.map_shape), self.data.dtype)
        spectra = self.convolution.kernel_spectra(kernels)
        residual, _ = self.residual(spectra[:1], self.convolution.map_spectra(empty))
        return -self.convolution.correlate_kernels(spectra, residual)


def misfit(residual: Real) -> float:
    """Half the residual's sum of squares."""
    return 0.5 * float(np.vdot(residual, residual))
