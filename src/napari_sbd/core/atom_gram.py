"""Gram matrix of atoms between pixels and of their slopes along rows and columns."""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from napari_sbd.core.sites import FEW, Hidden
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
    values = _values(model, basis, offsets)
    parts = basis.reshape(PARTS, model.types, *basis.shape[1:])
    means = np.concatenate([model.sums(part) for part in parts])
    where = (np.arange(PARTS)[:, None] * number + hidden.numbers).ravel()
    if PARTS * number <= DENSE:
        full = _full(model, values)
        full[np.ix_(where, where)] -= _lost(hidden, parts, kinds)
        full -= means @ means.T
        return Gram(full, None)
    unseen = sparse.vstack([hidden.atoms(part, kinds) for part in parts]).tocsr()
    lost = (unseen @ unseen.T.tocsr()).tocoo()
    there = (where[lost.row], where[lost.col])
    shape = (PARTS * number,) * 2
    whole = sparse.bmat(_blocks(model, values))
    return Gram((whole - sparse.csr_matrix((lost.data, there), shape)).tocsr(), means)


def _lost(hidden: Hidden, parts: Real, kinds: NDArray[np.intp]) -> Real:
    """Inner products of what is hidden of all parts, a full array."""
    if (PARTS * len(hidden.numbers)) ** 2 * hidden.size <= FEW:
        painted = np.concatenate([hidden.painted(part, kinds) for part in parts])
        return np.asarray(painted @ painted.T)
    unseen = sparse.vstack([hidden.atoms(part, kinds) for part in parts]).tocsr()
    return np.asarray((unseen @ unseen.T.tocsr()).toarray())


def _full(model: SupportModel, values: dict[tuple[int, int], Real]) -> Real:
    """Inner products of pairs as a full array."""
    number, (first, second) = len(model.sites), (model.pairs.first, model.pairs.second)
    full = np.zeros((PARTS, number, PARTS, number), values[0, 0].dtype)
    for (i, j), own in values.items():
        full[i, first, j, second] = full[j, second, i, first] = own
    return full.reshape(PARTS * number, PARTS * number)


def _blocks(model: SupportModel, values: dict[tuple[int, int], Real]) -> list[list[sparse.csr_matrix]]:
    """Inner products of pairs as sparse matrices, by parts."""
    bounds = model.pairs.bounds
    shape = (len(model.sites),) * 2
    rows: list[list[sparse.csr_matrix]] = [[] for _ in range(PARTS)]
    for i in range(PARTS):
        rows[i] += [rows[j][i].T.tocsr() for j in range(i)]
        for j in range(i, PARTS):
            rows[i].append(sparse.csr_matrix((values[i, j], model.pairs.second, bounds), shape=shape))
    return rows


def _values(model: SupportModel, basis: Real, offsets: Real) -> dict[tuple[int, int], Real]:
    """Inner products of whole atoms for all pairs, by parts i ≤ j; those of j with i are turned over."""
    types, pairs = model.types, model.pairs
    tables = correlations(basis)
    pick = model.sites.kinds[pairs.first] * types + model.sites.kinds[pairs.second]
    shape = tables.shape[2:]
    if between := bool(offsets.any()):
        places = np.array(np.divmod(pairs.lag, shape[1]), float)
        places += (offsets[pairs.first] - offsets[pairs.second]).T
        # The coefficients of the splines, of all tables at once.
        coefficients = ndimage.spline_filter1d(ndimage.spline_filter1d(tables, axis=2), axis=3)
        tables, dtype = coefficients, tables.dtype
    tables = tables.reshape(PARTS, types, PARTS, types, *shape)
    values: dict[tuple[int, int], Real] = {}
    for i, j in combinations_with_replacement(range(PARTS), 2):
        own = tables[i, :, j].reshape(-1, *shape)
        if between:
            values[i, j] = _read(own, pick, places).astype(dtype)
        else:
            values[i, j] = own.reshape(-1)[pick * own[0].size + pairs.lag]
    return values


def _read(coefficients: Real, pick: NDArray[np.intp], places: Real) -> Real:
    """Values of splines (n, rows, cols), of those picked, between their places."""
    if len(coefficients) == 1:
        return np.asarray(ndimage.map_coordinates(coefficients[0], places, prefilter=False))
    values = np.empty(len(pick))
    for number in np.unique(pick):
        here = pick == number
        values[here] = ndimage.map_coordinates(coefficients[number], places[:, here], prefilter=False)
    return values
