"""Sorting: defects put into types by what the image shows around them, all kernels at once.

One kernel that suits several types is their mixture, and what it leaves of them corrects it. But what the
image shows at its defects, less their neighbours, differs by type.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from scipy.sparse.linalg import svds

from napari_sbd.core.atoms import atoms_of
from napari_sbd.core.descent import Iterate
from napari_sbd.core.kernel_fit import fit_kernels
from napari_sbd.core.noise import median
from napari_sbd.core.objective import Objective
from napari_sbd.core.peaks import WEAKEST
from napari_sbd.core.verdict import FEWEST_DEFECTS

Real = NDArray[np.floating]
Index = NDArray[np.intp]

COMPONENTS = 4  # of the looks, by which they are grouped at first
TRIALS = 4  # of grouping, from other beginnings
GROUPING = 30  # rounds
SORTINGS, SETTLED = 12, 0.01  # rounds, at most, and share of the defects below which they end
LEAST = 0.01  # of the typical amplitude


@dataclass(frozen=True)
class Sorted:
    """Defects on pixels of an extended map: places (n, 2), amplitudes (n,), and the type of each (n,)."""

    places: Index
    amplitudes: Real
    kinds: Index

    def maps(self, types: int, like: Real) -> Real:
        """Extended maps of so many types, in the shape and precision of other maps."""
        maps = np.zeros((types, *like.shape[1:]), like.dtype)
        np.add.at(maps, (self.kinds, *self.places.T), self.amplitudes.astype(like.dtype))
        return maps


def strong_defects(found: Iterate) -> Sorted:
    """The defects of maps on pixels, without those that are weak against the median of their type."""
    atoms = atoms_of(found)
    size, strong = np.abs(atoms.amplitudes), np.zeros(len(atoms.kinds), bool)
    for kind in np.unique(atoms.kinds):
        own = atoms.kinds == kind
        strong[own] = size[own] >= WEAKEST * median(size[own])
    places = np.rint(atoms.centres[strong]).astype(np.intp)
    return Sorted(places, atoms.amplitudes[strong], atoms.kinds[strong])


def sort_by_looks(
    objective: Objective, found: Iterate, defects: Sorted, types: int, nonnegative: bool, seed: int
) -> Iterate | None:
    """Kernels and maps of so many types; None where there are too few defects for that.

    Looks are grouped (principal components, k-means); then kernels by least squares for the groups, and each
    defect to the kernel that explains most of it, by turns.

    Parameters
    ----------
    objective : Objective
    found : Iterate
        Of one type, that may be a mixture.
    defects : Sorted
        All of one type.
    types : int
    nonnegative : bool
        Whether amplitudes must be.
    seed : int
        Of the grouping.
    """
    if len(defects.amplitudes) < types * FEWEST_DEFECTS:
        return None
    groups = _groups_of(objective, found, defects, types, seed)
    if groups is None:
        return None
    return _by_turns(objective, replace(defects, kinds=groups), types, found.maps, nonnegative)


def split_by_looks(
    objective: Objective, found: Iterate, defects: Sorted, kind: int, nonnegative: bool, seed: int
) -> Iterate | None:
    """Kernels and maps of one type more, the last, for one whose defects are of two; None as above.

    Parameters
    ----------
    objective : Objective
    found : Iterate
    defects : Sorted
        Of all types.
    kind : int
        The type that is split.
    nonnegative : bool
        Whether amplitudes must be.
    seed : int
        Of the grouping.
    """
    own, types = np.flatnonzero(defects.kinds == kind), len(found.kernels) + 1
    if len(own) < 2 * FEWEST_DEFECTS:
        return None
    groups = _groups_of(objective, found, defects, 2, seed, own)
    if groups is None:
        return None
    kinds = defects.kinds.copy()
    kinds[own[groups == 1]] = types - 1
    return _by_turns(objective, replace(defects, kinds=kinds), types, found.maps, nonnegative)


def _groups_of(
    objective: Objective,
    found: Iterate,
    defects: Sorted,
    types: int,
    seed: int,
    which: Index | slice = slice(None),
) -> Index | None:
    """Groups of some defects by their looks."""
    looks = _looks(objective, found.kernels, defects, found.maps)[which]
    return _grouped(looks / defects.amplitudes[which][:, None, None, None], types, seed)


def _by_turns(
    objective: Objective, defects: Sorted, types: int, like: Real, nonnegative: bool
) -> Iterate | None:
    """Kernels for the groups, and groups for the kernels; None where a type is left all but empty."""
    settled = False
    for turn in range(SORTINGS + 1):
        maps = defects.maps(types, like)
        if min(np.count_nonzero(m) for m in maps) < FEWEST_DEFECTS:
            return None
        fitted = fit_kernels(objective, maps)
        if settled or turn == SORTINGS:
            break
        scaled = replace(defects, amplitudes=fitted.maps[defects.kinds, *defects.places.T].astype(float))
        before, defects = defects.kinds, _sorted(objective, fitted, scaled, nonnegative)
        settled = types == 1 or np.mean(before != defects.kinds) <= SETTLED
    return fitted


def _looks(objective: Objective, kernels: Real, defects: Sorted, like: Real) -> Real:
    """What the image shows of each defect (n, slices, k1, k2): itself, and what the model leaves there."""
    rest = -objective.left(kernels, defects.maps(len(kernels), like))
    k1, k2 = objective.convolution.kernel_shape
    around = np.pad(rest, [(0, 0), (k1 - 1, k1 - 1), (k2 - 1, k2 - 1)])
    views = sliding_window_view(around, (k1, k2), axis=(1, 2))
    patches = np.moveaxis(views[:, defects.places[:, 0], defects.places[:, 1]], 0, 1)
    return np.asarray(patches + defects.amplitudes[:, None, None, None] * kernels[defects.kinds])


def _grouped(looks: Real, types: int, seed: int) -> Index | None:
    """Group of each look, of the trial whose groups are the most compact; None where all leave one empty."""
    if types == 1:
        return np.zeros(len(looks), np.intp)
    flat = looks.reshape(len(looks), -1).astype(float)
    flat -= flat.mean(0)
    number = min(COMPONENTS, len(flat) - 1)
    left, values, _ = svds(flat, k=number, v0=np.ones(min(flat.shape)))
    points, rng = left * values, np.random.default_rng(seed)
    best, least = None, np.inf
    for _ in range(TRIALS):
        centres, groups = kmeans2(points, types, iter=GROUPING, minit="++", missing="warn", rng=rng)
        spread = float(np.square(points - centres[groups]).sum())
        if spread < least and np.bincount(groups, minlength=types).min() >= FEWEST_DEFECTS:
            best, least = groups.astype(np.intp), spread
    return best


def _sorted(objective: Objective, fitted: Iterate, defects: Sorted, nonnegative: bool) -> Sorted:
    """Each defect with the kernel that explains most of its look, and the amplitude that it has then."""
    looks = _looks(objective, fitted.kernels, defects, fitted.maps)
    reach = np.tensordot(looks, fitted.kernels, axes=((1, 2, 3), (1, 2, 3)))
    kinds = np.argmax(reach if nonnegative else np.abs(reach), axis=1)
    amplitudes = reach[np.arange(len(kinds)), kinds]
    least = LEAST * np.median(np.abs(defects.amplitudes))
    if nonnegative:
        amplitudes = np.maximum(amplitudes, least)
    return Sorted(defects.places, amplitudes, kinds)
