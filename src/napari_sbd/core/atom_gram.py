"""Gram matrix of atoms between pixels and of their slopes along rows and columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from napari_sbd.core.support_model import DENSE, Gram, SupportModel, correlations

Real = NDArray[np.floating]

PARTS = 3  # an atom, and its slopes along rows and columns


def gram_with_slopes(model: SupportModel, basis: Real, offsets: Real) -> Gram:
    """Inner products of the model's atoms and slopes as far as they are seen, less their means.

    Parameters
    ----------
    model : SupportModel
        Of the n pixels nearest to the atoms.
    basis : array (3 · types, slices, k1, k2)
        Kernels, their slopes along rows, and those along columns.
    offsets : array (n, 2)
        Pixels by which atoms lie off their sites; what of them is hidden is taken from the sites.

    Returns
    -------
    gram : Gram
        Of 3 n: atoms, slopes along rows, slopes along columns.
    """
    number, hidden, kinds = len(model.sites), model.hidden, model.sites.kinds
    blocks = _blocks(model, basis, offsets)
    parts = basis.reshape(PARTS, model.types, *basis.shape[1:])
    unseen = sparse.vstack([hidden.atoms(part, kinds) for part in parts]).tocsr()
    means = np.concatenate([model.sums(part) for part in parts])
    where = (np.arange(PARTS)[:, None] * number + hidden.numbers).ravel()
    lost = unseen @ unseen.T.tocsr()
    if PARTS * number <= DENSE:
        full = sparse.bmat(blocks).toarray()
        full[np.ix_(where, where)] -= lost.toarray()
        full -= means @ means.T
        return Gram(full, None)
    lost = lost.tocoo()
    there = (where[lost.row], where[lost.col])
    shape = (PARTS * number,) * 2
    return Gram((sparse.bmat(blocks) - sparse.csr_matrix((lost.data, there), shape)).tocsr(), means)


def _blocks(model: SupportModel, basis: Real, offsets: Real) -> list[list[sparse.csr_matrix]]:
    """Inner products of whole atoms, by parts; those of part i with j are those of j with i turned over."""
    types, pairs = model.types, model.pairs
    tables = correlations(basis)
    places = np.array(np.divmod(pairs.lag, tables.shape[-1]), float)
    places += (offsets[pairs.first] - offsets[pairs.second]).T
    bounds = np.searchsorted(pairs.first, np.arange(len(model.sites) + 1))
    shape = (len(model.sites),) * 2
    tables = tables.reshape(PARTS, types, PARTS, types, *tables.shape[2:])
    pick = model.sites.kinds[pairs.first] * types + model.sites.kinds[pairs.second]
    between = bool(offsets.any())
    rows: list[list[sparse.csr_matrix]] = [[] for _ in range(PARTS)]
    for i in range(PARTS):
        rows[i] += [rows[j][i].T.tocsr() for j in range(i)]
        for j in range(i, PARTS):
            own = tables[i, :, j].reshape(-1, *tables.shape[-2:])
            values = _read(own, pick, places) if between else own.reshape(-1)[pick * own[0].size + pairs.lag]
            rows[i].append(sparse.csr_matrix((values, pairs.second, bounds), shape=shape))
    return rows


def _read(tables: Real, pick: NDArray[np.intp], places: Real) -> Real:
    """Values of tables (n, rows, cols), of those picked, between their places."""
    values = np.empty(len(pick), tables.dtype)
    for number in np.unique(pick):
        here = pick == number
        values[here] = ndimage.map_coordinates(tables[number], places[:, here], order=3)
    return values
