import numpy as np
import pytest

from napari_sbd.core.broadening import narrowed
from napari_sbd.core.objective import Penalty
from napari_sbd.core.sampling import Ending
from napari_sbd.core.steps import drained
from tests.core.test_sampling import error, sampled, scene


def steepness(kernels):
    """Mean square of the steps along rows, which broadening lowers."""
    return float(np.square(np.diff(kernels)).mean())


@pytest.fixture(scope="module")
def blob():
    return scene(-2.55, 0.05)


def test_a_restless_kernel_comes_out_narrower_and_nearer_to_the_truth(blob):
    objective, kernel, begin = blob
    before, after = [], []
    for seed in (0, 1):
        found, _, ending = sampled(objective, begin, seed)
        assert ending is Ending.RESTLESS
        better = drained(narrowed(objective, found, Penalty(0.1, 0.0, True), seed))
        assert steepness(better.kernels) > steepness(found.kernels)
        np.testing.assert_array_equal(better.maps, found.maps)
        before.append(error(found, kernel))
        after.append(error(better, kernel))
    assert np.mean(after) < np.mean(before)
