"""Correlations that follow amplitudes are those that going through the image again gives."""

import numpy as np
import pytest

from napari_sbd.core.held_slopes import HeldSlopes
from napari_sbd.core.objective import Objective
from napari_sbd.core.tiles import Active


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize(("types", "slices"), [(1, 1), (2, 3)])
def test_they_follow_amplitudes_inside_at_the_border_and_in_holes(rng, types, slices, holes):
    mask = np.ones((slices, 30, 26), bool)
    if holes:
        mask[:, 9:13, 4:9] = False
        mask[-1, 20] = False
    objective = Objective(rng.standard_normal(mask.shape), mask, (7, 5))
    kernels = rng.standard_normal((types, slices, 7, 5))
    shape = (types, *objective.convolution.map_shape)
    before, after = (np.where(rng.random(shape) < 0.05, rng.standard_normal(shape), 0) for _ in range(2))
    held = HeldSlopes(objective, kernels, Active.of(before))
    held.follow(Active.of(after))
    (_, _, expected), *_ = objective.slopes(kernels, after)
    largest = np.abs(expected).max()
    # Changes of the bias that are far below any amplitude may wait.
    np.testing.assert_allclose(held.values, expected, atol=1e-3 * largest)
    held.follow(Active.of(before))
    (_, _, again), *_ = objective.slopes(kernels, before)
    np.testing.assert_allclose(held.values, again, atol=1e-3 * largest)
