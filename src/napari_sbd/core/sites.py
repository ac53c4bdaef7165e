"""Sites: places of the extended maps that may be active, and the patches of the image that belong to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import sparse

from napari_sbd.core.tiles import Tile, places_of

Real = NDArray[np.floating]
Index = NDArray[np.intp]

HELD = 2**24  # numbers in patches, up to which they are kept
MANY = 20000  # hidden pixels, of which most are hidden of several sites
FEW = 2**22  # products of hidden pixels, up to which they need no sparse matrix


@dataclass(frozen=True)
class Sites:
    """Places (kinds, rows, cols) of extended maps (types, rows, cols); a place is its patch's corner."""

    kinds: Index
    rows: Index
    cols: Index

    @classmethod
    def of(cls, maps: Real | NDArray[np.bool_]) -> Sites:
        """The support of maps."""
        return cls(*places_of(maps))

    @classmethod
    def none(cls) -> Sites:
        """No place at all."""
        empty = np.empty(0, np.intp)
        return cls(empty, empty, empty)

    def __len__(self) -> int:
        return len(self.kinds)

    @classmethod
    def all_of(cls, parts: Sequence[Sites]) -> Sites:
        """Those of all parts, one after the other."""
        return cls(*(np.concatenate([getattr(p, n) for p in parts]) for n in ("kinds", "rows", "cols")))

    def within(self, tile: Tile) -> Sites:
        """Those in a tile of the maps."""
        return self.chosen(self.inside(tile))

    def inside(self, tile: Tile) -> NDArray[np.bool_]:
        """Which lie in a tile of the maps."""
        inside = (self.rows >= tile.rows.start) & (self.rows < tile.rows.stop)
        inside &= (self.cols >= tile.cols.start) & (self.cols < tile.cols.stop)
        return np.asarray(inside)

    def chosen(self, which: NDArray[np.bool_] | Index | slice) -> Sites:
        """Those where `which` is true, or with these numbers."""
        return Sites(self.kinds[which], self.rows[which], self.cols[which])

    def same_as(self, other: Sites) -> bool:
        """Whether these are the same places in the same order."""
        pairs = (self.rows, other.rows), (self.cols, other.cols), (self.kinds, other.kinds)
        return all(np.array_equal(own, its) for own, its in pairs)

    @property
    def order(self) -> Index:
        """Their order on the maps, in which `of` gives them."""
        return np.lexsort((self.cols, self.rows, self.kinds))

    def joined(self, other: Sites) -> Sites:
        """These and the others behind them."""
        return Sites.all_of([self, other])

    def read(self, maps: Real) -> Real:
        """Values of maps here."""
        return np.asarray(maps[self.kinds, self.rows, self.cols])

    def write(self, values: Real, like: Real) -> Real:
        """Maps that hold these values here and are zero elsewhere."""
        # Unlike zeros_like, this touches no page of memory that stays empty.
        maps = np.zeros(like.shape, like.dtype)
        maps[self.kinds, self.rows, self.cols] = values
        return maps


def largest_of_neighbours(above: NDArray[np.bool_], excess: Callable[[Index, Index, Index], Real]) -> Sites:
    """Places (types, rows, cols) that are above and whose excess is that of no neighbour of eight or more.

    `excess` gives it for types, rows and columns.
    """
    here = Sites.of(above)
    down, right = (
        np.stack([np.maximum(at - 1, 0), at, np.minimum(at + 1, n - 1)])
        for at, n in ((here.rows, above.shape[1]), (here.cols, above.shape[2]))
    )
    around = excess(here.kinds, down[:, None], right)
    return here.chosen((around[1, 1] >= around).all((0, 1)))


class Field:
    """An image laid out such that the patch of every site can be cut out of it.

    Parameters
    ----------
    data : array (slices, rows, cols)
    mask : array of bool (slices, rows, cols)
    window : tuple of int

    Attributes
    ----------
    target : array (slices, rows + 2 (k1 - 1), cols + 2 (k2 - 1))
        Data less their mean over the mask, zero where the mask is false and outside the frame.
    outside : array of bool, of the same shape
        Where a pixel does not count.
    count : array (slices,)
        Number of pixels that count.
    energy : float
        `½ ‖target‖²`.
    holes : bool
        Whether any pixel of the frame does not count.
    """

    def __init__(self, data: Real, mask: NDArray[np.bool_], window: tuple[int, int]) -> None:
        self.window = window
        inside = (
            slice(None),
            *(slice(k - 1, k - 1 + n) for k, n in zip(window, data.shape[1:], strict=True)),
        )
        shape = (len(data), *(n + 2 * (k - 1) for k, n in zip(window, data.shape[1:], strict=True)))
        whole = bool(mask.all())
        self.count = np.full(len(data), max(data[0].size, 1), float)
        if not whole:
            self.count = np.maximum(mask.sum((1, 2)), 1).astype(float)
        kept = data if whole else np.where(mask, data, 0)
        mean = (kept.sum((1, 2), dtype=np.float64) / self.count).astype(data.dtype)
        self.target = np.zeros(shape, data.dtype)
        framed = np.subtract(kept, mean[:, None, None], out=self.target[inside])
        if not whole:
            framed *= mask
        self.outside = np.ones(shape, bool)
        np.logical_not(mask, out=self.outside[inside])
        # Row by row: in single precision one long sum would drift.
        self.energy = 0.5 * float(np.einsum("...i,...i->...", framed, framed).sum(dtype=float))
        self.holes = not whole

    @property
    def is_plain(self) -> bool:
        """Whether all pixels of the frame count, and it is no smaller than the window."""
        (rows, cols), (k1, k2) = self.target.shape[1:], self.window
        return not self.holes and rows >= 3 * k1 - 2 and cols >= 3 * k2 - 2

    def cut(self, sites: Sites) -> NDArray[np.bool_]:
        """Which patches hold a pixel that does not count."""
        if self.holes:
            return np.asarray(self._covered[sites.rows, sites.cols])
        (rows, cols), (k1, k2) = self.target.shape[1:], self.window
        inside = (sites.rows >= k1 - 1) & (sites.rows <= rows - 2 * k1 + 1)
        inside &= (sites.cols >= k2 - 1) & (sites.cols <= cols - 2 * k2 + 1)
        return np.asarray(~inside)

    def seen_sums(self, kernels: Real, sites: Sites, hidden: Hidden | None = None) -> Real:
        """Sum of each site's atom over the pixels that count, (sites, slices)."""
        if not self.holes:
            return self._framed_sums(kernels, sites)
        hidden = self.hidden(sites) if hidden is None else hidden
        slices, numbers = len(self.target), len(hidden.numbers)
        totals = kernels.sum((2, 3), dtype=float)[sites.kinds]
        values = kernels.take(hidden.labels(sites.kinds, kernels))
        owners = hidden.at if slices == 1 else hidden.at * slices + hidden.slices
        lost = np.bincount(owners, values, numbers * slices)
        totals[hidden.numbers] -= lost.reshape(-1, slices)
        return np.asarray(totals)

    def _framed_sums(self, kernels: Real, sites: Sites) -> Real:
        """The same where all pixels of the frame count: sums over rectangles."""
        (k1, k2), (rows, cols) = self.window, self.target.shape[1:]
        sums = np.zeros((*kernels.shape[:2], k1 + 1, k2 + 1))
        kernels.cumsum(2, dtype=float).cumsum(3, out=sums[:, :, 1:, 1:])
        top, left = np.maximum(k1 - 1 - sites.rows, 0), np.maximum(k2 - 1 - sites.cols, 0)
        bottom = np.minimum(rows - k1 + 1 - sites.rows, k1)
        right = np.minimum(cols - k2 + 1 - sites.cols, k2)
        flat = sums.reshape(*kernels.shape[:2], -1)
        top, bottom = top * (k2 + 1), bottom * (k2 + 1)
        if flat.shape[:2] == (1, 1):
            table = flat[0, 0]
            below = table.take(bottom + right) - table.take(bottom + left)
            return np.asarray(below - (table.take(top + right) - table.take(top + left)))[:, None]
        below = flat[sites.kinds, :, bottom + right] - flat[sites.kinds, :, bottom + left]
        above = flat[sites.kinds, :, top + right] - flat[sites.kinds, :, top + left]
        return np.asarray(below - above)

    @cached_property
    def _covered(self) -> NDArray[np.bool_]:
        sums = np.pad(self.outside.any(0).cumsum(0, dtype=np.int32).cumsum(1), ((1, 0), (1, 0)))
        k1, k2 = self.window
        return np.asarray(sums[k1:, k2:] - sums[:-k1, k2:] - sums[k1:, :-k2] + sums[:-k1, :-k2] > 0)

    def hidden(self, sites: Sites) -> Hidden:
        """What of the sites' patches falls on pixels that do not count."""
        numbers = np.flatnonzero(self.cut(sites))
        # Where all slices have one mask, what is hidden in one tells it of all.
        outside = self.outside[:1] if self._alike else self.outside
        (k1, k2), (slices, _, cols) = self.window, outside.shape
        rows_, cols_ = sites.rows[numbers], sites.cols[numbers]
        if slices == 1:
            here = self._views_outside[0, rows_, cols_]
        else:
            here = self._views_outside[:slices, rows_, cols_].swapaxes(0, 1)
        steps, found = _steps(outside.shape, self.window), np.flatnonzero(here)
        bounds = np.searchsorted(found, np.arange(len(numbers) + 1) * len(steps))
        at = np.repeat(np.arange(len(numbers)), np.diff(bounds))
        places = found - at * len(steps)
        pixels, size = self._numbered((rows_ * cols + cols_).take(at) + steps.take(places))
        number = np.arange(len(self.target) // slices)
        if len(number) > 1:
            at = np.repeat(at, len(number))
            pixels = np.add.outer(pixels, number * size).ravel()
            places = np.add.outer(places, number * k1 * k2).ravel()
        return Hidden(numbers, at, pixels, places, size * len(number), k1 * k2)

    def _numbered(self, pixels: Index) -> tuple[Index, int]:
        """Numbers for pixels (of one slice or all), and how many there are.

        Consecutive ones, or, of many, those among all pixels that do not count.
        """
        if len(pixels) > self._hidden_of_all:
            return self._number_of_all[pixels].astype(np.intp) - 1, int(self._number_of_all[-1])
        entries = np.arange(len(pixels), dtype=np.int32)
        self._notes[pixels] = entries  # of entries with one pixel the last one stays
        last = self._notes[pixels]
        numbers = np.cumsum(last == entries)
        return numbers[last] - 1, int(numbers[-1]) if len(numbers) else 0

    @cached_property
    def _hidden_of_all(self) -> int:
        return int(np.count_nonzero(self.outside))

    @cached_property
    def _number_of_all(self) -> NDArray[np.int32]:
        """Pixels that do not count, counted up to each pixel."""
        return self.outside.ravel().cumsum(dtype=np.int32)

    @cached_property
    def _notes(self) -> NDArray[np.int32]:
        """Room for a number at every pixel; only what is written takes memory."""
        return np.empty(self.outside.size, np.int32)

    @cached_property
    def views(self) -> Real:
        """The target's patch at every place (slices, rows, cols, k1, k2); takes no memory."""
        return sliding_window_view(self.target, self.window, axis=(1, 2))

    @cached_property
    def _views_outside(self) -> NDArray[np.bool_]:
        return sliding_window_view(self.outside, self.window, axis=(1, 2))

    @cached_property
    def _alike(self) -> bool:
        """Whether the same pixels count in all slices."""
        return not self.holes or bool((self.outside == self.outside[0]).all())


@lru_cache(maxsize=8)
def _steps(shape: tuple[int, int, int], window: tuple[int, int]) -> Index:
    """Where a patch's pixels stand behind its corner in a flat field (slices, rows, cols)."""
    (slices, rows, cols), (k1, k2) = shape, window
    within = np.add.outer(np.arange(k1) * cols, np.arange(k2))
    return np.asarray(np.add.outer(np.arange(slices) * rows * cols, within).ravel())


class Patches:
    """Patches of a field at sites, (slices, sites, k1 · k2), held as far as memory allows.

    Parameters
    ----------
    field : Field
    sites : Sites
    """

    def __init__(self, field: Field, sites: Sites) -> None:
        self.field, self.sites = field, sites
        size = field.window[0] * field.window[1]
        held = len(field.target) * len(sites) * size <= HELD
        self._step = max(1, len(sites) if held else HELD // size)
        self._held = list(self._gathered()) if held else None

    def __iter__(self) -> Iterator[tuple[int, slice, Real]]:
        """Number of a slice, some of the sites, and their patches there (sites, k1 · k2)."""
        return self._gathered() if self._held is None else iter(self._held)

    def _gathered(self) -> Iterator[tuple[int, slice, Real]]:
        sites = self.sites
        for number, views in enumerate(self.field.views):
            for start in range(0, len(sites), self._step):
                some = slice(start, start + self._step)
                gathered = views[sites.rows[some], sites.cols[some]]
                yield number, some, gathered.reshape(len(gathered), -1)


@dataclass(frozen=True)
class Shared:
    """Entries of hidden pixels: numbers of those shared by several sites, and of those of one site `alone`.

    `pixels` numbers the shared pixels consecutively, `size` is how many there are.
    """

    entries: Index
    alone: Index
    pixels: Index
    size: int


@dataclass(frozen=True)
class Hidden:
    """Pixels of sites' patches that do not count, one entry each.

    `numbers` are the sites that have any, and an entry says which of these it belongs to (`at`), which pixel
    of the field (`pixels`: counted among the `size` that are hidden of any site) and which of the kernel
    (`places`, flat over slices, rows and columns, with `area` in each slice).
    """

    numbers: Index
    at: Index
    pixels: Index
    places: Index
    size: int
    area: int

    @cached_property
    def slices(self) -> Index:
        """The slice of each entry."""
        return self.places // self.area

    @cached_property
    def shared(self) -> Shared | None:
        """Entries whose pixel is hidden of several sites; None where there are so many that most are."""
        if len(self.at) > MANY:
            return None
        several = np.bincount(self.pixels, minlength=self.size) > 1
        numbers = np.cumsum(several)
        here = several[self.pixels]
        entries = np.flatnonzero(here)
        pixels = numbers.take(self.pixels.take(entries)) - 1
        return Shared(entries, np.flatnonzero(~here), pixels, int(numbers[-1]) if self.size else 0)

    @cached_property
    def _bounds(self) -> Index:
        return np.searchsorted(self.at, np.arange(len(self.numbers) + 1))

    def labels(self, kinds: Index, kernels: Real) -> Index:
        """Where each entry's pixel stands in flat kernels (types, slices, k1, k2); `kinds` of all sites."""
        if len(kernels) == 1:
            return self.places
        return np.asarray(kinds[self.numbers][self.at] * kernels[0].size + self.places)

    def products(self, kernels: Real, kinds: Index) -> Real:
        """Inner products (numbers, numbers) of what of each atom is hidden."""
        number = len(self.numbers)
        if number * number * self.size > FEW:
            atoms = self.atoms(kernels, kinds)
            return np.asarray((atoms @ atoms.T.tocsr()).toarray())
        painted = self.painted(kernels, kinds)
        return painted @ painted.T

    def painted(self, kernels: Real, kinds: Index) -> Real:
        """What of each atom is hidden, (numbers, pixels): for few ones."""
        painted = np.zeros((len(self.numbers), self.size), kernels.dtype)
        painted.reshape(-1)[self._painted_at] = kernels.take(self.labels(kinds, kernels))
        return painted

    @cached_property
    def _painted_at(self) -> Index:
        return self.at * self.size + self.pixels

    def atoms(self, kernels: Real, kinds: Index) -> sparse.csr_matrix:
        """Matrix (numbers, pixels) of what of each atom is hidden."""
        values = kernels.take(self.labels(kinds, kernels))
        shape = (len(self.numbers), self.size)
        return sparse.csr_matrix((values, self.pixels, self._bounds), shape=shape)
