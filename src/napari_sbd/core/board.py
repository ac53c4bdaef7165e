"""Board: defects on pixels, what they leave of the image, and what any of them would find elsewhere.

Everything is read from the residual's correlation with the kernels and from the kernels' correlations with
each other; only `refresh` touches pixels. What the mask or the frame cuts off an atom counts by its share.
"""

from __future__ import annotations

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

Real = NDArray[np.floating]
Index = NDArray[np.intp]

REACH = 2  # px, how far a defect may move at a time
AROUND = np.array(list(product(range(-REACH, REACH + 1), repeat=2)))
MIDDLE = len(AROUND) // 2
# For each move of one defect and each of another, the number of the lag that this adds to theirs.
BETWEEN = (AROUND[:, None] - AROUND + 2 * REACH) @ [4 * REACH + 1, 1]
WHOLE = 1 - 5e-4  # root of the squared norm of an atom that is seen whole


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
class Views:
    """What groups see with their own defects taken out, at the places around each of two centres.

    Attributes
    ----------
    kinds : two arrays (groups,)
    places : two arrays (groups, places, 2)
    reach : two arrays (groups, places)
        Correlation of the atom at each place with the image less all other defects.
    norms : two arrays (groups, places)
        Squared norms of the atoms there, as far as they are seen.
    cross : array (groups, places, places)
        Their inner products.
    """

    kinds: tuple[Index, Index]
    places: tuple[Index, Index]
    reach: tuple[Real, Real]
    norms: tuple[Real, Real]
    cross: Real


class Board:
    """Defects at pixels (kinds, rows, cols) with their sizes, for kernels that stay.

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
        edge = ((0, 0), (REACH, REACH), (REACH, REACH))
        self._norms: Real = np.pad(objective.visible_share(found.kernels), edge)
        self._roots = np.sqrt(self._norms)
        self._shown: Real = np.zeros(self._norms.shape, found.kernels.dtype)
        far = 2 * 2 * REACH + 1
        table = np.pad(correlations(found.kernels), ((0, 0), (0, 0), (far, far), (far, far)))
        self._tables = sliding_window_view(table, (4 * REACH + 1, 4 * REACH + 1), axis=(2, 3))
        self._data = objective.correlation(found.kernels)
        self.refresh()

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
        if objective.in_one_piece:
            residual, _ = objective.residual(self._spectra, model.map_spectra(self.maps()))
            np.negative(model.correlate_kernels(self._spectra, residual), out=inside)
            return
        for tile, _, slope in objective.slopes(self.kernels, self.maps()):
            inside[:, tile.rows, tile.cols] = slope

    @cached_property
    def _spectra(self) -> Complex:
        return self.objective.convolution.kernel_spectra(self.kernels)

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
        """What these groups see around each of their two defects."""
        kinds = (self.kinds[groups.first], self.kinds[groups.second])
        corners = (self.centres[groups.first], self.centres[groups.second])
        return self.around(kinds, corners, groups)

    def around(self, kinds: tuple[Index, Index], centres: tuple[Index, Index], own: Groups) -> Views:
        """What is seen around two centres of each group when its `own` defects, if any, are taken out.

        A defect of a group lies within reach of its centre; -1 stands for none.
        """
        places = (centres[0][:, None] + AROUND, centres[1][:, None] + AROUND)
        flat = [self._flat(kinds[n], places[n]) for n in range(2)]
        roots = [self._roots.ravel()[f] for f in flat]
        reach = [self._shown.ravel()[f] for f in flat]
        for number, numbers in enumerate((own.first, own.second)):
            there = numbers >= 0
            if number:
                there = there & own.paired
            size = np.where(there, self.sizes[numbers], 0)
            kind, centre = self.kinds[numbers], self.centres[numbers]
            size = size * self._roots[kind, centre[:, 0] + REACH, centre[:, 1] + REACH]
            for n in range(2):
                toward = self._between((kinds[n], kind), centres[n] - centre)[:, BETWEEN[:, MIDDLE]]
                toward *= size[:, None]
                toward *= roots[n]
                reach[n] += toward
        cross = self._between(kinds, centres[0] - centres[1])[:, BETWEEN]
        if min(float(root.min(initial=1)) for root in roots) < WHOLE:
            cross *= roots[0][:, :, None]
            cross *= roots[1][:, None]
        return Views(kinds, places, (reach[0], reach[1]), (np.square(roots[0]), np.square(roots[1])), cross)

    def explained(self, groups: Groups, views: Views) -> Real:
        """What defects of groups explain where they are, `views` being theirs."""
        sizes = (self.sizes[groups.first], np.where(groups.paired, self.sizes[groups.second], 0))
        gain = -sizes[0] * sizes[1] * views.cross[:, MIDDLE, MIDDLE]
        for size, reach, norms in zip(sizes, views.reach, views.norms, strict=True):
            gain += size * reach[:, MIDDLE] - 0.5 * size**2 * norms[:, MIDDLE]
        return np.asarray(gain)

    def _flat(self, kinds: Index, places: Index) -> Index:
        rows, cols = self._shown.shape[1:]
        return np.asarray((kinds[:, None] * rows + places[..., 0] + REACH) * cols + places[..., 1] + REACH)

    def _between(self, kinds: tuple[Index, Index], lags: Index) -> Real:
        """Inner products of two kernels at all lags that moves of both lead to, (groups, lags)."""
        tables = self._tables
        middle = [n // 2 for n in tables.shape[2:4]]
        rows, cols = (np.clip(lags[:, axis] + middle[axis], 0, 2 * middle[axis]) for axis in range(2))
        return np.asarray(tables[kinds[0], kinds[1], rows, cols].reshape(len(rows), -1))

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
        """Leave out defects of size zero; several at one place are one."""
        there = self.sizes != 0
        self.state = (self.kinds[there], self.rows[there], self.cols[there], self.sizes[there])
        self._merge()

    def _merge(self) -> None:
        """Defects of one kind at one place are one."""
        flat = np.ravel_multi_index((self.kinds, self.rows, self.cols), self.shape)
        once, where = np.unique(flat, return_inverse=True)
        if len(once) < len(flat):
            dtype = self.sizes.dtype
            self.sizes = np.bincount(where, self.sizes, len(once)).astype(dtype)
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
