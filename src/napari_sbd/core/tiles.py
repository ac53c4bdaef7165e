"""Tiles: convolution and correlation of large images and long stacks, piece by piece (overlap-save).

No spectrum of the image's size ever exists, and each piece stays in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Real = NDArray[np.floating]
Complex = NDArray[np.complexfloating]
Pair = tuple[int, int]
Rest = Callable[[int, "Tile", Real], Real]

SIDE = 512  # px, of a tile's FFT
SMALL_SIDE = 256  # the same where the spectra of many slices must be held
SPECTRA = 2**24  # numbers in the kernels' spectra, above which tiles are small
WHOLE = 640 * 640  # pixels, all slices together, up to which an image is worked with in one piece


def in_one_piece(slices: int, map_shape: Pair) -> bool:
    """Whether an image is small enough not to be cut up."""
    return slices * map_shape[0] * map_shape[1] <= WHOLE


@dataclass(frozen=True)
class Tile:
    """A rectangle (rows, cols) of what is computed."""

    rows: slice
    cols: slice

    @classmethod
    def whole(cls, shape: Pair) -> Tile:
        """All of an array of this shape."""
        return cls(slice(0, shape[0]), slice(0, shape[1]))

    @property
    def corner(self) -> Pair:
        """Its first pixel."""
        return self.rows.start, self.cols.start

    @property
    def shape(self) -> Pair:
        """Rows and columns."""
        return self.rows.stop - self.rows.start, self.cols.stop - self.cols.start

    def grown(self, by: int, shape: Pair) -> Tile:
        """With so many pixels more on each side, as far as an array of this shape goes."""
        rows, cols = (
            slice(max(0, s.start - by), min(n, s.stop + by))
            for s, n in zip((self.rows, self.cols), shape, strict=True)
        )
        return Tile(rows, cols)


def tiles(shape: Pair, largest: Pair) -> Iterator[Tile]:
    """Cut an array of this shape into tiles of about equal size, none larger than `largest`.

    Examples
    --------
    >>> [tile.corner for tile in tiles((5, 8), (5, 3))]
    [(0, 0), (0, 3), (0, 6)]
    """
    rows, cols = (_spans(n, most) for n, most in zip(shape, largest, strict=True))
    for down in rows:
        for right in cols:
            yield Tile(down, right)


def _spans(length: int, largest: int) -> list[slice]:
    step = -(-length // -(-length // largest))
    return [slice(start, min(start + step, length)) for start in range(0, length, step)]


def bands(shape: Pair, pixels: int = SIDE * SIDE) -> Iterator[slice]:
    """Rows of an array in groups of about so many pixels: for what is done pixel by pixel.

    Examples
    --------
    >>> list(bands((5, 10), 20))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = max(1, pixels // shape[1])
    return (slice(start, min(start + step, shape[0])) for start in range(0, shape[0], step))


def cut(array: Real, corner: Pair, shape: Pair) -> Real:
    """A rectangle of the last two axes, zero where it lies outside the array."""
    piece = np.zeros((*array.shape[:-2], *shape), array.dtype)
    here, there = [], []
    for first, length, size in zip(corner, shape, array.shape[-2:], strict=True):
        low, high = max(first, 0), min(first + length, size)
        if high <= low:
            return piece
        there.append(slice(low, high))
        here.append(slice(low - first, high - first))
    piece[..., here[0], here[1]] = array[..., there[0], there[1]]
    return piece


class OverlapSave:
    """Kernels (types, slices, k1, k2) that act on tiles of maps and images.

    A place of the extended map is the corner of its atom's patch on the *field*: the frame with `k - 1`
    pixels around it on every side.

    Parameters
    ----------
    kernels : array (types, slices, k1, k2)
    map_shape : tuple of int
        Rows and columns of the extended maps, (n1 + k1 - 1, n2 + k2 - 1).
    halo : int
        Pixels by which neighbouring tiles of `slopes` overlap.
    """

    def __init__(self, kernels: Real, map_shape: Pair, halo: int = 0) -> None:
        k1, k2 = self.window = (kernels.shape[2], kernels.shape[3])
        self.map_shape, self.halo = map_shape, halo
        many = kernels.shape[0] * kernels.shape[1] * SIDE * SIDE // 2 > SPECTRA
        side = SMALL_SIDE if many else SIDE
        sizes = [
            min(max(side, 4 * k), n + 2 * (k - 1) + 2 * halo)
            for n, k in zip(map_shape, self.window, strict=True)
        ]
        self.size = (fft.next_fast_len(sizes[0]), fft.next_fast_len(sizes[1], real=True))
        self.spectra: Complex = np.asarray(fft.rfft2(kernels, self.size))

    def predicted(self, maps: Real) -> Iterator[tuple[Tile, Real]]:
        """What maps show on the frame, tile by tile: `Σ_k a_{k,s} ∗ x_k`, (slices, rows, cols)."""
        (k1, k2), (t1, t2) = self.window, self.size
        frame = self.map_shape[0] - k1 + 1, self.map_shape[1] - k2 + 1
        for tile in tiles(frame, (t1 - k1 + 1, t2 - k2 + 1)):
            (row, col), (rows, cols) = tile.corner, tile.shape
            piece = maps[:, row : row + rows + k1 - 1, col : col + cols + k2 - 1]
            shown = np.zeros((self.spectra.shape[1], rows, cols), maps.dtype)
            if piece.any():
                seen = fft.rfft2(piece, self.size)
                for number, image in enumerate(shown):
                    image[:] = self._shown(seen, number)[k1 - 1 : k1 - 1 + rows, k2 - 1 : k2 - 1 + cols]
            yield tile, shown

    def map_tiles(self) -> Iterator[Tile]:
        """Tiles of the extended maps that `slope` can take."""
        (k1, k2), (t1, t2), margin = self.window, self.size, 2 * self.halo
        return tiles(self.map_shape, (t1 - 2 * (k1 - 1) - margin, t2 - 2 * (k2 - 1) - margin))

    def slope(self, tile: Tile, maps: Real | None, rest: Rest) -> tuple[Tile, Real]:
        """Correlation of the kernels with what `rest` makes of the maps' prediction.

        Parameters
        ----------
        tile : Tile
            Of the extended maps.
        maps : array (types, rows, cols) or None
            Extended maps; None for empty ones.
        rest : callable
            Takes the number of a slice, a tile of the field and the prediction there.

        Returns
        -------
        around : Tile
            The tile with its halo.
        slope : array (types, rows, cols)
            The correlation there.
        """
        k1, k2 = self.window
        around = tile.grown(self.halo, self.map_shape)
        (row, col), (rows, cols) = around.corner, around.shape
        field = Tile(slice(row, row + rows + k1 - 1), slice(col, col + cols + k2 - 1))
        inside = slice(k1 - 1, k1 - 1 + field.shape[0]), slice(k2 - 1, k2 - 1 + field.shape[1])
        seen = None if maps is None else self._seen(maps, around)
        canvas = np.zeros(self.size, self.spectra.real.dtype)
        empty = np.zeros(field.shape, canvas.dtype)
        total = np.zeros((len(self.spectra), *self.spectra.shape[2:]), self.spectra.dtype)
        for number in range(self.spectra.shape[1]):
            shown = empty if seen is None else self._shown(seen, number)[inside]
            canvas[inside] = rest(number, field, shown)
            total += np.conj(self.spectra[:, number]) * fft.rfft2(canvas)
        slope = fft.irfft2(total, self.size, overwrite_x=True)
        return around, slope[:, k1 - 1 : k1 - 1 + rows, k2 - 1 : k2 - 1 + cols]

    def _seen(self, maps: Real, tile: Tile) -> Complex | None:
        """Spectra of all that reaches into the field of a tile; None where that is nothing."""
        corner = [first - k + 1 for first, k in zip(tile.corner, self.window, strict=True)]
        size = [n + 2 * (k - 1) for n, k in zip(tile.shape, self.window, strict=True)]
        piece = cut(maps, (corner[0], corner[1]), (size[0], size[1]))
        return np.asarray(fft.rfft2(piece, self.size)) if piece.any() else None

    def _shown(self, seen: Complex, number: int) -> Real:
        product = seen[0] * self.spectra[0, number]
        for map_, kernel in zip(seen[1:], self.spectra[1:, number], strict=True):
            product += map_ * kernel
        return np.asarray(fft.irfft2(product, self.size, overwrite_x=True))
