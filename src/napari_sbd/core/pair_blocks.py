"""Inner products of many atoms between pixels, and of their slopes, as blocks of pairs that overlap."""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse, spatial

from napari_sbd.core.support_model import correlations

Real = NDArray[np.floating]


class PairBlocks:
    """Gram matrix of atoms and of their slopes along rows and columns, 3n by 3n, a block for each pair.

    What the mask hides of an atom counts by its share. Vectors hold all amplitudes, then moves along rows,
    then along columns.

    Parameters
    ----------
    basis : array (3 types, slices, k1, k2)
        Kernels, and minus their derivatives along rows and columns.
    centres : array (n, 2)
    kinds : array (n,)
    roots : array (n,)
        Norm of what is seen of each atom.

    Examples
    --------
    >>> basis = np.ones((3, 1, 3, 3), np.float32)
    >>> far = PairBlocks(basis, np.array([[0.0, 0], [9, 9]]), np.zeros(2, int), np.ones(2))
    >>> (far @ np.array([1.0, 0, 0, 0, 0, 0])).tolist()
    [9.0, 0.0, 9.0, 0.0, 9.0, 0.0]
    """

    def __init__(self, basis: Real, centres: Real, kinds: NDArray[np.intp], roots: Real) -> None:
        window, number = basis.shape[-2:], len(kinds)
        self.roots = roots
        near = spatial.KDTree(centres / window).query_pairs(1.0, p=np.inf, output_type="ndarray")
        first, second = near.T
        itself = np.arange(number)
        values = _blocks(basis, centres[first] - centres[second], kinds[first], kinds[second])
        own = _blocks(basis, np.zeros((number, 2)), kinds, kinds)
        rows, columns = np.concatenate([itself, first, second]), np.concatenate([itself, second, first])
        order = np.argsort(rows, kind="stable")
        bounds = np.concatenate([[0], np.bincount(rows, minlength=number).cumsum()])
        blocks = np.concatenate([own, values, values.transpose(0, 2, 1)])[order]
        self.matrix = sparse.bsr_matrix((blocks, columns[order], bounds), shape=(3 * number, 3 * number))

    def __matmul__(self, values: Real) -> Real:
        ordered = (values.reshape(3, -1) * self.roots).T.ravel()
        return np.asarray(((self.matrix @ ordered).reshape(-1, 3).T * self.roots).ravel())


def _blocks(basis: Real, lags: Real, first: NDArray[np.intp], second: NDArray[np.intp]) -> Real:
    """Blocks (pairs, 3, 3) of pairs of atoms, by their lag and kinds."""
    types, middle = len(basis) // 3, np.array(basis.shape[-2:]) - 1
    tables = correlations(basis)
    blocks = np.empty((len(lags), 3, 3), basis.dtype)
    places = (lags + middle).T
    for one, other in product(range(types), repeat=2):
        here = slice(None) if types == 1 else np.flatnonzero((first == one) & (second == other))
        for down, right in product(range(3), repeat=2):
            table = tables[down * types + one, right * types + other]
            blocks[here, down, right] = ndimage.map_coordinates(table, places[:, here], basis.dtype, order=3)
    return blocks
