import pickle

import numpy as np
import pytest

from napari_sbd.core.objective import Objective, Penalty, misfit
from napari_sbd.core.sphere import project, retract, tangent

# types, slices, window
CASES = [(1, 1, (5, 5)), (1, 1, (4, 6)), (2, 3, (5, 4))]
FREE = Penalty(0.0)


def drawn(rng, case, holes=0.2):
    types, slices, window = case
    data = rng.standard_normal((slices, 15, 18)) + 4
    mask = rng.random(data.shape) >= holes
    objective = Objective(data, mask, window)
    kernels = project(rng.standard_normal((types, slices, *window)))
    maps = rng.standard_normal((types, *objective.convolution.map_shape))
    return objective, kernels, maps


def spectra(objective, kernels, maps):
    return objective.convolution.kernel_spectra(kernels), objective.convolution.map_spectra(maps)


def order(remainder):
    """Order of a remainder r(t) ~ t**order, from three steps."""
    steps = np.array([1e-3, 3e-4, 1e-4])
    return np.polyfit(np.log(steps), np.log([remainder(t) for t in steps]), 1)[0]


@pytest.mark.parametrize("case", CASES)
def test_taylor_of_the_gradient_on_the_sphere(yardsticks, rng, case):
    objective, kernels, maps = drawn(rng, case)
    slope = tangent(kernels, yardsticks.kernel_gradient(objective, kernels, maps))
    direction = tangent(kernels, rng.standard_normal(kernels.shape))
    here = objective.value(kernels, maps, FREE)

    def remainder(t):
        there = objective.value(retract(kernels, t * direction), maps, FREE)
        return abs(there - here - t * np.vdot(slope, direction))

    assert order(remainder) == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("mu", [None, 0.5])
@pytest.mark.parametrize("case", CASES)
def test_taylor_of_the_gradient_in_the_maps(rng, case, mu):
    objective, kernels, maps = drawn(rng, case)
    penalty = FREE if mu is None else Penalty(3.0, mu, nonnegative=False)
    kernel_spectra, map_spectra = spectra(objective, kernels, maps)
    residual, _ = objective.residual(kernel_spectra, map_spectra)
    slope = objective.convolution.correlate_kernels(kernel_spectra, residual)
    if mu is not None:
        slope = slope + penalty.lam * np.clip(maps / mu, -1, 1)
    direction = rng.standard_normal(maps.shape)
    here = objective.value(kernels, maps, penalty)

    def remainder(t):
        there = objective.value(kernels, maps + t * direction, penalty)
        return abs(there - here - t * np.vdot(slope, direction))

    assert order(remainder) == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("case", CASES)
def test_the_bias_in_closed_form_is_the_minimiser(rng, case):
    objective, kernels, maps = drawn(rng, case)
    residual, bias = objective.residual(*spectra(objective, kernels, maps))
    weight = objective.convolution.to_canvas(objective.mask.astype(float))
    best = misfit(residual)
    assert best == pytest.approx(objective.value(kernels, maps, FREE))
    assert len(bias) == case[1]
    for number in range(case[1]):
        for step in (-0.01, 0.01):
            moved = residual.copy()
            moved[number] += step * weight[number]
            assert misfit(moved) > best
    explained = objective.convolution.predict(*spectra(objective, kernels, maps))
    expected = weight * (explained + bias[:, None, None] - objective.convolution.to_canvas(objective.data))
    np.testing.assert_allclose(residual, expected, atol=1e-10)


@pytest.mark.parametrize("case", CASES)
def test_masked_pixels_never_act(yardsticks, rng, case):
    objective, kernels, maps = drawn(rng, case)
    junk = np.where(objective.mask, objective.data, rng.normal(0, 1e6, objective.data.shape))
    other = Objective(junk, objective.mask, case[2])
    penalty = Penalty(0.3)
    assert other.value(kernels, maps, penalty) == objective.value(kernels, maps, penalty)
    np.testing.assert_array_equal(
        yardsticks.kernel_gradient(other, kernels, maps), yardsticks.kernel_gradient(objective, kernels, maps)
    )
    np.testing.assert_array_equal(other.correlation(kernels), objective.correlation(kernels))


@pytest.mark.parametrize("case", CASES)
def test_what_maps_show_of_the_data_is_the_gradient_without_kernels(yardsticks, rng, case):
    objective, kernels, maps = drawn(rng, case)
    shown = objective.shown_by(objective.convolution.map_spectra(maps))
    gradient = yardsticks.kernel_gradient(objective, np.zeros_like(kernels), maps)
    np.testing.assert_allclose(shown, -gradient, atol=1e-10 * np.abs(gradient).max())


def test_a_constant_on_the_image_changes_the_bias_only(rng):
    objective, kernels, maps = drawn(rng, CASES[2])
    raised = Objective(objective.data + 100, objective.mask, CASES[2][2])
    first, bias = objective.residual(*spectra(objective, kernels, maps))
    second, moved = raised.residual(*spectra(objective, kernels, maps))
    np.testing.assert_allclose(moved, bias + 100)
    np.testing.assert_allclose(second, first, atol=1e-9)


def test_correlation_is_minus_the_gradient_in_the_maps_at_an_empty_map(rng):
    objective, kernels, maps = drawn(rng, CASES[1])
    direction = rng.standard_normal(maps.shape)
    t = 1e-6
    rise = objective.value(kernels, t * direction, FREE) - objective.value(kernels, -t * direction, FREE)
    slope = np.vdot(objective.correlation(kernels), direction)
    assert rise / (2 * t) == pytest.approx(-slope, rel=1e-6)


def test_another_window_sees_the_same_data(rng):
    objective, kernels, maps = drawn(rng, CASES[0])
    larger = objective.with_window((9, 9))
    padded = np.pad(kernels, [(0, 0), (0, 0), (2, 2), (2, 2)]), np.pad(maps, [(0, 0), (2, 2), (2, 2)])
    assert larger.convolution.kernel_shape == (9, 9)
    assert larger.value(*padded, FREE) == pytest.approx(objective.value(kernels, maps, FREE))


@pytest.mark.parametrize("holes", [0.0, 0.2])
@pytest.mark.parametrize("every", [2, 3, 4])
def test_one_place_in_so_many_of_a_filtered_image(rng, every, holes):
    objective, kernels, _ = drawn(rng, CASES[2], holes)
    thinned, all_ = objective.filtered(kernels, every), objective.filtered(kernels)
    np.testing.assert_array_equal(np.sort(thinned, axis=1), np.sort(all_[:, ::every], axis=1))


def test_a_pickled_objective_is_the_same_without_what_was_kept_at_hand(rng):
    objective, kernels, maps = drawn(rng, CASES[1])
    plain = len(pickle.dumps(objective))
    value = objective.value(kernels, maps, FREE)
    objective.correlation(kernels)
    again = pickle.loads(pickle.dumps(objective))
    assert len(pickle.dumps(objective)) == plain
    assert again.value(kernels, maps, FREE) == value
