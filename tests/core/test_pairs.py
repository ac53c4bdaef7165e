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


@pytest.mark.parametrize("most", [0, pairs.MOST_TRIED])
@pytest.mark.parametrize("types", [1, 2])
def test_in_bands_and_in_a_tree_as_by_trying_all(rng, monkeypatch, most, types):
    monkeypatch.setattr(pairs, "MOST_TRIED", most)
    sites = Sites.of(rng.random((types, 60, 70)) < 0.05)
    assert len(sites) > pairs.FEW
    found = pairs.overlapping(sites, WINDOW)
    assert np.all(np.diff(found.first) >= 0)
    numbers = zip(found.first.tolist(), found.second.tolist(), strict=True)
    assert dict(zip(numbers, found.lag.tolist(), strict=True)) == tried(sites)
    assert len(found.first) == len(tried(sites))
