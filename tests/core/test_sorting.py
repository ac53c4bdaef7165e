"""Several types whose mixture one kernel is: told apart by what the image shows at each defect."""

from dataclasses import replace

import numpy as np
import pytest

from napari_sbd.core import sorted_types
from napari_sbd.core.descent import Iterate
from napari_sbd.core.kernel_fit import fit_kernels
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.parameters import Parameters
from napari_sbd.core.progress import Progress
from napari_sbd.core.quality import kernel_similarity
from napari_sbd.core.recover import recover
from napari_sbd.core.single import Single
from napari_sbd.core.sorted_types import joined_alike, told_at_once
from napari_sbd.core.sorting import Sorted, sort_by_looks
from napari_sbd.core.sparsity import largest_penalty, levels
from napari_sbd.core.start import NO_STARTS
from napari_sbd.core.verdict import leaves_noise
from napari_sbd.simulate import ldos_kernel, random_field

WINDOW = 17


@pytest.fixture(scope="module")
def crowd():
    """Three types, .38 to .75 alike, of which nearly all defects overlap."""
    kernels = np.stack([ldos_kernel(WINDOW, energy) for energy in (-2.6, -2.25, -1.9)])
    return random_field(kernels, (128, 128), 3e-3, snr_db=12, seed=3)


def each_best(found, truth):
    """Similarity of each true kernel to the found one that is most like it."""
    return [max(kernel_similarity(a, b) for a in found) for b in truth]


@pytest.fixture(scope="module")
def mixture(crowd):
    """The image, the mixture that least squares make of all types, and all defects as of one."""
    objective = Objective(
        crowd.image[None].astype(np.float32), np.ones((1, 128, 128), bool), (WINDOW, WINDOW)
    )
    all_at_once = crowd.extended_activations.sum(0, keepdims=True).astype(np.float32)
    one = fit_kernels(objective, all_at_once)
    places = np.argwhere(one.maps[0])
    amplitudes = one.maps[0][tuple(places.T)].astype(float)
    return objective, one, Sorted(places, amplitudes, np.zeros(len(places), np.intp))


def test_known_places_are_sorted_by_type(crowd, mixture):
    objective, one, defects = mixture
    assert min(each_best(one.kernels, crowd.kernels[:, None])) < 0.9
    found = sort_by_looks(objective, one, defects, 3, nonnegative=True, seed=0)
    assert min(each_best(found.kernels, crowd.kernels[:, None])) > 0.98
    best = [int(np.argmax([kernel_similarity(a, b) for a in found.kernels])) for b in crowd.kernels[:, None]]
    truth = crowd.extended_activations != 0
    right = sum(np.count_nonzero(found.maps[n][truth[kind]]) for kind, n in enumerate(best))
    assert right > 0.95 * truth.sum()


def test_the_same_seed_sorts_alike(mixture):
    objective, one, defects = mixture
    twice = [sort_by_looks(objective, one, defects, 3, nonnegative=True, seed=5) for _ in range(2)]
    np.testing.assert_array_equal(twice[0].kernels, twice[1].kernels)
    np.testing.assert_array_equal(twice[0].maps, twice[1].maps)


def test_too_few_defects_are_not_sorted(mixture):
    objective, one, defects = mixture
    few = Sorted(defects.places[:8], defects.amplitudes[:8], defects.kinds[:8])
    assert sort_by_looks(objective, one, few, 3, nonnegative=True, seed=0) is None


def test_slices_are_sorted_together(crowd):
    """Types that look alike in one energy differ in the other."""
    flat = np.stack([crowd.kernels[0]] * 3)
    images = [
        random_field(kernels, (128, 128), 3e-3, snr_db=12, seed=3).image for kernels in (flat, crowd.kernels)
    ]
    objective = Objective(np.stack(images).astype(np.float32), np.ones((2, 128, 128), bool), (WINDOW, WINDOW))
    one = fit_kernels(objective, crowd.extended_activations.sum(0, keepdims=True).astype(np.float32))
    places = np.argwhere(one.maps[0])
    defects = Sorted(places, one.maps[0][tuple(places.T)].astype(float), np.zeros(len(places), np.intp))
    found = sort_by_looks(objective, one, defects, 3, nonnegative=True, seed=0)
    assert isinstance(found, Iterate)
    assert min(each_best(found.kernels[:, 1:], crowd.kernels[:, None])) > 0.97


@pytest.mark.parametrize("sampled", [True, False])
def test_what_sampled_places_leave_is_sorted_only_if_it_is_not_white(sampled):
    """One defect that is missing stands out of white noise: of places that were drawn some are wrong."""
    field = random_field(ldos_kernel(WINDOW, -2.6), (128, 128), 1e-2, snr_db=15, seed=0)
    mask = np.ones((1, 128, 128), bool)
    objective = Objective(field.image[None].astype(np.float32), mask, (WINDOW, WINDOW))
    maps = field.extended_activations.astype(np.float32)
    inside = np.argwhere(maps[0, 30:90, 30:90])[0] + 30
    maps[0, *inside] = 0
    best = Iterate(field.kernels[:, None].astype(np.float32), maps, np.inf)
    assert not leaves_noise(objective, best)
    first = Single(objective, Parameters(), Penalty(1.0), NO_STARTS, automatic=False)
    first.levels = levels(objective, best.kernels, largest_penalty(objective, best.kernels, True), 0.3, None)
    first.domain = replace(first.domain, sampled=sampled)
    steps = told_at_once(first, best, Penalty(1.0), Progress([1.0]))
    if not sampled:
        assert next(steps).stage == "sorting"
        return
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value is best


def test_a_type_that_came_twice_is_one_in_the_end(crowd, mixture):
    objective, *_ = mixture
    maps = crowd.extended_activations.astype(np.float32)
    half = maps[:1].copy()
    half[:, : half.shape[1] // 2] = 0
    twice = np.concatenate([maps, half])
    twice[0] -= half[0]
    kernels = crowd.kernels[[0, 1, 2, 0], None].astype(np.float32)
    first = Single(objective, Parameters(), Penalty(1.0), NO_STARTS, automatic=False)
    first.levels = levels(objective, kernels, largest_penalty(objective, kernels, True), 0.3, None)
    steps = joined_alike(first, Iterate(kernels, twice, np.inf), Penalty(1.0))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            joined = end.value
            break
    assert len(joined.kernels) == 3
    assert min(each_best(joined.kernels, crowd.kernels[:, None])) > 0.99
    assert np.count_nonzero(joined.maps) > 0.9 * np.count_nonzero(maps)


def test_three_types_in_a_crowd_are_found_blindly(crowd):
    recovery = recover(crowd.image, kernel_size=WINDOW, seed=0)
    assert recovery.types == 3
    assert min(each_best(recovery.kernels, crowd.kernels[:, None])) > 0.99
    assert abs(len(recovery.defects) - len(crowd.positions)) <= 0.05 * len(crowd.positions)


def test_two_types_are_told_where_one_alone_composes_most_of_the_crowd():
    kernels = np.stack([ldos_kernel(21, energy) for energy in (-2.6, -2.25)])
    field = random_field(kernels, (128, 128), 1e-2, snr_db=20, seed=1)
    recovery = recover(field.image, kernel_size=21, seed=1)
    assert recovery.types == 2
    assert min(each_best(recovery.kernels, field.kernels[:, None])) > 0.995
    assert abs(len(recovery.defects) - len(field.positions)) <= 0.05 * len(field.positions)


def test_a_grouping_that_leaves_a_type_empty_is_tried_again(crowd, monkeypatch):
    real, asked = sorted_types.sort_by_looks, []

    def unlucky(*args):
        asked.append(args[-1])
        return None if args[-1] == 0 else real(*args)

    monkeypatch.setattr(sorted_types, "sort_by_looks", unlucky)
    recovery = recover(crowd.image, kernel_size=WINDOW, seed=0)
    assert {0, 1} <= {*asked}
    assert recovery.types == 3
