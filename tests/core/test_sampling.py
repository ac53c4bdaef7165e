from dataclasses import replace

import numpy as np
import pytest

from napari_sbd.core.descent import Iterate
from napari_sbd.core.kernel_fit import fit_kernels
from napari_sbd.core.objective import Objective
from napari_sbd.core.quality import kernel_similarity
from napari_sbd.core.sampling import AS_GIVEN, Chain, Ending, sample_places
from napari_sbd.core.sphere import project
from napari_sbd.core.subpixel import in_the_middle, turned_centre
from napari_sbd.core.window import shift
from napari_sbd.simulate import ldos_kernel
from napari_sbd.simulate.fields import convolved

WINDOW, SIZE = 17, 96


def scene(energy, noise):
    """A dense field as an objective, its kernel, a rough beginning (blurred, places wrong), and its map."""
    rng = np.random.default_rng(3)
    kernel = project(ldos_kernel(WINDOW, energy)[None, None]).astype(np.float32)
    maps = (rng.random((1, SIZE + WINDOW - 1, SIZE + WINDOW - 1)) < 0.03).astype(np.float32)
    image = convolved(maps, kernel[0]) + rng.normal(0, noise, (SIZE, SIZE))
    objective = Objective(image[None].astype(np.float32), np.ones((1, SIZE, SIZE), bool), (WINDOW, WINDOW))
    blurred = project(kernel + 0.4 * np.roll(kernel, 1, -1) + 0.4 * np.roll(kernel, -1, -2))
    moved = np.where(rng.random(maps.shape) < 0.5, np.roll(maps, 1, 1), maps)
    return objective, kernel, Iterate(blurred.astype(np.float32), moved, np.inf), maps


@pytest.fixture(scope="module")
def blob():
    """A smooth blob under strong noise: places order slowly."""
    return scene(-2.55, 0.05)[:3]


def sampled(objective, begin, seed=0, **heat):
    """The last iterate, its number, and how sampling from a core on its pixel ended."""
    begin = in_the_middle(objective, begin)
    steps = sample_places(objective, begin, True, seed, replace(AS_GIVEN, **heat))
    number = 0
    while True:
        try:
            last = next(steps)
        except StopIteration as end:
            return last, number, end.value
        number += 1


def error(found, kernel):
    return 1 - kernel_similarity(found.kernels[0], kernel[0])


def test_the_mean_is_nearly_as_near_to_the_truth_as_least_squares_for_the_true_map(blob):
    objective, kernel, begin = blob
    truth = fit_kernels(objective, scene(-2.55, 0.05)[3])
    found = [error(sampled(objective, begin, seed)[0], kernel) for seed in range(4)]
    assert np.max(found) < 2.5 * error(truth, kernel)


def test_noise_is_taken_off_the_kernels_before_places_are_drawn_by_them(blob):
    objective, kernel, begin = blob
    heats = ({"freed": 0.0}, {})
    free, freed = (
        [error(sampled(objective, begin, s, most=40, **h)[0], kernel) for s in range(4)] for h in heats
    )
    assert np.mean(freed) < 0.8 * np.mean(free)


def test_the_same_seed_gives_the_same_kernels_and_another_one_others(blob):
    objective, _, begin = blob
    one, again, other = (sampled(objective, begin, seed, most=24)[0] for seed in (5, 5, 6))
    np.testing.assert_array_equal(one.kernels, again.kernels)
    np.testing.assert_array_equal(one.maps, again.maps)
    assert np.abs(one.kernels - other.kernels).max() > 1e-4


def test_sampling_ends_where_kernels_settle():
    objective, kernel, begin, _ = scene(-1.5, 0.01)
    found, number, ending = sampled(objective, begin)
    assert ending is Ending.SETTLED
    assert number <= 21  # twenty sweeps, and their mean
    assert error(found, kernel) < 1e-3


def test_a_chain_that_lost_what_it_had_explained_is_given_up(blob):
    objective, _, begin = blob
    chain = Chain.begun(objective, begin, True, 0, AS_GIVEN)
    assert all(chain.sweep() for _ in range(6))
    lost = np.random.default_rng(0).normal(size=begin.kernels.shape).astype(np.float32)
    chain.found = replace(chain.found, kernels=project(lost))
    assert not chain.sweep()


def test_a_symmetric_kernel_begins_in_the_middle_of_its_window(blob):
    objective, kernel, _ = blob
    truth = Iterate(kernel, scene(-2.55, 0.05)[2].maps, np.inf)
    aside = replace(truth, kernels=project(shift(kernel, (0, 3))), maps=shift(truth.maps, (0, -3)))
    np.testing.assert_allclose(turned_centre(aside.kernels[0])[0], [0, 3], atol=0.1)
    found = in_the_middle(objective, aside)
    np.testing.assert_allclose(turned_centre(found.kernels[0])[0], [0, 0], atol=0.02)
    inside = (slice(None), slice(4, -4), slice(4, -4))
    np.testing.assert_array_equal(found.maps[inside] != 0, truth.maps[inside] != 0)


def test_a_lopsided_kernel_begins_where_it_lies(blob):
    objective, kernel, begin = blob
    lopsided = kernel.copy()
    lopsided[..., :8] = 0
    aside = replace(begin, kernels=project(shift(lopsided, (0, 2))))
    np.testing.assert_allclose(in_the_middle(objective, aside).kernels, aside.kernels, atol=1e-6)
