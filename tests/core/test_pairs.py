"""Pairs of sites whose patches overlap are the same, however they are found."""

import numpy as np
import pytest

from napari_sbd.core import pairs
from napari_sbd.core.sites import Sites

WINDOW = (7, 11)


def tried(sites):
    """All pairs less than a window apart, by trying all, with their lags."""
    down, right = (np.subtract.outer(at, at) for at in (sites.rows, sites.cols))
    near = np.argwhere((np.abs(down) < WINDOW[0]) & (np.abs(right) < WINDOW[1]))
    return {(i, j): (down[i, j] + 6) * 21 + right[i, j] + 10 for i, j in near.tolist()}


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("types", [1, 2])
def test_in_cells_as_by_trying_all(rng, shuffled, types):
    sites = Sites.of(rng.random((types, 60, 70)) < 0.05)
    sites = sites.chosen(rng.permutation(len(sites))) if shuffled else sites
    assert len(sites) > pairs.FEW
    found = pairs.overlapping(sites, WINDOW)
    assert found.first.tolist() == np.repeat(np.arange(len(sites)), np.diff(found.bounds)).tolist()
    numbers = zip(found.first.tolist(), found.second.tolist(), strict=True)
    assert dict(zip(numbers, found.lag.tolist(), strict=True)) == tried(sites)
    assert len(found.first) == len(tried(sites))
