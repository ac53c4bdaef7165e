"""Activations beside each other: pieces of one defect come together, two defects stay."""

import numpy as np
import pytest

from napari_sbd.core.descent import Iterate
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.pieces import come_together
from napari_sbd.simulate import ldos_kernel

WINDOW = 15
PLACES = ((12, 15), (40, 30), (70, 64))


@pytest.fixture
def kernel():
    return ldos_kernel(WINDOW, -2.0)[None, None].astype(np.float32)


def field(kernel, activations, rng):
    """The objective of a field with these activations {place: amplitude}, and the map that holds them."""
    maps = np.zeros((1, 94, 94), np.float32)
    for place, amplitude in activations.items():
        maps[0, *place] = amplitude
    objective = Objective(np.zeros((1, 80, 80), np.float32), np.ones((1, 80, 80), bool), (WINDOW, WINDOW))
    shown = objective.left(kernel, maps)
    return objective.replaced(shown + rng.normal(0, 0.01, shown.shape).astype(np.float32)), maps


def test_a_defect_that_weights_hold_in_two_pieces_comes_together(kernel, rng):
    objective, maps = field(kernel, dict.fromkeys(PLACES, 1.0), rng)
    maps[0, 40, 30], maps[0, 40, 31] = 0.6, 0.4
    assert come_together(objective, Iterate(kernel, maps, np.inf), Penalty(0.05))


def test_two_defects_beside_each_other_stay(kernel, rng):
    objective, maps = field(kernel, dict.fromkeys((*PLACES, (42, 31)), 1.0), rng)
    assert not come_together(objective, Iterate(kernel, maps, np.inf), Penalty(0.05))


def test_where_no_activation_is_near_another_nothing_is_solved(kernel, rng, monkeypatch):
    objective, maps = field(kernel, dict.fromkeys(PLACES, 1.0), rng)
    monkeypatch.setattr("napari_sbd.core.pieces.solve_amplitudes", None)
    assert not come_together(objective, Iterate(kernel, maps, np.inf), Penalty(0.05))
