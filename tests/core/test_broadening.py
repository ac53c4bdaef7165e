import numpy as np
import pytest

from napari_sbd.core.broadening import narrowed
from napari_sbd.core.objective import Penalty
from napari_sbd.core.sampling import Ending
from napari_sbd.core.steps import drained
from tests.core.test_sampling import error, sampled, scene


def width(kernel):
    """Mean squared distance from the middle, weighted by the kernel's square, in px²."""
    along = np.arange(kernel.shape[-1]) - kernel.shape[-1] // 2
    power = np.square(kernel[0, 0], dtype=float)
    return float((power * (along[:, None] ** 2 + along**2)).sum() / power.sum())


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
        assert width(better.kernels) < width(found.kernels)
        np.testing.assert_array_equal(better.maps, found.maps)
        before.append(error(found, kernel))
        after.append(error(better, kernel))
    assert np.mean(after) < np.mean(before)
