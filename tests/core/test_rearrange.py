import numpy as np
import pytest
from scipy import ndimage, spatial

from napari_sbd.core.descent import Iterate
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.rearrange import composed, dense, loosened, rearranged, tangled
from napari_sbd.core.sampling import sample_places
from napari_sbd.core.sphere import project
from napari_sbd.core.untangle import drawn, untangled
from napari_sbd.simulate import ldos_kernel
from napari_sbd.simulate.fields import convolved

NOISE = 0.02
PENALTY = Penalty(0.1, 0.0, nonnegative=True)


@pytest.fixture(scope="module")
def scene():
    kernel = ldos_kernel(11, -1.8)
    maps = np.zeros((1, 50, 52))
    maps[0, [20, 22, 30], [20, 21, 40]] = 1
    image = convolved(maps, kernel[None]) + np.random.default_rng(0).normal(0, NOISE, (40, 42))
    return Objective(image[None], np.ones((1, *image.shape), bool), (11, 11)), kernel[None, None], maps


def started(scene, places, amplitudes):
    _, kernels, maps = scene
    begin = np.zeros_like(maps)
    begin[0, *np.transpose(places)] = amplitudes
    return Iterate(kernels, begin, np.inf)


@pytest.mark.parametrize(
    ("places", "amplitudes"),
    [
        ([(21, 20), (30, 40)], [2.0, 1.0]),  # two that were taken for one
        ([(20, 20), (22, 21), (30, 41)], [1.0, 1.0, 1.0]),  # one beside its pixel
        ([(20, 20), (22, 21), (30, 40), (30, 41)], [1.0, 1.0, 0.9, 0.1]),  # one that was split
    ],
)
def test_defects_find_their_places(scene, places, amplitudes):
    objective, _, truth = scene
    *_, found = rearranged(objective, started(scene, places, amplitudes), NOISE, nonnegative=True)
    np.testing.assert_array_equal(np.argwhere(found.maps), np.argwhere(truth))


def test_what_is_right_stays(scene):
    objective, _, truth = scene
    begin = started(scene, np.argwhere(truth[0]), 1.0)
    assert not list(rearranged(objective, begin, NOISE, nonnegative=True))


def test_only_close_defects_are_tangled(scene):
    assert tangled(started(scene, [(10, 10), (10, 14), (30, 30)], 1.0))
    assert not tangled(started(scene, [(10, 10), (10, 30), (30, 30)], 1.0))


def spots(scene):
    """Three large defects, and a signature that is made of many weak close ones."""
    weak = [(row, col) for row in range(25, 40, 3) for col in range(20, 44, 3)]
    return started(scene, [(10, 10), (10, 30), (30, 10), *weak], [5.0] * 3 + [1.0] * len(weak))


def test_spots_beside_large_defects_compose_something_else(scene):
    assert composed(spots(scene))
    assert not composed(started(scene, np.argwhere(scene[2][0]), 1.0))
    assert not composed(started(scene, [(10, 10), (10, 14), (30, 30), (34, 30)], [3.0, 1.0, 1.0, 1.0]))


def test_only_what_may_be_several_is_let_go(scene):
    begin = started(scene, [(10, 10), (10, 30), (30, 30)], [1.0, 1.0, 2.0])
    weights = loosened(begin.maps)[0]
    assert weights[30, 30] == weights[31, 29] < 1
    assert weights[20, 20] == 1


@pytest.fixture(scope="module")
def crowd():
    """A dense field under strong noise: the problem, and the truth."""
    kernel, rng = ldos_kernel(25, -2.0), np.random.default_rng(3)
    maps = np.zeros((1, 104, 104), np.float32)
    maps[0, 12:92, 12:92] = rng.random((80, 80)) < 0.025
    noise = float(np.sqrt(kernel.var() / 0.8))
    image = (convolved(maps, kernel[None]) + rng.normal(0, noise, (80, 80))).astype(np.float32)
    objective = Objective(image[None], np.ones((1, *image.shape), bool), (25, 25))
    size = np.float32(np.linalg.norm(kernel))
    truth = Iterate(kernel[None, None].astype(np.float32) / size, maps * size, np.inf)
    assert tangled(truth)
    assert dense(truth)
    return objective, truth


def recovered(found, truth):
    """Similarity of the kernels, and share of the defects that are found within a pixel and a half."""
    distances, _ = spatial.KDTree(np.argwhere(found.maps[0])).query(np.argwhere(truth.maps[0]))
    return float(np.vdot(found.kernels, truth.kernels)), float(np.mean(distances < 1.5))


def test_the_truth_of_a_dense_field_under_strong_noise_stays(crowd):
    objective, truth = crowd
    similarity, share = recovered(ended(untangled(objective, truth, PENALTY)), truth)
    assert share > 0.95
    assert similarity > 0.994


def test_a_dense_field_is_recovered_from_a_blurred_kernel_and_lost_defects(crowd):
    objective, truth = crowd
    kernels = project(ndimage.gaussian_filter(truth.kernels, (0, 0, 1.5, 1.5)))
    maps = truth.maps.copy()
    maps[0, ::2] = 0
    begin = Iterate(kernels, maps, np.inf)
    assert recovered(begin, truth)[0] < 0.98
    similarity, share = recovered(ended(drawn(objective, begin, PENALTY, seed=0)), truth)
    assert share > 0.95
    assert similarity > 0.99


def test_what_is_drawn_depends_on_the_seed_alone(crowd):
    objective, truth = crowd
    first, again, other = (next(sample_places(objective, truth, True, seed)).maps for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_both_signs_of_a_dense_field_are_drawn(crowd):
    objective, truth = crowd
    upside_down = np.where(np.arange(104) % 2, 1, -1).astype(np.float32)
    maps = truth.maps * upside_down
    data = objective.replaced(np.zeros_like(objective.data)).left(truth.kernels, maps)
    noisy = data + np.random.default_rng(5).normal(0, 0.05, data.shape).astype(np.float32)
    *_, found = sample_places(objective.replaced(noisy), Iterate(truth.kernels, maps, np.inf), False, 0)
    here = (found.maps != 0) & (maps != 0)
    assert here.sum() > 0.8 * np.count_nonzero(maps)
    assert np.mean(np.sign(found.maps[here]) == np.sign(maps[here])) > 0.98


def ended(steps):
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
