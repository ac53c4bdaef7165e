"""Positions between pixels: pairs that overlap almost wholly are told apart without running away."""

import numpy as np
import pytest

from napari_sbd.core.atoms import Atoms, fit_atoms
from napari_sbd.core.objective import Objective, misfit

GAP = 1.5  # px between the two of a pair
WINDOW, SIDE = 15, 120


@pytest.fixture
def kernel():
    """A smooth kernel (1, 1, 15, 15) of unit norm, much wider than the pairs' gap."""
    rows, cols = np.mgrid[:WINDOW, :WINDOW] - 7.0
    bell = np.exp(-(rows**2 + cols**2) / 8)
    return (bell / np.linalg.norm(bell))[None, None]


def left(objective, kernel, atoms):
    """Model less image of atoms between pixels."""
    return objective.left(kernel, atoms.maps(1, objective.convolution.map_shape, float))


@pytest.mark.parametrize("seed", [9, 12, 25])
def test_amplitudes_of_pairs_go_with_their_places(kernel, seed):
    first = np.array([[27.0 + 20 * i, 27.0 + 20 * j] for i in range(5) for j in range(5)])
    kinds = np.zeros(50, int)
    true = Atoms(np.concatenate([first, first + np.array([0, GAP])]), np.ones(50), kinds)
    empty = Objective(np.zeros((1, SIDE, SIDE)), np.ones((1, SIDE, SIDE), bool), (WINDOW, WINDOW))
    noise = np.random.default_rng(seed).normal(0, 0.02, (1, SIDE, SIDE))
    objective = empty.replaced(left(empty, kernel, true) + noise)
    begin = Atoms(np.rint(true.centres), np.ones(50), kinds)
    fitted = fit_atoms(objective, kernel, begin)
    assert misfit(left(objective, kernel, fitted)) < 0.92 * misfit(left(objective, kernel, begin))
    # Moves cut short while the amplitudes that belong to them were not made 3 and more of 1 here.
    assert np.abs(fitted.amplitudes - 1).max() < 1.5
