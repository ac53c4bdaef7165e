"""The objective seen from a support: exact in kernels and in amplitudes, at a cost that the sites set.

For maps that are zero off a support, ψ is a quadratic in the kernels and one in the amplitudes, and both
follow from the patches of the image at the sites and from the lags between them; no pixel elsewhere counts.
"""

from __future__ import annotations

from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft, sparse

from napari_sbd.core.border import BorderPairs
from napari_sbd.core.pairs import overlapping
from napari_sbd.core.sites import Field, Patches, Sites
from napari_sbd.core.sphere_quadratic import TOLERANCE, minimise_on_sphere
from napari_sbd.core.window_transform import WindowTransform, transform_of

Real = NDArray[np.floating]

DENSE = 500  # sites up to which their Gram matrix is a full array
# Pairs of sites, and pairs over the places of the map, from which its transforms tell their lags sooner.
MANY_PAIRS, CROWDED = 50000, 0.5
MATRIX = 6000  # entries of what is hidden, from which a sparse matrix is faster than counting them
MANY_HIDDEN = 60000  # pixels of their patches, from which tables pay


class SupportModel:
    """ψ less its penalty for activations at given sites.

    Parameters
    ----------
    field : Field
    sites : Sites
    types : int
    """

    def __init__(self, field: Field, sites: Sites, types: int) -> None:
        self.field, self.sites, self.types = field, sites, types
        self.hidden = field.hidden(sites)
        self.pairs = overlapping(sites, field.window)
        k1, k2 = field.window
        self.shape = (types, len(field.target), k1, k2)
        self.leading: list[Real] = []
        self._lags = (2 * k1 - 1) * (2 * k2 - 1)
        self._size = (fft.next_fast_len(2 * k1 - 1), fft.next_fast_len(2 * k2 - 1, real=True))

    @cached_property
    def patches(self) -> Patches:
        """The image's patches at the sites."""
        return Patches(self.field, self.sites)

    @cached_property
    def transform(self) -> WindowTransform:
        """Of windows, padded such that no lag wraps round on to another."""
        return transform_of(self.field.window, self._size, self.field.target.dtype)

    @cached_property
    def circular_lags(self) -> NDArray[np.intp]:
        """Lags of all pairs, first less second, as flat indices of a table that wraps round."""
        return _wrapped_lags(self.field.window, self._size).take(self.pairs.lag)

    def reach(self, kernels: Real) -> Real:
        """Correlation of each site's kernel with the target there, (sites,)."""
        flat = kernels.reshape(self.types, self.shape[1], -1)
        reach = np.zeros(len(self.sites), kernels.dtype)
        for number, some, patches in self.patches:
            for kind in range(self.types):
                own = patches @ flat[kind, number]
                reach[some] += own if self.types == 1 else np.where(self.sites.kinds[some] == kind, own, 0)
        return reach

    def gram(self, kernels: Real) -> Gram:
        """Inner products of the sites' atoms as far as they are seen, less their means."""
        kinds, hidden, pairs = self.sites.kinds, self.hidden, self.pairs
        if self.types == 1:
            spectra = self.transform.forward(kernels[0])
            power = (np.square(spectra.real) + np.square(spectra.imag)).sum(0)
            values = fft.irfft2(power, self._size).take(self.circular_lags)
        else:
            pick = kinds[pairs.first] * self.types + kinds[pairs.second]
            values = correlations(kernels).take(pick * self._lags + pairs.lag)
        means = self.sums(kernels)
        shape = (len(self.sites),) * 2
        if len(self.sites) <= DENSE:
            full = np.zeros(shape, kernels.dtype)
            full.reshape(-1)[self._pair_places] = values
            full[self._cut_pairs] -= hidden.products(kernels, kinds)
            full -= means @ means.T
            return Gram(full, None)
        if self._border is not None:
            seen = self._border.cut(values, kernels[0])
            whole = sparse.csr_matrix((seen, pairs.second, pairs.bounds), shape=shape)
            return Gram(whole, means, self.leading)
        unseen = kernels.take(hidden.labels(kinds, kernels))
        thin = sparse.csr_matrix((values, pairs.second, pairs.bounds), shape=shape)
        lost = sparse.csr_matrix((unseen, hidden.pixels, self._starts), shape=(len(kinds), hidden.size))
        return Gram((thin - lost @ lost.T.tocsr()).tocsr(), means, self.leading)

    @cached_property
    def _pair_places(self) -> NDArray[np.intp]:
        """Where each pair stands in a full matrix, flat."""
        return self.pairs.first * len(self.sites) + self.pairs.second

    @cached_property
    def _cut_pairs(self) -> tuple[NDArray[np.intp], ...]:
        """Where pairs of sites stand in it of which something is hidden."""
        return np.ix_(self.hidden.numbers, self.hidden.numbers)

    @cached_property
    def _border(self) -> BorderPairs | None:
        """Pairs at the frame's edges, where tables tell what is seen of them in less time than pixels."""
        many = len(self.hidden.at) > MANY_HIDDEN
        return BorderPairs(self) if many and self.types == 1 and self.field.is_plain else None

    @cached_property
    def _starts(self) -> NDArray[np.intp]:
        """Where each site's hidden pixels begin."""
        owners = self.hidden.numbers[self.hidden.at]
        return np.searchsorted(owners, np.arange(len(self.sites) + 1))

    def sums(self, kernels: Real) -> Real:
        """Sum of each site's seen atom over the root of the number of pixels that count, (sites, slices)."""
        sums = self.field.seen_sums(kernels, self.sites, self.hidden)
        return np.asarray((sums / np.sqrt(self.field.count)).astype(kernels.dtype))

    def quadratic(self, amplitudes: Real) -> KernelQuadratic:
        """The quadratic in the kernels for these amplitudes."""
        return KernelQuadratic(self, amplitudes)


@lru_cache(maxsize=8)
def _wrapped_lags(window: tuple[int, int], size: tuple[int, int]) -> NDArray[np.intp]:
    """Where each lag of a table with lag zero in the middle stands in one that wraps round, flat."""
    down, right = (np.arange(1 - k, k) % n for k, n in zip(window, size, strict=True))
    return np.asarray(np.add.outer(down * size[1], right).ravel())


def correlations(kernels: Real, others: Real | None = None) -> Real:
    """`Σ a_k[u] b_l[u + d]` over u and slices for all pairs of types, (types, types, 2 k1 - 1, 2 k2 - 1).

    The others, b, are the kernels themselves if not given.
    """
    k1, k2 = kernels.shape[-2:]
    size = fft.next_fast_len(2 * k1 - 1), fft.next_fast_len(2 * k2 - 1, real=True)
    spectra = fft.rfft2(kernels, size)
    seen = spectra if others is None else fft.rfft2(others, size)
    table = fft.irfft2(np.einsum("ksuv,lsuv->kluv", np.conj(spectra), seen), size)
    middle = np.roll(table, (k1 - 1, k2 - 1), axis=(-2, -1))
    return np.ascontiguousarray(middle[..., : 2 * k1 - 1, : 2 * k2 - 1])


class Gram:
    """Gram matrix of atoms: full, or sparse with a part of low rank taken off.

    `leading` holds its leading eigenvector, once that is known, or that of a matrix much like it.
    """

    def __init__(
        self, matrix: Real | sparse.csr_matrix, means: Real | None, leading: list[Real] | None = None
    ) -> None:
        self.matrix = matrix
        self.means = means
        self.leading: list[Real] = [] if leading is None else leading

    def __matmul__(self, values: Real) -> Real:
        product = self.matrix @ values
        return product if self.means is None else product - self.means @ (self.means.T @ values)


class KernelQuadratic:
    """`½⟨A, G A⟩ - ⟨c, A⟩` of kernels A (types, slices, k1, k2) for amplitudes that stay."""

    def __init__(self, model: SupportModel, amplitudes: Real) -> None:
        self.model = model
        kinds, types = model.sites.kinds, model.types
        own = [np.where(kinds == kind, amplitudes, 0) for kind in range(types)] if types > 1 else [amplitudes]
        self.linear = np.zeros(model.shape, amplitudes.dtype)
        for number, some, patches in model.patches:
            for kind, x in enumerate(own):
                self.linear[kind, number] += (x[some] @ patches).reshape(model.shape[2:])
        self._spectra = self._lag_spectra(amplitudes)
        shared, weights = model.hidden.shared, amplitudes[model.hidden.numbers].take(model.hidden.at)
        labels = model.hidden.labels(kinds, self.linear)
        seen = np.reshape([x.sum(dtype=float) for x in own], (-1, 1, 1, 1))
        lost = np.bincount(labels, weights, self.linear.size)
        self._seen = (seen - lost.reshape(model.shape)).astype(amplitudes.dtype)
        # Pixels that are hidden of one site alone act on the kernel's own pixel only.
        alone: Real = np.zeros(self.linear.size)
        if shared is None:
            self._pixels, self._number = model.hidden.pixels, model.hidden.size
        else:
            self._pixels, self._number = shared.pixels, shared.size
            squares = np.square(weights.take(shared.alone))
            alone += np.bincount(labels.take(shared.alone), squares, self.linear.size)
            labels, weights = labels.take(shared.entries), weights.take(shared.entries)
        self._alone = alone.reshape(model.shape).astype(amplitudes.dtype)
        self._labels, self._weights = labels, weights
        self._painting = self._as_matrix() if len(labels) > MATRIX else None

    def _as_matrix(self) -> sparse.coo_array:
        """What sites paint of kernels on the pixels hidden of several, as a matrix in double precision."""
        entries = self._weights.astype(float), (self._pixels.astype(np.int32), self._labels.astype(np.int32))
        return sparse.coo_array(entries, shape=(self._number, self.linear.size))

    def _lag_spectra(self, amplitudes: Real) -> NDArray[np.complexfloating]:
        model, types = self.model, self.model.types
        pairs, kinds = model.pairs, model.sites.kinds
        places = model.field.target[0].size
        if types == 1 and len(pairs.lag) > max(MANY_PAIRS, CROWDED * places):
            return fft.rfft2(self._lags_by_transform(amplitudes)[None, None])
        size = model._size[0] * model._size[1]
        pick = model.circular_lags
        if types > 1:
            pick = (kinds[pairs.second] * types + kinds[pairs.first]) * size + pick
        table = np.bincount(pick, amplitudes[pairs.first] * amplitudes[pairs.second], types * types * size)
        return np.asarray(fft.rfft2(table.reshape(types, types, *model._size).astype(amplitudes.dtype)))

    def _lags_by_transform(self, amplitudes: Real) -> Real:
        """Products of all pairs' amplitudes by lag, as a table that wraps round, from the map's transform."""
        (rows, cols), window = self.model.field.target.shape[1:], self.model.field.window
        size = fft.next_fast_len(rows), fft.next_fast_len(cols, real=True)
        map_ = np.zeros(size, amplitudes.dtype)
        map_[self.model.sites.rows, self.model.sites.cols] = amplitudes
        spectra = fft.rfft2(map_)
        table = fft.irfft2(np.square(spectra.real) + np.square(spectra.imag), size)
        lags, wrapped = np.zeros(self.model._size, amplitudes.dtype), [np.arange(1 - k, k) for k in window]
        lags[np.ix_(*wrapped)] = table[np.ix_(*wrapped)]
        return lags

    def product(self, kernels: Real) -> Real:
        """G A."""
        model = self.model
        spectra = model.transform.forward(kernels)
        if model.types == 1:
            spectra *= self._spectra[0]
        else:
            spectra = np.einsum("kluv,lsuv->ksuv", self._spectra, spectra)
        image = model.transform.back(spectra)
        image -= self._unseen(kernels)
        image -= self._of_means(kernels)
        return image

    def _unseen(self, kernels: Real) -> Real:
        if not self._number:
            return np.asarray(self._alone * kernels)
        if self._painting is not None:
            back = self._painting.T @ (self._painting @ kernels.ravel())
            return np.asarray(self._alone * kernels + back.reshape(kernels.shape).astype(kernels.dtype))
        painted = np.bincount(self._pixels, kernels.take(self._labels) * self._weights, self._number)
        read = painted.take(self._pixels) * self._weights
        back = np.bincount(self._labels, read, kernels.size)
        return np.asarray(self._alone * kernels + back.reshape(kernels.shape).astype(kernels.dtype))

    def _of_means(self, kernels: Real) -> Real:
        sums = np.einsum("ksuv,ksuv->s", self._seen, kernels) / self.model.field.count
        return np.asarray(self._seen * sums.astype(kernels.dtype)[None, :, None, None])

    def value(self, kernels: Real) -> float:
        """The quadratic at these kernels."""
        half = 0.5 * self.product(kernels) - self.linear
        return float(np.vdot(kernels, half))

    def minimised(self, kernels: Real, tolerance: float = TOLERANCE) -> tuple[Real, float]:
        """The best kernels of unit norm, set out from these, and the quadratic's value there.

        Exact to a tolerance (see `minimise_on_sphere`, whose own is fine enough) for one type, one type after
        the other for several.
        """
        tolerance = max(tolerance, TOLERANCE)
        if len(kernels) == 1:
            return self._minimised_alone(kernels, tolerance)
        best = kernels.copy()
        for kind in range(len(kernels)):
            alone, others = np.zeros_like(best), best.copy()
            others[kind] = 0
            linear = self.linear[kind].ravel() - self.product(others)[kind].ravel()

            def product(flat: Real, kind: int = kind, alone: Real = alone) -> Real:
                alone[kind] = flat.reshape(alone.shape[1:])
                return np.asarray(self.product(alone)[kind].ravel())

            if np.any(linear):
                flat, _ = minimise_on_sphere(product, linear, best[kind].ravel(), tolerance)
                best[kind] = flat.reshape(best.shape[1:])
        return best, self.value(best)

    def _minimised_alone(self, kernels: Real, tolerance: float) -> tuple[Real, float]:
        """The same of one type."""
        linear = self.linear.ravel()
        if not linear.any():
            return kernels.copy(), self.value(kernels)

        def product(flat: Real) -> Real:
            return self.product(flat.reshape(kernels.shape)).ravel()

        flat, value = minimise_on_sphere(product, linear, kernels.ravel(), tolerance)
        best = flat.reshape(kernels.shape)
        return best, value if np.isfinite(value) else self.value(best)
