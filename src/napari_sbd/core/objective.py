"""The objective ψ(a, x, b) of sparse blind deconvolution for one window size: residual, value, gradients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.convolution import Complex, Convolution
from napari_sbd.core.device import HOST, Device
from napari_sbd.core.look import Look
from napari_sbd.core.noise import robust_std, sampled, white_noise
from napari_sbd.core.penalty import huber, prox_huber
from napari_sbd.core.sites import Field, Sites
from napari_sbd.core.support_model import DENSE, SupportModel
from napari_sbd.core.tiled import Tiled
from napari_sbd.core.tiles import Active, Tile, in_one_piece, paint

if TYPE_CHECKING:
    from napari_sbd.core.symmetry import Ties

Real = NDArray[np.floating]

KEPT = 8  # correlations with the data


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
    ties : Ties, optional
        Which kernels are orientations of one shape; by default none is.
    """

    lam: float
    mu: float = 0.0
    nonnegative: bool = True
    weights: Real | None = None
    ties: Ties | None = None

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
    device : Device
        Where it is worked on if it is too large for one piece.

    Notes
    -----
    Zhang et al. (2017), equation 6, with the mask, the bias and the extended domain added.
    """

    def __init__(
        self,
        data: Real,
        mask: NDArray[np.bool_],
        kernel_shape: tuple[int, int],
        device: Device = HOST,
    ) -> None:
        self.data = data
        self.mask = mask
        self.device = device
        self.convolution = Convolution((data.shape[1], data.shape[2]), kernel_shape)
        self._tiled = Tiled(data, mask, self.convolution, device)
        self.in_one_piece = in_one_piece(len(data), self.convolution.map_shape)
        self._known: dict[bytes, Real] = {}
        self._model: SupportModel | None = None
        self._other: Objective | None = None
        self._look: Look | None = None
        self._rest_seen: Objective | None = None
        self._looked: tuple[Objective, Look] | None = None

    def __reduce__(self) -> tuple[type[Objective], tuple[Real, NDArray[np.bool_], tuple[int, int], Device]]:
        """Another process finds out for itself what is only kept here to be at hand."""
        return Objective, (self.data, self.mask, self.convolution.kernel_shape, self.device)

    @cached_property
    def _weight(self) -> Real:
        return self.convolution.to_canvas(self.mask.astype(self.data.dtype))

    @cached_property
    def _target(self) -> Real:
        return self.convolution.to_canvas(np.where(self.mask, self.data, 0).astype(self.data.dtype))

    @cached_property
    def field(self) -> Field:
        """The same data laid out for atoms."""
        return self._tiled.field

    def model_of(self, sites: Sites, types: int) -> SupportModel:
        """The objective seen from sites; of few ones the last model is kept, for many ask for the same."""
        if self._model is not None and self._model.types == types and self._model.sites.same_as(sites):
            return self._model
        model = SupportModel(self.field, sites, types)
        self._model = model if len(sites) <= DENSE else None
        return model

    def with_window(self, kernel_shape: tuple[int, int]) -> Objective:
        """The same data seen with kernels of another window; of small images the last one is kept."""
        if kernel_shape == self.convolution.kernel_shape:
            return self
        other = self._other
        if other is None or other.convolution.kernel_shape != kernel_shape:
            other = Objective(self.data, self.mask, kernel_shape, self.device)
            self._other = other if self.in_one_piece else None
        return other

    def replaced(self, data: Real) -> Objective:
        """Other data of the same shape, seen with the same mask and window."""
        return Objective(data, self.mask, self.convolution.kernel_shape, self.device)

    def of_residual(self, residual: Real) -> Objective:
        """A residual, as `left` gives it, in the data's place; of small images the last one is kept.

        Several judge one and the same, and a screening has often correlated it with the kernels, or will.
        """
        if self._rest_seen is not None and self._rest_seen.data is residual:
            return self._rest_seen
        other, look = self.replaced(residual), self._look
        if not self.in_one_piece or residual.flags.writeable:
            return other
        if look is not None and look.residual is residual:
            other._looked = self, look
        self._rest_seen = other
        return other

    def residual(self, kernel_spectra: Complex, map_spectra: Complex) -> tuple[Real, Real]:
        """`W ⊙ (a ∗ x + b - y)` on the canvas, and the bias `b` (slices,) that makes it smallest."""
        return self.weighted(self.convolution.predict(kernel_spectra, map_spectra) - self._target)

    def weighted(self, residual: Real) -> tuple[Real, Real]:
        """A canvas times the mask, less its mean over the mask in each slice, and minus that mean."""
        residual = residual * self._weight
        bias = -residual.sum((1, 2), dtype=np.float64) / self._tiled.count
        residual += bias.astype(residual.dtype)[:, None, None] * self._weight
        return residual, bias

    def left(self, kernels: Real, maps: Real, out: Real | None = None) -> Real:
        """`W ⊙ (a ∗ x + b - y)` inside the frame (slices, rows, cols), the bias in closed form."""
        if not self.in_one_piece:
            return self._tiled.left(kernels, maps, out)
        residual = np.empty(self.data.shape, self.data.dtype) if out is None else out
        np.negative(self._rest(kernels, Active.of(maps)), out=residual)
        if self._look is not None:
            self._look.residual = residual
        return residual

    def slopes(
        self, kernels: Real, maps: Real | Active | None, halo: int = 0
    ) -> Iterator[tuple[Tile, Tile, Real]]:
        """Minus the gradient of the misfit in the maps (None: empty ones), tile by tile.

        Yields a tile of the extended maps, the same with a halo around it, and the gradient there.
        """
        model = self.convolution
        active = Active.of(maps) if isinstance(maps, np.ndarray) else maps
        if active is not None and not len(active.values):
            active = None
        if self.in_one_piece:
            all_ = Tile.whole(model.map_shape)
            if active is None:
                yield all_, all_, self._reached(kernels)
            else:
                yield all_, all_, self._slope_of_rest(kernels, active)
            return
        yield from self._tiled.slopes(kernels, active, halo)

    def _slope_of_rest(self, kernels: Real, active: Active) -> Real:
        """Correlation of the kernels with what is left of an image in one piece."""
        self._rest(kernels, active)
        assert self._look is not None
        return self._slope_of(self._look)

    def _slope_of(self, look: Look) -> Real:
        """The same of a look, which keeps it."""
        if look.slope is None:
            model, known = self.convolution, look.spectra
            turned = model.turned_spectra(look.kernels) if known is None else np.conj(known)
            look.slope, look.spectra = model.correlate_turned(turned, model.map_spectra(look.canvas)), None
        return look.slope

    def _rest(self, kernels: Real, active: Active | None) -> Real:
        """`W ⊙ (y - b - a ∗ x)` inside the frame of an image in one piece, the bias in closed form.

        Not to be written to: the last one is kept, for the next may ask for the same.
        """
        if active is None or not len(active.values):
            self._look = None
            return self.centred
        if self._look is None or not self._look.is_of(kernels, active):
            model = self.convolution
            few = len(active.values) * prod(model.kernel_shape) <= prod(model.canvas_shape)
            spectra = None if few else model.kernel_spectra(kernels)
            canvas = self._canvas_of_rest(kernels, active, spectra)
            self._look = Look(kernels, active, canvas, model.frame(canvas), spectra)
        return self._look.rest

    def _canvas_of_rest(self, kernels: Real, active: Active, spectra: Complex | None) -> Real:
        """The same on a canvas that is zero outside the frame; `spectra` of kernels unless atoms are few."""
        model = self.convolution
        if spectra is None:
            return self._canvas_without(kernels, active)
        maps = active.dense((len(kernels), *model.map_shape))
        shown = model.predict(spectra, model.map_spectra(maps))
        canvas = model.to_canvas(self.centred)
        rest = model.frame(canvas)
        rest -= model.frame(shown)
        self._without_mean(rest, out=rest)
        return canvas

    def _canvas_without(self, kernels: Real, active: Active) -> Real:
        """The same where atoms are few: painted one by one, those that the frame cuts beyond it, too."""
        model, (k1, k2) = self.convolution, self.convolution.kernel_shape
        shape = (n + k - 1 for n, k in zip(model.map_shape, model.kernel_shape, strict=True))
        canvas = np.zeros((len(self.data), *map(max, shape, model.canvas_shape)), self.data.dtype)
        rest = model.frame(canvas)
        rest[:] = self.centred
        paint(canvas, kernels, active, -1)
        self._without_mean(rest, out=rest)
        (first, second), (last, end) = (k1 - 1, k2 - 1), model.map_shape
        for outside in (canvas[:, :first], canvas[:, last:], canvas[:, :, :second], canvas[:, :, end:]):
            outside[:] = 0
        return canvas[:, : model.canvas_shape[0], : model.canvas_shape[1]]

    @cached_property
    def centred(self) -> Real:
        """The data inside the mask less their mean there, zero elsewhere."""
        return self._without_mean(self.data)

    def _without_mean(self, rest: Real, out: Real | None = None) -> Real:
        """What lies inside the mask, less the mean there; zero elsewhere."""
        if not self._tiled.whole:
            rest = np.multiply(rest, self.mask, out=out)
        # Rows in single precision, which is faster; of all together that would not be exact.
        mean = (rest.sum(2).sum(1, dtype=np.float64) / self._tiled.count).astype(rest.dtype)[:, None, None]
        return np.asarray(np.subtract(rest, mean if self._tiled.whole else mean * self.mask, out=out))

    @cached_property
    def places(self) -> int:
        """Number of pixels that count in some slice."""
        return int(self.mask[0].size if self._tiled.whole else self.mask.any(0).sum())

    @cached_property
    def counted(self) -> float:
        """How much counts in all slices: pixels, or what they weigh."""
        return float(self.mask.size if self._tiled.whole else self.mask.sum())

    @cached_property
    def deviation(self) -> float:
        """Of the data that count, robustly."""
        return robust_std(sampled(self.data, None if self._tiled.whole else self.mask))

    @cached_property
    def pixel_noise(self) -> float:
        """Deviation of the data's pixel noise, as `white_noise` tells it."""
        return white_noise(self.data, self.mask)

    @property
    def whiteness(self) -> float:
        """Deviation of the data over that of their pixel noise: 1 of white noise."""
        return self.deviation / self.pixel_noise if self.pixel_noise > 0 else float("inf")

    def visible_share(self, kernels: Real) -> Real:
        """Share of an atom's energy that falls on pixels which count, for each place of the extended maps."""
        if self.in_one_piece:
            return next(self.visible_shares(kernels))
        share = np.empty((len(kernels), *self.convolution.map_shape), kernels.dtype)
        for tile, part in zip(self.map_tiles(kernels), self.visible_shares(kernels), strict=True):
            share[:, tile.rows, tile.cols] = part
        return share

    def map_tiles(self, kernels: Real, halo: int = 0) -> Iterator[Tile]:
        """The tiles of the extended maps that `slopes` and `visible_shares` go through."""
        if self.in_one_piece:
            return iter([Tile.whole(self.convolution.map_shape)])
        return self._tiled.lens(kernels, halo).map_tiles()

    def visible_shares(self, kernels: Real, halo: int = 0) -> Iterator[Real]:
        """The same tile by tile, each with its halo; where no pixel is hidden it is the kernel's energy."""
        for _, share in self.seen_sums(np.square(kernels), halo):
            yield np.clip(share, 0, 1)

    def seen_sums(self, kernels: Real, halo: int = 0) -> Iterator[tuple[Tile, Real]]:
        """Sum of an atom's pixels that count, for each place of the extended maps, by tiles with a halo."""
        model = self.convolution
        if self._tiled.whole:
            for tile in self.map_tiles(kernels, halo):
                yield tile, self._framed_sums(kernels.sum(1), tile.grown(halo, model.map_shape))
            return
        if self.in_one_piece:
            all_ = Tile.whole(model.map_shape)
            yield all_, model.correlate_kernels(model.kernel_spectra(kernels), self._weight)
            return
        yield from self._tiled.seen_sums(kernels, halo)

    def _framed_sums(self, kernels: Real, around: Tile) -> Real:
        """Sum of atoms (types, k1, k2) inside the frame, for the places in a tile of the maps."""
        inside = []
        for part, size, k in zip(
            (around.rows, around.cols), self.data.shape[1:], self.convolution.kernel_shape, strict=True
        ):
            pixel = np.arange(part.start, part.stop)[:, None] + np.arange(1 - k, 1)
            inside.append((pixel >= 0) & (pixel < size))
        if all(part.all() for part in inside):
            return np.broadcast_to(kernels.sum((1, 2))[:, None, None], (len(kernels), *around.shape))
        down, right = (part.astype(kernels.dtype) for part in inside)
        return np.asarray(down @ kernels @ right.T)

    def value(self, kernels: Real, maps: Real, penalty: Penalty) -> float:
        """ψ at these kernels (types, slices, k1, k2) and extended maps, with the best bias."""
        return misfit(self.left(kernels, maps)) + penalty.value(maps)

    def shown_by(self, map_spectra: Complex) -> Real:
        """Correlation of maps with the data less its mean, (types, slices, k1, k2): `C_xᵀ(y - b)`."""
        if self.in_one_piece:
            return self.convolution.correlate_spectra(map_spectra, self._data_spectra)
        return self.convolution.correlate_maps(map_spectra, self.convolution.to_canvas(self.centred))

    def correlation(self, kernels: Real) -> Real:
        """Correlation of the kernels with the data less its mean, on the extended domain: `C_aᵀ(y - b)`."""
        if self.in_one_piece:
            return self._reached(kernels)
        reach = np.empty((len(kernels), *self.convolution.map_shape), self.data.dtype)
        for tile, _, slope in self.slopes(kernels, None):
            reach[:, tile.rows, tile.cols] = slope
        return reach

    def _reached(self, kernels: Real) -> Real:
        """The same, of an image in one piece; kept: a start is correlated with the data more than once."""
        key = kernels.tobytes()
        if self._looked is not None and np.array_equal(kernels, self._looked[1].kernels):
            (given, look), self._looked = self._looked, None
            self._known[key] = -given._slope_of(look)
        if key not in self._known:
            model = self.convolution
            while len(self._known) >= KEPT:
                self._known.pop(next(iter(self._known)))
            self._known[key] = model.correlate_turned(model.turned_spectra(kernels), self._data_spectra)
        return self._known[key]

    @cached_property
    def _data_spectra(self) -> Complex:
        return self.convolution.map_spectra(self.convolution.to_canvas(self.centred))

    def filtered(self, kernels: Real, every: int = 1) -> Real:
        """Correlation of the kernels with the data less its mean, (types, places): at the frame's pixels.

        Only where a pixel counts, there at one place in `every` few; of a large image in some tiles only,
        which is enough for its statistics.
        """
        if not self.in_one_piece:
            return self._tiled.filtered(kernels)[:, ::every]
        framed = self.convolution.on_frame(self.correlation(kernels))
        if not self._tiled.whole:
            return framed[:, self.mask.any(0)][:, ::every]
        # In so many rows at a time those places lie one below the other: nothing else is copied.
        parts = (framed[:, row::every, -row * framed.shape[2] % every :: every] for row in range(every))
        return np.concatenate([part.reshape(len(kernels), -1) for part in parts], axis=1)


def misfit(residual: Real) -> float:
    """Half the residual's sum of squares, row by row: in single precision one long sum would drift."""
    return 0.5 * float(np.einsum("...i,...i->...", residual, residual).sum(dtype=float))
