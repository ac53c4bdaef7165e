"""Activations that may be pieces of one defect: whether they come together where no weights hold them."""

from __future__ import annotations

import numpy as np

from napari_sbd.core.amplitudes import solve_amplitudes
from napari_sbd.core.descent import Iterate
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.sites import Sites
from napari_sbd.core.stages import reweighting
from napari_sbd.core.support_model import SupportModel

REACH = 3  # px, within which two activations may be one defect


def come_together(objective: Objective, found: Iterate, penalty: Penalty) -> bool:
    """Whether the support changes where close activations, and places beside them, are solved anew.

    Without weights first, from which those of another solution follow, for kernels that stay. What stands
    alone, or comes back as it was, needs no other look at the image.

    Parameters
    ----------
    objective : Objective
    found : Iterate
        With the weights of rounds of reweighting.
    penalty : Penalty
        Without weights.
    """
    sites = found.sites
    close = _close(objective.model_of(sites, len(found.kernels)))
    if not len(close):
        return False
    room = _with_neighbours(sites, close, found)
    model = SupportModel(objective.field, room, len(found.kernels))
    reach, gram = model.reach(found.kernels), model.gram(found.kernels)
    before = here = room.read(found.maps)
    for weights in (None, reweighting):
        seen = penalty
        if weights is not None:
            seen = weights(objective, Iterate(found.kernels, room.write(here, found.maps), np.inf), penalty)
        price = seen.lam * (np.ones_like(here) if seen.weights is None else room.read(seen.weights))
        here = solve_amplitudes(gram, reach, price.astype(here.dtype), here, penalty.nonnegative)
    return not np.array_equal(before != 0, here != 0)


def _close(model: SupportModel) -> np.ndarray:
    """Numbers of the sites that have another within reach."""
    (k1, k2), pairs = model.field.window, model.pairs
    down, right = np.divmod(pairs.lag, 2 * k2 - 1)
    near = (np.abs(down - k1 + 1) <= REACH) & (np.abs(right - k2 + 1) <= REACH)
    return np.unique(pairs.first[near & (pairs.first != pairs.second)])


def _with_neighbours(sites: Sites, close: np.ndarray, found: Iterate) -> Sites:
    """All sites, and the eight places around those that are close to another."""
    room = found.maps != 0
    rows, cols = room.shape[1:]
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            there = np.clip(sites.rows[close] + down, 0, rows - 1)
            room[sites.kinds[close], there, np.clip(sites.cols[close] + right, 0, cols - 1)] = True
    return Sites.of(room)
