"""Several types told by the starts of a search, before one kernel is refined to a mixture of them."""

import numpy as np
import pytest

from napari_sbd.core import single
from napari_sbd.core.alternation import alternate
from napari_sbd.core.kernel_fit import fit_kernels
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.observation import observe
from napari_sbd.core.parameters import Parameters
from napari_sbd.core.quality import kernel_similarity
from napari_sbd.core.recover import recover
from napari_sbd.core.run import Run
from napari_sbd.core.sorting import Sorted, split_by_looks
from napari_sbd.core.sparsity import largest_penalty
from napari_sbd.core.stages import FIRST
from napari_sbd.core.told_by_starts import told_by_starts
from napari_sbd.simulate import ldos_kernel, random_field

WINDOW, ENERGIES = 31, (-2.6, -2.05, -1.5)


@pytest.fixture(scope="module")
def kernels():
    return np.stack([ldos_kernel(WINDOW, energy) for energy in ENERGIES])


def field_of(kernels, seed=0, size=192):
    return random_field(kernels, (size, size), 1e-3 / len(kernels), snr_db=20, seed=seed)


def drained(steps):
    try:
        while True:
            next(steps)
    except StopIteration as end:
        return end.value


def similarities(found, kernels):
    return np.array([[kernel_similarity(a, truth) for a in found] for truth in kernels[:, None]])


@pytest.fixture(scope="module")
def begun(kernels):
    """An image of three types, and stage I from the first one's kernel."""
    seen = field_of(kernels, size=256)
    image = ((seen.image - seen.image.mean()) / seen.image.std()).astype(np.float32)[None]
    objective = Objective(image, np.ones(image.shape, bool), (WINDOW, WINDOW))
    shapes = kernels[:, None, None].astype(np.float32)
    penalty = Penalty(0.25 * largest_penalty(objective, shapes[0], nonnegative=True))
    maps = np.zeros((1, *objective.convolution.map_shape), np.float32)
    *_, best = alternate(objective, shapes[0], maps, penalty, FIRST)
    return objective, best, shapes, penalty


@pytest.mark.parametrize("which", [[0], [0, 1, 1, 2], [2, 0], [1, 2], [2, 1, 2]], ids=str)
def test_kernels_that_differ_are_types(begun, kernels, which):
    """The best is a mixture of all; a type that no start lies on is split off."""
    objective, best, shapes, penalty = begun
    assert similarities(best.kernels, kernels).max() < 0.95
    others = [shapes[number] for number in which]
    found = drained(told_by_starts(objective, best, others, penalty, 6, 0))
    table = similarities(found.kernels, kernels)
    assert table.max(1).min() > 0.97
    assert sorted(table.argmax(1)) == [0, 1, 2]


def test_kernels_like_the_best_are_none(begun):
    """Nor what a window shows of it that lies some pixels aside."""
    objective, best, _, penalty = begun
    cut = np.zeros_like(best.kernels)
    cut[..., :-6, :] = best.kernels[..., 6:, :]
    for others in ([], [best.kernels], [-best.kernels, cut / np.linalg.norm(cut)]):
        assert drained(told_by_starts(objective, best, others, penalty, 6, 0)) is best


def test_there_are_no_more_types_than_asked_for(begun):
    objective, best, shapes, penalty = begun
    assert len(drained(told_by_starts(objective, best, [shapes[0], shapes[2]], penalty, 2, 0)).kernels) == 2


def test_noise_is_no_type(begun):
    objective, best, shapes, penalty = begun
    rng = np.random.default_rng(0)
    noise = [rng.standard_normal(shapes[0].shape).astype(np.float32) for _ in range(2)]
    noise = [kernel / np.linalg.norm(kernel) for kernel in noise]
    assert drained(told_by_starts(objective, best, noise, penalty, 6, 0)) is best


def test_a_type_is_split_by_the_looks_of_its_defects(kernels):
    seen = field_of(kernels, size=256)
    image = seen.image.astype(np.float32)[None]
    objective = Objective(image, np.ones(image.shape, bool), (WINDOW, WINDOW))
    kinds, *places = np.nonzero(seen.activations)
    places = np.column_stack(places) + WINDOW // 2
    merged = Sorted(places, seen.activations[seen.activations != 0], np.minimum(kinds, 1))
    like = np.zeros((1, *objective.convolution.map_shape), np.float32)
    begin = fit_kernels(objective, merged.maps(2, like))
    found = split_by_looks(objective, begin, merged, 1, nonnegative=True, seed=0)
    table = similarities(found.kernels, kernels)
    assert table.max(1).min() > 0.99
    assert [np.count_nonzero(m) for m in found.maps[table.argmax(1)]] == np.bincount(kinds).tolist()
    assert split_by_looks(objective, begin, merged, 2, nonnegative=True, seed=0) is None


@pytest.mark.parametrize("number", [2, 3])
def test_types_that_starts_tell_need_not_be_sorted(kernels, number):
    used = kernels[:: 4 - number]
    seen = field_of(used, size=256)
    recovery = recover(seen.image, kernel_size=WINDOW)
    assert len(recovery.kernels) == number
    assert similarities(recovery.kernels, used).max(1).min() > 0.999
    assert len(recovery.defects) == pytest.approx(len(seen.types), abs=1)
    stages = recovery.history["stage"]
    assert not stages.str.contains("sorting").any()
    assert len(stages) < 150


def test_one_type_of_many_starts_stays_one(kernels):
    recovery = recover(field_of(kernels[1:2]).image, kernel_size=WINDOW)
    assert len(recovery.kernels) == 1


def test_what_does_not_leave_noise_is_sought_as_one_type_and_sorted(kernels, monkeypatch):
    """A wrong guess costs time, and nothing else."""
    seen = field_of(kernels[::2], seed=1)
    monkeypatch.setattr(single, "leaves_noise", lambda *args: False)
    again = recover(seen.image, kernel_size=WINDOW)
    assert again.history["stage"].str.contains("sorting").any()
    assert len(again.kernels) == 2
    assert similarities(again.kernels, kernels[::2]).max(1).min() > 0.999


def test_of_one_type_that_is_asked_for_starts_tell_no_other(kernels):
    recovery = recover(field_of(kernels[::2]).image, kernel_size=WINDOW, types=1)
    assert len(recovery.kernels) == 1


def test_slices_tell_types_together():
    stacks = np.array(
        [[ldos_kernel(WINDOW, energy) for energy in pair] for pair in ((-2.6, -1.5), (-2.5, -1.6))]
    )
    seen = [field_of(stack, seed=2) for stack in stacks]
    image = np.stack([one.image for one in seen])
    recovery = recover(image, kernel_size=WINDOW)
    assert len(recovery.kernels) == 2
    truth = stacks.transpose(1, 0, 2, 3)
    table = np.array([[kernel_similarity(a, t) for a in recovery.kernels] for t in truth])
    assert table.max(1).min() > 0.999
    assert not recovery.history["stage"].str.contains("sorting").any()


def test_a_stop_while_types_are_told_gives_what_is_accepted_until_then(kernels):
    sample = field_of(kernels[::2], seed=1)
    run = Run(observe(sample.image), Parameters(kernel_size=(WINDOW, WINDOW)))
    found = []
    for snapshot in run.steps():
        run.note(snapshot)
        found.append((snapshot.stage, len(run.result("stopped").kernels)))
    trials = [types for stage, types in found if stage == "2 types, stage I"]
    assert trials
    assert set(trials) == {1}
    assert found[-1] == ("debias", 2)
