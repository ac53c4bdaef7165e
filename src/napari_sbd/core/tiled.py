"""A large image or a stack, and what kernels and maps leave of it: worked on tile by tile, on a device."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.convolution import Convolution
from napari_sbd.core.device import HOST, Device
from napari_sbd.core.noise import ENOUGH
from napari_sbd.core.sites import Field, Sites
from napari_sbd.core.tiles import Active, OverlapSave, Rest, Tile, cut

Real = NDArray[np.floating]


class Tiled:
    """Data as kernels of one window see them: residuals, correlations and sums over all pixels.

    Parameters
    ----------
    data : array (slices, rows, cols)
    mask : array of bool (slices, rows, cols)
    convolution : Convolution
    device : Device
        Where tiles are worked on. The data are laid there when they are first needed.
    """

    def __init__(
        self, data: Real, mask: NDArray[np.bool_], convolution: Convolution, device: Device = HOST
    ) -> None:
        self.data, self.mask = data, mask
        self.convolution, self.device = convolution, device

    @cached_property
    def field(self) -> Field:
        """The same data laid out for atoms."""
        return Field(self.data, self.mask, self.convolution.kernel_shape)

    @cached_property
    def whole(self) -> bool:
        """Whether every pixel counts, and as much as any other."""
        return bool(self.mask.dtype == bool and self.mask.all())

    @cached_property
    def count(self) -> Real:
        """Pixels that count, (slices,)."""
        if self.whole:
            return np.full(len(self.mask), self.mask[0].size, float)
        return np.asarray(np.maximum(self.mask.sum((1, 2), dtype=np.float64), 1))

    @cached_property
    def _means(self) -> Real:
        """Mean of each slice over its mask."""
        counted = [True] * len(self.mask) if self.whole else self.mask
        pairs = zip(self.data, counted, self.count, strict=True)
        return np.array(
            [image.sum(where=inside, dtype=float) / n for image, inside, n in pairs], self.data.dtype
        )

    def _there(self, array: NDArray[Any]) -> Any:
        """An array of this image on the device, where it stays."""
        return self.device.held(self, array)

    def lens(self, kernels: Real, halo: int = 0) -> OverlapSave:
        """Kernels that act on tiles of this image."""
        return OverlapSave(kernels, self.convolution.map_shape, halo, device=self.device)

    def left(self, kernels: Real, maps: Real, out: Real | None = None) -> Real:
        """`W ⊙ (a ∗ x + b - y)` inside the frame (slices, rows, cols), the bias in closed form."""
        (k1, k2), (rows, cols), field = self.convolution.kernel_shape, self.data.shape[1:], self.field
        frame = slice(k1 - 1, k1 - 1 + rows), slice(k2 - 1, k2 - 1 + cols)
        target, outside = (self._there(array)[:, *frame] for array in (field.target, field.outside))
        if out is None or self.device.apart:
            residual = self.device.xp.empty(self.data.shape, dtype=self.data.dtype)
        else:
            residual = out
        total = np.zeros(len(residual))
        for tile, shown in self.lens(kernels).predicted(maps):
            here = slice(None), tile.rows, tile.cols
            shown -= target[here]
            if field.holes:
                shown[outside[here]] = 0
            total += self.device.fetch(shown.sum((1, 2), dtype=np.float64))
            residual[here] = shown
        means = self.device.put((total / self.count).astype(self.data.dtype))[:, None, None]
        for some in self.device.groups(len(residual), (rows, cols)):
            residual[some] -= means[some] * ~outside[some] if field.holes else means[some]
        return self.device.fetch(residual, out)

    def slopes(
        self, kernels: Real, active: Active | None, halo: int = 0
    ) -> Iterator[tuple[Tile, Tile, Real]]:
        """Minus the gradient of the misfit in the maps, see `Objective.slopes`."""
        field, means = self.field, self._model_means(kernels, active)
        target, outside = self._there(field.target), self._there(field.outside)
        (k1, k2), (rows, cols) = self.convolution.kernel_shape, self.convolution.image_shape
        framed = Tile(slice(k1 - 1, k1 - 1 + rows), slice(k2 - 1, k2 - 1 + cols))
        there = self.device.put(means)[:, None, None]

        def rest(some: slice, tile: Tile, shown: Real) -> Real:
            left: Real = target[some, tile.rows, tile.cols] - shown
            if means[some].any():
                left += there[some]
            if field.holes or not tile.inside(framed):
                left[outside[some, tile.rows, tile.cols]] = 0
            return left

        lens = self.lens(kernels, halo)
        for tile in lens.map_tiles():
            yield tile, *lens.slope(tile, active, rest)

    def _model_means(self, kernels: Real, active: Active | None) -> Real:
        """Mean over the mask of what maps show, (slices,)."""
        if active is None:
            return np.zeros(len(self.data), self.data.dtype)
        sums = self.field.seen_sums(kernels, Sites(active.kinds, active.rows, active.cols))
        return np.asarray((active.values.astype(float) @ sums / self.field.count).astype(self.data.dtype))

    def seen_sums(self, kernels: Real, halo: int = 0) -> Iterator[tuple[Tile, Real]]:
        """Sum of an atom's pixels that count, see `Objective.seen_sums`."""
        outside, (k1, k2) = self.field.outside, self.convolution.kernel_shape
        total, there = kernels.sum((1, 2, 3))[:, None, None], self._there(outside)

        def seen(some: slice, tile: Tile, shown: Real) -> Real:
            counts: Real = (~there[some, tile.rows, tile.cols]).astype(shown.dtype)
            return counts

        lens = self.lens(kernels, halo)
        for tile in lens.map_tiles():
            around = tile.grown(halo, self.convolution.map_shape)
            (row, col), (rows, cols) = around.corner, around.shape
            if outside[:, row : row + rows + k1 - 1, col : col + cols + k2 - 1].any():
                yield tile, lens.slope(tile, None, seen)[1]
            else:
                yield tile, np.broadcast_to(total, (len(kernels), rows, cols))

    def filtered(self, kernels: Real) -> Real:
        """Correlation of the kernels with the data less their mean at some pixels that count: a sample."""
        seen, window = np.asarray(self.mask.any(0)), self.convolution.kernel_shape
        lens = self.lens(kernels)
        tiles = list(lens.map_tiles())
        count = max(1, len(tiles) * ENOUGH // seen.size) if seen.size > ENOUGH else len(tiles)
        values, data_in = [], self._data_in()
        for number in np.unique(np.linspace(0, len(tiles) - 1, count).round().astype(int)):
            tile = tiles[number]
            _, slope = lens.slope(tile, None, data_in)
            spans = []
            for part, k, n in zip((tile.rows, tile.cols), window, seen.shape, strict=True):
                spans.append(slice(max(part.start, k // 2), min(part.stop, k // 2 + n)))
            local = (slice(s.start - f, s.stop - f) for s, f in zip(spans, tile.corner, strict=True))
            frame = (slice(s.start - k // 2, s.stop - k // 2) for s, k in zip(spans, window, strict=True))
            values.append(slope[:, *local][:, seen[*frame]])
        return np.concatenate(values, axis=1)

    def _data_in(self) -> Rest:
        """What gives slices' data less their mean in a tile of the field, zero where they do not count."""
        given, device, window = (self.data, self.mask), self.device, self.convolution.kernel_shape
        there, means = [self._there(array) for array in given], device.put(self._means)[:, None, None]

        def data_in(some: slice, tile: Tile, shown: Real) -> Real:
            corner = (tile.corner[0] - window[0] + 1, tile.corner[1] - window[1] + 1)
            data, inside = (cut(array[some], corner, tile.shape, device) for array in there)
            centred: Real = device.xp.where(inside, data - means[some], 0)
            return centred

        return data_in
