"""Positions between pixels: pairs that overlap almost wholly are told apart without running away."""

import numpy as np
import pytest

from napari_sbd.core.atoms import Atoms, Tether, fit_atoms
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


def test_a_close_pair_that_noise_would_part_stays_where_it_is_seen(kernel):
    first = np.array([[27.0 + 20 * i, 27.0 + 20 * j] for i in range(5) for j in range(5)])
    kinds = np.zeros(50, int)
    true = Atoms(np.concatenate([first, first + np.array([0, GAP])]), np.ones(50), kinds)
    empty = Objective(np.zeros((1, SIDE, SIDE)), np.ones((1, SIDE, SIDE), bool), (WINDOW, WINDOW))
    noise = np.random.default_rng(0).normal(0, 0.25, (1, SIDE, SIDE))
    objective = empty.replaced(left(empty, kernel, true) + noise)
    begin = Atoms(np.rint(true.centres), np.ones(50), kinds)
    far = {
        room: np.linalg.norm(fit_atoms(objective, kernel, begin, room=room).centres - true.centres, axis=1)
        for room in (np.inf, 0.5)
    }
    assert np.count_nonzero(far[0.5] > 1) < 0.5 * np.count_nonzero(far[np.inf] > 1)
    assert np.sqrt(np.mean(far[0.5] ** 2)) < 0.8 * np.sqrt(np.mean(far[np.inf] ** 2))


def test_one_that_stands_apart_is_moved_as_far_as_the_image_says(kernel):
    true = Atoms(np.array([[27.3, 27.4], [60.45, 61.3], [88.2, 30.6]]), np.ones(3), np.zeros(3, int))
    empty = Objective(np.zeros((1, SIDE, SIDE)), np.ones((1, SIDE, SIDE), bool), (WINDOW, WINDOW))
    noise = np.random.default_rng(1).normal(0, 0.01, (1, SIDE, SIDE))
    objective = empty.replaced(left(empty, kernel, true) + noise)
    begin = Atoms(np.rint(true.centres), np.ones(3), np.zeros(3, int))
    free, held = (fit_atoms(objective, kernel, begin, 1e-4, room=room) for room in (np.inf, 0.5))
    np.testing.assert_allclose(held.centres, free.centres, atol=0.01)
    np.testing.assert_allclose(held.centres, true.centres, atol=0.1)


def test_what_holds_atoms_has_the_slope_and_the_stiffness_of_its_cost():
    rng = np.random.default_rng(2)
    tether = Tether(rng.normal(size=(4, 2)), 0.5, noise=0.3)
    here = Atoms(tether.begin + rng.normal(size=(4, 2)), rng.uniform(0.5, 2, 4), np.zeros(4, int))
    way = rng.normal(size=(2, 4))
    costs = [
        tether.cost(Atoms(here.centres + t * (way / here.amplitudes).T, here.amplitudes, here.kinds))
        for t in (-1e-3, 0.0, 1e-3)
    ]
    slope = float((tether.slope(here)[1:] * way).sum())
    curvature = float((tether.stiffness(here)[1:] * way**2).sum())
    assert (costs[2] - costs[0]) / 2e-3 == pytest.approx(slope, rel=1e-6)
    assert (costs[2] - 2 * costs[1] + costs[0]) / 1e-6 == pytest.approx(curvature, rel=1e-4)
