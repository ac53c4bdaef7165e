"""What is left of an image is looked at once, and what is kept of it is what looking again gives."""

import numpy as np
import pytest
from scipy import fft

from napari_sbd.core.descent import Iterate
from napari_sbd.core.objective import Objective
from napari_sbd.core.sparsity import matched_noise
from napari_sbd.core.verdict import residual_of


@pytest.fixture
def seen(rng):
    """An objective, and an iterate of two types and slices."""
    objective = Objective(rng.standard_normal((2, 40, 36)), np.ones((2, 40, 36), bool), (7, 5))
    maps = np.where(rng.random((2, 46, 40)) < 0.01, 1.0, 0.0)
    return objective, Iterate(rng.standard_normal((2, 2, 7, 5)), maps, np.inf)


def test_another_look_at_the_same_takes_no_transform_and_others_are_not_taken_for_it(seen, monkeypatch):
    objective, found = seen
    ((_, _, first),) = objective.slopes(found.kernels, found.maps)
    moved = found.maps * 1.5
    ((_, _, other),) = Objective(objective.data, objective.mask, (7, 5)).slopes(found.kernels, moved)
    monkeypatch.setattr(fft, "rfft2", None)
    ((_, _, again),) = objective.slopes(found.kernels.copy(), found.maps)
    np.testing.assert_array_equal(again, first)
    monkeypatch.undo()
    ((_, _, fresh),) = objective.slopes(found.kernels, moved)
    np.testing.assert_allclose(fresh, other)
    assert not np.allclose(fresh, first)


def test_the_noise_of_a_residual_is_the_same_after_a_screening(seen):
    objective, found = seen
    alone = Objective(objective.data, objective.mask, (7, 5))
    plain = [
        matched_noise(alone, residual_of(alone, Iterate(*vars(found).values())), k) for k in found.kernels
    ]
    list(objective.slopes(found.kernels, found.maps))
    assert [
        matched_noise(objective, residual_of(objective, found), k) for k in found.kernels
    ] == pytest.approx(plain)


def test_a_screening_after_the_noise_of_a_residual_takes_no_transform(rng, monkeypatch):
    objective = Objective(rng.standard_normal((1, 40, 36)), np.ones((1, 40, 36), bool), (7, 5))
    maps = np.where(rng.random((1, 46, 40)) < 0.01, 1.0, 0.0)
    found = Iterate(rng.standard_normal((1, 1, 7, 5)), maps, np.inf)
    ((_, _, plain),) = objective.replaced(objective.data).slopes(found.kernels, maps)
    matched_noise(objective, residual_of(objective, found), found.kernels[0])
    monkeypatch.setattr(fft, "rfft2", None)
    ((_, _, slope),) = objective.slopes(found.kernels, maps)
    np.testing.assert_allclose(slope, plain)


def test_a_residual_that_may_change_is_not_kept(seen):
    objective, found = seen
    residual = objective.left(found.kernels, found.maps)
    before = objective.of_residual(residual).deviation
    residual *= 2
    assert objective.of_residual(residual).deviation == pytest.approx(2 * before)
