"""Board: defects on pixels, what they leave of the image, and what any of them would find elsewhere.

Everything is read from the residual's correlation with the kernels and from the kernels' correlations with
each other; only `refresh` touches pixels. What the mask or the frame cuts off an atom counts by its share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import spatial

from napari_sbd.core.convolution import Complex
from napari_sbd.core.descent import Iterate
from napari_sbd.core.objective import Objective
from napari_sbd.core.support_model import correlations
from napari_sbd.core.window import padded

Real = NDArray[np.floating]
Index = NDArray[np.intp]

REACH = 2  # px, how far a defect may move at a time
AROUND = np.array(list(product(range(-REACH, REACH + 1), repeat=2)))
MIDDLE = len(AROUND) // 2
# For each move of one defect and each of another, the number of the lag that this adds to theirs.
BETWEEN = (AROUND[:, None] - AROUND + 2 * REACH) @ [4 * REACH + 1, 1]
WHOLE = 1 - 5e-4  # norm of an atom that is seen whole
NONE = -1  # number of no defect


@dataclass(frozen=True)
class Groups:
    """Pairs of defects by their numbers (n,), `second` equal to `first` for a defect alone."""

    first: Index
    second: Index

    def __len__(self) -> int:
        return len(self.first)

    def chosen(self, which: NDArray[np.bool_] | Index | slice) -> Groups:
        """Some of them."""
        return Groups(self.first[which], self.second[which])

    @property
    def paired(self) -> NDArray[np.bool_]:
        """Which are pairs."""
        return np.asarray(self.first != self.second)


@dataclass(frozen=True)
class Spot:
    """What is seen at the places around centres, the defects that are asked about taken out.

    Attributes
    ----------
    kinds : array (centres,)
    places : array (centres, places, 2)
    reach : array (centres, places)
        Correlation of the atom at each place with the image less all other defects.
    roots : array (centres, places)
        Norms of the atoms there, as far as they are seen.
    """

    kinds: Index
    places: Index
    reach: Real
    roots: Real

    def __len__(self) -> int:
        return len(self.kinds)

    @cached_property
    def norms(self) -> Real:
        """Squared norms of the atoms, as far as they are seen."""
        return np.square(self.roots)

    @cached_property
    def whole(self) -> NDArray[np.bool_]:
        """Where all atoms are seen whole."""
        return np.asarray(self.roots.min(1, initial=1) >= WHOLE)

    def chosen(self, which: NDArray[np.bool_]) -> Spot:
        """Some of them."""
        return Spot(self.kinds[which], self.places[which], self.reach[which], self.roots[which])


@dataclass(frozen=True)
class Views:
    """What groups see around each of two centres.

    Attributes
    ----------
    spots : two Spots
    lags : array (groups or 1, lags)
        Inner products of whole atoms at all lags that `BETWEEN` numbers.
    """

    spots: tuple[Spot, Spot]
    lags: Real

    def __len__(self) -> int:
        return len(self.spots[0])

    @cached_property
    def whole(self) -> NDArray[np.bool_]:
        """Where all atoms are seen whole."""
        return self.spots[0].whole & self.spots[1].whole

    @property
    def cross(self) -> Real:
        """Inner products of atoms at a place around the first centre and one around the second."""
        cross = np.take(np.broadcast_to(self.lags, (len(self), self.lags.shape[1])), BETWEEN, axis=1)
        if not self.whole.all():
            cross *= self.spots[0].roots[:, :, None]
            cross *= self.spots[1].roots[:, None]
        return np.asarray(cross)

    def chosen(self, which: NDArray[np.bool_]) -> Views:
        """Some of them."""
        spots = (self.spots[0].chosen(which), self.spots[1].chosen(which))
        return Views(spots, self.lags[which] if len(self.lags) > 1 else self.lags)


class Board:
    """Defects at pixels (kinds, rows, cols) with their sizes, for kernels that stay.

    `correlations` are the kernels' with each other at all lags, zero at the ends.

    Parameters
    ----------
    objective : Objective
    found : Iterate
    """

    def __init__(self, objective: Objective, found: Iterate) -> None:
        self.objective, self.kernels = objective, found.kernels
        self.shape = found.maps.shape
        self.kinds, self.rows, self.cols = np.nonzero(found.maps)
        self.sizes = found.maps[self.kinds, self.rows, self.cols]
        self._norms: Real = padded(objective.visible_share(found.kernels), (REACH, REACH))
        self._roots = np.sqrt(self._norms)
        self._shown: Real = np.zeros(self._norms.shape, found.kernels.dtype)
        wide, narrow = 4 * REACH + 1, 2 * REACH + 1
        table = padded(correlations(found.kernels), (wide, wide))
        self.correlations = table
        self._tables = sliding_window_view(table, (wide, wide), axis=(2, 3))
        self._narrow = sliding_window_view(table, (narrow, narrow), axis=(2, 3))
        self.refresh()

    @classmethod
    def of_nothing(cls) -> Board:
        """A small one without a defect, to try on it what works on boards."""
        image, kernels = np.zeros((1, 8, 8), np.float32), np.ones((1, 1, 3, 3), np.float32)
        objective = Objective(image, np.ones(image.shape, bool), (3, 3))
        return cls(objective, Iterate(kernels, np.zeros((1, 10, 10), np.float32), np.inf))

    def __len__(self) -> int:
        return len(self.kinds)

    @property
    def centres(self) -> Index:
        """Places (n, 2)."""
        return np.column_stack([self.rows, self.cols])

    @property
    def norms(self) -> Real:
        """Squared norm of what is seen of an atom, for each place of the maps."""
        return self._norms[:, REACH:-REACH, REACH:-REACH]

    @property
    def shown(self) -> Real:
        """Correlation of the kernels with what is left of the image, for each place of the maps."""
        return self._shown[:, REACH:-REACH, REACH:-REACH]

    @property
    def roots(self) -> Real:
        """Roots of `norms`."""
        return self._roots[:, REACH:-REACH, REACH:-REACH]

    @property
    def around(self) -> tuple[Real, Real]:
        """`shown` and `roots`, `REACH` places more on each side."""
        return self._shown, self._roots

    def maps(self) -> Real:
        """Extended maps."""
        maps = np.zeros(self.shape, self.kernels.dtype)
        np.add.at(maps, (self.kinds, self.rows, self.cols), self.sizes)
        return maps

    @property
    def state(self) -> tuple[Index, Index, Index, Real]:
        """All defects: kinds, rows, columns, sizes."""
        return self.kinds, self.rows, self.cols, self.sizes

    @state.setter
    def state(self, state: tuple[Index, Index, Index, Real]) -> None:
        self.kinds, self.rows, self.cols, self.sizes = state

    def refresh(self) -> None:
        """Take what is left of the image anew."""
        inside, objective, model = self.shown, self.objective, self.objective.convolution
        self._left: Real | None = None
        if objective.in_one_piece:
            self._rest, _ = objective.residual(self._spectra, model.map_spectra(self.maps()))
            np.negative(model.correlate_kernels(self._spectra, self._rest), out=inside)
            return
        for tile, _, slope in objective.slopes(self.kernels, self.maps()):
            inside[:, tile.rows, tile.cols] = slope

    @cached_property
    def _data(self) -> Real:
        return self.objective.correlation(self.kernels)

    @cached_property
    def _spectra(self) -> Complex:
        return self.objective.convolution.kernel_spectra(self.kernels)

    def left(self) -> Real:
        """What was left of the image when it was last taken anew (slices, rows, cols); it is kept."""
        if self._left is None:
            if self.objective.in_one_piece:
                self._left = -self.objective.convolution.frame(self._rest)
            else:
                self._left = -self.objective.left(self.kernels, self.maps())
        return self._left

    @property
    def misfit(self) -> float:
        """Half the sum of squares of what is left of the image."""
        here = self.kinds, self.rows, self.cols
        both = (self._data[here] + self.shown[here]).astype(float)
        return self.objective.field.energy - 0.5 * float(self.sizes.astype(float) @ both)

    def close(self, near: float) -> Groups:
        """All pairs within a distance along rows and columns."""
        if len(self) < 2:
            return Groups(np.empty(0, np.intp), np.empty(0, np.intp))
        pairs = spatial.KDTree(self.centres).query_pairs(near, p=np.inf, output_type="ndarray")
        pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
        return Groups(pairs[:, 0], pairs[:, 1])

    def views(self, groups: Groups) -> Views:
        """What these groups see around each of their two defects when both are taken out."""
        own = groups.first, np.where(groups.paired, groups.second, NONE)
        kinds = self.kinds[groups.first], self.kinds[groups.second]
        centres = self.centres[groups.first], self.centres[groups.second]
        spots = (self.spot(kinds[0], centres[0], own), self.spot(kinds[1], centres[1], own))
        return Views(spots, self._between(kinds, centres[0] - centres[1]))

    def twice(self, kind: int, centres: Index, own: tuple[Index, Index]) -> Views:
        """What is seen around centres for two defects of a kind there, `own` ones taken out."""
        spot = self.spot(np.full(len(centres), kind), centres, own)
        here = np.array([kind])
        return Views((spot, spot), self._between((here, here), np.zeros((1, 2), np.intp)))

    def spot(self, kinds: Index, centres: Index, own: Sequence[Index]) -> Spot:
        """What is seen around centres when each one's `own` defects are taken out.

        A defect of a group lies within some pixels of its centre; `NONE` stands for none.
        """
        places = centres[:, None] + AROUND
        flat = self._flat(kinds, places)
        roots, reach = self._roots.ravel()[flat], self._shown.ravel()[flat]
        for numbers in own:
            kind, centre = self.kinds[numbers], self.centres[numbers]
            size = np.where(numbers == NONE, 0, self.sizes[numbers])
            size = size * self._roots[kind, centre[:, 0] + REACH, centre[:, 1] + REACH]
            toward = self._near((kinds, kind), centres - centre)
            toward *= size[:, None]
            toward *= roots
            reach += toward
        return Spot(kinds, places, reach, roots)

    def explained(self, groups: Groups, views: Views) -> Real:
        """What defects of groups explain where they are, `views` being theirs."""
        sizes = (self.sizes[groups.first], np.where(groups.paired, self.sizes[groups.second], 0))
        roots = [spot.roots[:, MIDDLE] for spot in views.spots]
        gain = -sizes[0] * sizes[1] * views.lags[:, BETWEEN[MIDDLE, MIDDLE]] * roots[0] * roots[1]
        for size, root, spot in zip(sizes, roots, views.spots, strict=True):
            gain += size * spot.reach[:, MIDDLE] - 0.5 * (size * root) ** 2
        return np.asarray(gain)

    def _flat(self, kinds: Index, places: Index) -> Index:
        rows, cols = self._shown.shape[1:]
        return np.asarray((kinds[:, None] * rows + places[..., 0] + REACH) * cols + places[..., 1] + REACH)

    def _between(self, kinds: tuple[Index, Index], lags: Index) -> Real:
        """Inner products of two kernels at all lags that moves of both lead to, (groups, lags)."""
        rows, cols = self._clipped(lags)
        return np.asarray(self._tables[kinds[0], kinds[1], rows, cols].reshape(len(rows), -1))

    def _near(self, kinds: tuple[Index, Index], lags: Index) -> Real:
        """The same at the lags that moves of the first lead to, (groups, places)."""
        rows, cols = (n + REACH for n in self._clipped(lags))
        return np.asarray(self._narrow[kinds[0], kinds[1], rows, cols].reshape(len(rows), -1))

    def _clipped(self, lags: Index) -> list[Index]:
        """Where lags stand in the tables, which are zero at their ends."""
        middle = [n // 2 for n in self._tables.shape[2:4]]
        return [np.clip(lags[:, axis] + middle[axis], 0, 2 * middle[axis]) for axis in range(2)]

    def replace(self, gone: Index, kinds: Index, places: Index, sizes: Real) -> None:
        """Take some defects out and put others in; `refresh` shows what that leaves."""
        kept = np.ones(len(self), bool)
        kept[gone] = False
        self.kinds = np.append(self.kinds[kept], kinds)
        self.rows = np.append(self.rows[kept], places[:, 0])
        self.cols = np.append(self.cols[kept], places[:, 1])
        self.sizes = np.append(self.sizes[kept], sizes.astype(self.sizes.dtype))

    def put(self, numbers: Index, places: Index, sizes: Real) -> None:
        """Move some defects and change their sizes; those of size zero wait for `tidy`."""
        self.rows[numbers], self.cols[numbers] = places.T
        self.sizes[numbers] = sizes

    def add(self, kinds: Index, places: Index, sizes: Real) -> None:
        """More defects."""
        self.replace(np.empty(0, np.intp), kinds, places, sizes)

    def tidy(self) -> None:
        """Leave out defects of size zero; several at one place are one; in the order of kinds and places."""
        there = np.flatnonzero(self.sizes)
        flat = np.ravel_multi_index((self.kinds[there], self.rows[there], self.cols[there]), self.shape)
        once, where = np.unique(flat, return_inverse=True)
        self.sizes = np.bincount(where, self.sizes[there], len(once)).astype(self.sizes.dtype)
        self.kinds, self.rows, self.cols = np.unravel_index(once, self.shape)


def apart(centres: Index, order: Index, groups: Groups, distance: int) -> Index:
    """Of groups in `order`, those that lie so far from all that were taken before."""
    cells = (centres // distance).tolist()
    where = centres.tolist()
    held: dict[tuple[int, int], list[list[int]]] = {}
    taken = []
    for number in order.tolist():
        members = {int(groups.first[number]), int(groups.second[number])}
        if not any(_meets(held, cells[n], where[n], distance) for n in members):
            taken.append(number)
            for n in members:
                held.setdefault((cells[n][0], cells[n][1]), []).append(where[n])
    return np.array(taken, np.intp)


def _meets(
    held: dict[tuple[int, int], list[list[int]]], cell: list[int], place: list[int], distance: int
) -> bool:
    """Whether a place is nearer than `distance` to one that is held in this cell or beside it."""
    for down, right in product((-1, 0, 1), repeat=2):
        for row, col in held.get((cell[0] + down, cell[1] + right), ()):
            if abs(row - place[0]) < distance and abs(col - place[1]) < distance:
                return True
    return False
