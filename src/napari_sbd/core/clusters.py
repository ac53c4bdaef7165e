"""Clusters of defects: a window that is too small composes one signature of several that stand together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, spatial

from napari_sbd.core.peaks import Peaks
from napari_sbd.core.verdict import strong_peaks

Real = NDArray[np.floating]

FEWEST = 4  # defects, to tell clusters from chance
BEYOND_CHANCE = 5.0  # deviations, by which close pairs must outnumber those of random places
IN_CLUSTERS = 0.5  # share of defects in a cluster, from which that is no exception
EXTENT_PERCENTILE = 75  # of the clusters' extents


def extent_of_clusters(peaks: list[Peaks], window: tuple[int, int], places: int) -> tuple[int, int] | None:
    """Extent (rows, cols) in px of the clusters that most defects stand in; None where they do not.

    Parameters
    ----------
    peaks : list of Peaks
        Candidates of each type.
    window : tuple of int
        Window of the kernels: defects are near within half of it.
    places : int
        Pixels of the image that count.

    Examples
    --------
    >>> apart = np.array([[20, 20], [20, 80], [50, 50], [80, 20], [80, 80], [50, 10], [10, 50], [90, 50]])
    >>> pairs = np.concatenate([apart, apart + [3, 4]])
    >>> extent_of_clusters([Peaks(pairs, np.ones(16))], (11, 11), 200**2)
    (3, 4)
    >>> extent_of_clusters([Peaks(apart, np.ones(8))], (11, 11), 100**2) is None
    True
    """
    centres = np.concatenate([strong_peaks(p).centres for p in peaks])
    number, half = len(centres), [k // 2 for k in window]
    if number < FEWEST:
        return None
    pairs = spatial.KDTree(centres / half).query_pairs(1.0, p=np.inf, output_type="ndarray")
    by_chance = number * (number - 1) / 2 * float(np.prod([2 * h + 1 for h in half])) / places
    if len(pairs) <= by_chance + BEYOND_CHANCE * np.sqrt(by_chance + 1):
        return None
    links = sparse.coo_array((np.ones(len(pairs)), tuple(pairs.T)), (number, number))
    _, cluster = sparse.csgraph.connected_components(links, directed=False)
    extents = [np.ptp(centres[cluster == c], axis=0) for c in np.flatnonzero(np.bincount(cluster) > 1)]
    if np.mean(np.bincount(cluster)[cluster] > 1) < IN_CLUSTERS:
        return None
    rows, cols = np.rint(np.percentile(extents, EXTENT_PERCENTILE, axis=0)).astype(int)
    return int(rows), int(cols)
