"""Tiles: convolution and correlation of large images and long stacks, piece by piece (overlap-save).

No spectrum of the image's size ever exists, and each piece stays in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from napari_sbd.core.convolution import spectra_of_small
from napari_sbd.core.device import HOST, Device

Real = NDArray[np.floating]
Complex = NDArray[np.complexfloating]
Index = NDArray[np.intp]
Pair = tuple[int, int]
Rest = Callable[[slice, "Tile", Real], Real]
Seen = Callable[[slice], Real]

SIDE = 512  # px, of a tile's FFT
SMALL_SIDE = 256  # the same where the spectra of many slices must be held
SPECTRA = 2**24  # numbers in the kernels' spectra, above which tiles are small
PAINTED = 30000  # numbers of atoms that are painted together: they fit into the cache
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

    def inside(self, other: Tile) -> bool:
        """Whether it lies in another."""
        pairs = (self.rows, other.rows), (self.cols, other.cols)
        return all(own.start >= its.start and own.stop <= its.stop for own, its in pairs)

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


def cut(array: Real, corner: Pair, shape: Pair, device: Device = HOST) -> Real:
    """A rectangle of the last two axes, zero where it lies outside the array."""
    piece: Real = device.xp.zeros((*array.shape[:-2], *shape), dtype=array.dtype)
    here, there = [], []
    for first, length, size in zip(corner, shape, array.shape[-2:], strict=True):
        low, high = max(first, 0), min(first + length, size)
        if high <= low:
            return piece
        there.append(slice(low, high))
        here.append(slice(low - first, high - first))
    piece[..., here[0], here[1]] = array[..., there[0], there[1]]
    return piece


def places_of(maps: Real | NDArray[np.bool_]) -> tuple[Index, Index, Index]:
    """Type, row and column of all that is not zero in maps (types, rows, cols), in order."""
    # Of truth values, which is many times faster.
    flat = np.flatnonzero(maps if maps.dtype == bool else maps != 0)
    if len(maps) == 1:
        return np.zeros(len(flat), np.intp), *np.divmod(flat, maps.shape[2])
    kinds, places = np.divmod(flat, maps[0].size)
    return kinds, *np.divmod(places, maps.shape[2])


@dataclass(frozen=True)
class Active:
    """What maps (types, rows, cols) hold: type, row, column and value of each place that is not zero."""

    kinds: Index
    rows: Index
    cols: Index
    values: Real

    @classmethod
    def of(cls, maps: Real) -> Active:
        """All of an array."""
        places = places_of(maps)
        return cls(*places, maps[places])

    def dense(self, shape: tuple[int, ...]) -> Real:
        """Maps (types, rows, cols) that hold these values and are zero elsewhere."""
        maps = np.zeros(shape, self.values.dtype)
        maps[self.kinds, self.rows, self.cols] = self.values
        return maps

    def same_as(self, other: Active) -> bool:
        """Whether these are the same values at the same places in the same order."""
        names = ("values", "rows", "cols", "kinds")
        return all(np.array_equal(getattr(self, name), getattr(other, name)) for name in names)

    def within(self, corner: Pair, shape: Pair) -> Active:
        """Those in a rectangle, counted from its corner."""
        rows, cols = self.rows - corner[0], self.cols - corner[1]
        inside = (rows >= 0) & (rows < shape[0]) & (cols >= 0) & (cols < shape[1])
        return Active(self.kinds[inside], rows[inside], cols[inside], self.values[inside])


def painted(kernels: Real, active: Active, shape: Pair) -> Real:
    """What maps of this shape show (slices, rows + k1 - 1, cols + k2 - 1), painted atom by atom.

    Cheaper than transforms where there are few.

    Examples
    --------
    >>> one = Active(*np.array([[0], [1], [0]]), np.array([2.0]))
    >>> painted(np.ones((1, 1, 1, 2)), one, (2, 2))[0].tolist()
    [[0.0, 0.0, 0.0], [2.0, 2.0, 0.0]]
    """
    k1, k2 = kernels.shape[2:]
    canvas = np.zeros((kernels.shape[1], shape[0] + k1 - 1, shape[1] + k2 - 1), active.values.dtype)
    paint(canvas, kernels, active)
    return canvas


def paint(canvas: Real, kernels: Real, active: Active, sign: int = 1) -> None:
    """Add `sign` times what maps show to a canvas (slices, rows + k1 - 1 or more, cols + k2 - 1 or more)."""
    k1, k2 = kernels.shape[2:]
    values = (sign * active.values)[:, None, None, None]
    count = max(1, PAINTED // kernels[0].size)
    for first in range(0, len(values), count):
        some = slice(first, first + count)
        atoms = values[some] * (kernels if len(kernels) == 1 else kernels[active.kinds[some]])
        places = zip(active.rows[some].tolist(), active.cols[some].tolist(), strict=True)
        for (row, col), atom in zip(places, atoms, strict=True):
            here = canvas[:, row : row + k1, col : col + k2]
            np.add(here, atom, here)  # unlike +=, which assigns the sum to the place once more


def _side(length: int, margin: int, largest: int) -> int:
    """Side of the FFTs, at most about `largest`, that cover a length in pieces with the least work."""
    first = -(-length // max(1, largest - margin))
    counts = range(max(1, first - 1), first + 3)
    sides = [fft.next_fast_len(-(-length // count) + margin, real=True) for count in counts]
    fitting = [
        (count * side, side) for count, side in zip(counts, sides, strict=True) if side <= 1.25 * largest
    ]
    return min(fitting)[1]


class OverlapSave:
    """Kernels (types, slices, k1, k2) that act on tiles of maps and images.

    A place of the extended map is the corner of its atom's patch on the *field*: the frame with `k - 1`
    pixels around it on every side. Kernels and maps lie in the computer's memory, images on the device.

    Parameters
    ----------
    kernels : array (types, slices, k1, k2)
    map_shape : tuple of int
        Rows and columns of the extended maps, (n1 + k1 - 1, n2 + k2 - 1).
    halo : int
        Pixels by which neighbouring tiles of `slopes` overlap.
    fine : bool
        Whether tiles are only about a window large: for few places here and there.
    device : Device
        Where images lie and are transformed.
    """

    def __init__(
        self, kernels: Real, map_shape: Pair, halo: int = 0, fine: bool = False, device: Device = HOST
    ) -> None:
        self.window = (kernels.shape[2], kernels.shape[3])
        self.map_shape, self.halo = map_shape, halo
        many = kernels.shape[0] * kernels.shape[1] * SIDE * SIDE // 2 > SPECTRA
        largest = 0 if fine else SMALL_SIDE if many else SIDE
        sides = [
            _side(n, k - 1 + 2 * halo, max(largest, (2 if fine else 4) * k))
            for n, k in zip(map_shape, self.window, strict=True)
        ]
        self.size = (fft.next_fast_len(sides[0]), fft.next_fast_len(sides[1], real=True))
        # What maps show in a tile depends on a window more of them.
        rows, cols = (t + k - 1 for t, k in zip(self.size, self.window, strict=True))
        self.wide = (fft.next_fast_len(rows), fft.next_fast_len(cols, real=True))
        self.kernels, self.device = kernels, device

    @cached_property
    def _turned(self) -> Complex:
        return self._turned_of(slice(None))

    def _turned_of(self, some: slice) -> Complex:
        kernels = self.device.put(self.kernels[:, some])
        spectra = spectra_of_small(kernels, self.size, self.device)
        turned: Complex = self.device.xp.conj(spectra, out=spectra)
        return turned

    @cached_property
    def _spectra(self) -> Complex:
        return spectra_of_small(self.device.put(self.kernels), self.wide, self.device)

    def predicted(self, maps: Real) -> Iterator[tuple[Tile, Real]]:
        """What maps show on the frame, tile by tile: `Σ_k a_{k,s} ∗ x_k`, (slices, rows, cols)."""
        (k1, k2), (t1, t2) = self.window, self.wide
        frame, slices = (self.map_shape[0] - k1 + 1, self.map_shape[1] - k2 + 1), self.kernels.shape[1]
        for tile in tiles(frame, (t1 - k1 + 1, t2 - k2 + 1)):
            (row, col), (rows, cols) = tile.corner, tile.shape
            piece = maps[:, row : row + rows + k1 - 1, col : col + cols + k2 - 1]
            shown = self.device.xp.zeros((slices, rows, cols), dtype=maps.dtype)
            count = np.count_nonzero(piece != 0)
            if count * k1 * k2 > t1 * t2:
                seen: Seen | None = self._transform(piece)
            else:
                seen = self._seen(Active.of(piece), (piece.shape[1], piece.shape[2]))
            if seen is not None:
                for some in self.device.groups(slices, self.wide):
                    shown[some] = seen(some)[:, k1 - 1 : k1 - 1 + rows, k2 - 1 : k2 - 1 + cols]
            yield tile, shown

    def map_tiles(self) -> Iterator[Tile]:
        """Tiles of the extended maps that `slope` can take."""
        return tiles(self.map_shape, self._largest_tile)

    @property
    def _largest_tile(self) -> Pair:
        rows, cols = (t - (k - 1) - 2 * self.halo for t, k in zip(self.size, self.window, strict=True))
        return rows, cols

    def slope(self, tile: Tile, active: Active | None, rest: Rest) -> tuple[Tile, Real]:
        """Correlation of the kernels with what `rest` makes of the maps' prediction.

        Parameters
        ----------
        tile : Tile
            Of the extended maps.
        active : Active or None
            What the maps hold; None where they are empty.
        rest : callable
            Takes some slices, a tile of the field and the prediction there, all on the device.

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
        inside = slice(0, field.shape[0]), slice(0, field.shape[1])
        shows = slice(k1 - 1, k1 - 1 + field.shape[0]), slice(k2 - 1, k2 - 1 + field.shape[1])
        corner, size = (row - k1 + 1, col - k2 + 1), (rows + 2 * (k1 - 1), cols + 2 * (k2 - 1))
        seen = None if active is None else self._seen(active.within(corner, size), size)
        xp, fft, dtype = self.device.xp, self.device.fft, self.kernels.dtype
        empty, canvas = xp.zeros((1, *field.shape), dtype=dtype), None
        once, total = tile == Tile.whole(self.map_shape), None
        for some in self.device.groups(self.kernels.shape[1], self.size):
            count = some.stop - some.start
            if canvas is None or len(canvas) > count:
                canvas = xp.zeros((count, *self.size), dtype=dtype)
            shown = empty if seen is None else seen(some)[:, *shows]
            canvas[:, *inside] = rest(some, field, shown)
            # Of a single tile, spectra are used but once: in the cache, instead of memory for all of them.
            turned = self._turned_of(some) if once else self._turned[:, some]
            products = xp.multiply(turned, fft.rfft2(canvas), out=turned if once else None)
            summed = products[:, 0] if count == 1 else products.sum(1)
            if total is None:
                total = summed
            else:
                total += summed
        slope = fft.irfft2(total, self.size, overwrite_x=True)
        return around, self.device.fetch(slope[:, :rows, :cols])

    def _seen(self, active: Active, shape: Pair) -> Seen | None:
        """What a piece of the maps shows in slices, right from `k - 1` on; None where that is nothing."""
        if not len(active.values):
            return None
        few = len(active.values) * self.window[0] * self.window[1] <= self.size[0] * self.size[1]
        if few and not self.device.apart:
            return lambda some: painted(self.kernels[:, some], active, shape)
        return self._transform(active.dense((len(self.kernels), *shape)))

    def _transform(self, piece: Real) -> Seen:
        spectra = self.device.fft.rfft2(self.device.put(piece), self.wide)
        return lambda some: self._transformed(spectra, some)

    def _transformed(self, spectra: Complex, some: slice) -> Real:
        product = spectra[0] * self._spectra[0, some]
        for map_, kernels in zip(spectra[1:], self._spectra[1:, some], strict=True):
            product += map_ * kernels
        shown: Real = self.device.fft.irfft2(product, self.wide, overwrite_x=True)
        return shown
