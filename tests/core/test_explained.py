"""Starts that need no search, because what is known explains them."""

import numpy as np
import pytest

from napari_sbd.core.alternation import alternate
from napari_sbd.core.descent import Schedule
from napari_sbd.core.explained import Explained
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.sparsity import largest_penalty
from napari_sbd.core.sphere import project
from napari_sbd.simulate import ldos_kernel, random_field

KERNELS = [ldos_kernel(21, -2.6), ldos_kernel(21, -1.9)]
EACH = 12  # defects of each type


@pytest.fixture
def known():
    """Two types far apart, the first type's kernel and map found, and where defects of both sit."""
    rng = np.random.default_rng(0)
    cells = rng.permutation([(24 + 48 * row, 24 + 48 * col) for row in range(5) for col in range(5)])
    image = rng.normal(0, 0.02 * np.abs(KERNELS[0]).max(), (240, 240))
    for number, (row, col) in enumerate(cells[: 2 * EACH]):
        image[row - 10 : row + 11, col - 10 : col + 11] += KERNELS[number // EACH]
    data = image[None].astype(np.float32)
    objective = Objective(data, np.ones(data.shape, bool), (21, 21))
    kernel = project(KERNELS[0][None, None].astype(np.float32))
    penalty = Penalty(0.6 * largest_penalty(objective, kernel, nonnegative=True))
    maps = np.zeros((1, *objective.convolution.map_shape), np.float32)
    *_, found = alternate(objective, kernel, maps, penalty, Schedule(10, 1e-3))
    return objective, found, penalty, cells


def test_a_patch_that_a_known_kernel_explains_needs_no_search_and_one_of_another_type_does(known):
    objective, found, penalty, cells = known
    explained = Explained(objective, found, penalty, None)
    own, other = cells[:EACH], cells[EACH : 2 * EACH]
    assert all(explained.at((int(row), int(col))) for row, col in own)
    assert not any(explained.at((int(row), int(col))) for row, col in other)


def test_few_activations_explain_nothing(known):
    objective, found, penalty, cells = known
    few = found.maps.copy()
    few[np.cumsum(few != 0).reshape(few.shape) > 3] = 0
    found = type(found)(found.kernels, few, found.objective)
    assert not Explained(objective, found, penalty, None).at((int(cells[0][0]), int(cells[0][1])))


def test_noise_is_not_taken_for_explained():
    field = random_field(ldos_kernel(21), (128, 128), 1e-3, snr_db=-20, seed=0)
    data = field.image[None].astype(np.float32)
    objective = Objective(data, np.ones(data.shape, bool), (21, 21))
    kernel = project(np.random.default_rng(0).standard_normal((1, 1, 21, 21)).astype(np.float32))
    penalty = Penalty(0.5 * largest_penalty(objective, kernel, nonnegative=True))
    maps = np.zeros((1, *objective.convolution.map_shape), np.float32)
    *_, found = alternate(objective, kernel, maps, penalty, Schedule(3, 1e-2))
    explained = Explained(objective, found, penalty, None)
    assert explained.debiased is not None
    assert not any(explained.at((row, col)) for row in (20, 60, 100) for col in (30, 64, 90))
