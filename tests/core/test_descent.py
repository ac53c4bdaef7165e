import numpy as np
import pytest

from napari_sbd.core.descent import Schedule, descend, solve_maps
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.sphere import project, tangent
from napari_sbd.simulate import ldos_kernel, random_field


@pytest.fixture(scope="module")
def problem():
    kernel = ldos_kernel(7, -1.8)
    field = random_field(kernel, (24, 26), 1e-2, snr_db=20, seed=4)
    data = (field.image - np.median(field.image)) / field.image.std()
    mask = np.ones((1, *data.shape), bool)
    mask[0, 3:6, 8:12] = False
    return Objective(data[None], mask, (7, 7)), kernel[None, None]


def empty(objective):
    return np.zeros((1, *objective.convolution.map_shape))


def slope_in_maps(objective, kernels, maps):
    model = objective.convolution
    spectra = model.kernel_spectra(kernels)
    residual, _ = objective.residual(spectra, model.map_spectra(maps))
    return model.correlate_kernels(spectra, residual)


@pytest.mark.parametrize("nonnegative", [True, False])
def test_solved_maps_satisfy_the_optimality_conditions(problem, nonnegative):
    objective, kernels = problem
    penalty = Penalty(0.1 * np.abs(objective.correlation(kernels)).max(), 0.0, nonnegative)
    *_, last = solve_maps(objective, kernels, empty(objective), penalty, Schedule(3000, 1e-9))
    correlation = -slope_in_maps(objective, kernels, last.maps)  # C_aᵀ r
    on = last.maps != 0
    assert 3 < on.sum() < on.size / 4
    tolerance = 1e-4 * penalty.lam
    np.testing.assert_allclose(correlation[on], penalty.lam * np.sign(last.maps[on]), atol=tolerance)
    reached = correlation if nonnegative else np.abs(correlation)
    assert reached.max() <= penalty.lam + tolerance
    if nonnegative:
        assert last.maps.min() >= 0


def test_solved_maps_do_not_depend_on_where_they_set_out(problem, rng):
    objective, kernels = problem
    penalty = Penalty(0.1 * objective.correlation(kernels).max())
    starts = empty(objective), np.abs(rng.standard_normal(empty(objective).shape))
    first, second = (
        list(solve_maps(objective, kernels, start, penalty, Schedule(3000, 1e-9)))[-1].maps
        for start in starts
    )
    np.testing.assert_allclose(first, second, atol=1e-4 * first.max())


def test_weights_that_forbid_keep_a_support(problem):
    objective, kernels = problem
    allowed = np.zeros_like(empty(objective))
    allowed[0, ::5, ::7] = 1
    weights = np.where(allowed, 0, 1e6)
    penalty = Penalty(1.0, weights=weights)
    *_, last = solve_maps(objective, kernels, empty(objective), penalty, Schedule(200))
    assert last.maps.any()
    assert not last.maps[allowed == 0].any()


@pytest.mark.parametrize("mu", [0.0, 0.05])
def test_descent_ends_lowest_at_a_stationary_point(yardsticks, problem, mu, rng):
    objective, truth = problem
    kernels = project(truth + 0.05 * rng.standard_normal(truth.shape))
    penalty = Penalty(0.1 * objective.correlation(truth).max(), mu)
    values, steps = [], []
    for step in descend(objective, kernels, empty(objective), penalty, Schedule(2500, 1e-8)):
        values.append(objective.value(step.kernels, step.maps, penalty))
        steps.append(step)
    last = steps[-1]
    assert len(steps) < 2500, "did not come to rest"
    assert np.linalg.norm(last.kernels) == pytest.approx(1)
    # It descends: apart from what inertia overshoots, which is small and taken back.
    assert values[-1] <= min(values) * (1 + 1e-6)
    assert np.diff(values).max() < 1e-3 * (values[0] - values[-1])
    scale = np.linalg.norm(yardsticks.kernel_gradient(objective, last.kernels, last.maps))
    slope = tangent(last.kernels, yardsticks.kernel_gradient(objective, last.kernels, last.maps))
    assert np.linalg.norm(slope) < 1e-3 * scale
    moved = penalty.prox(last.maps - 0.01 * slope_in_maps(objective, last.kernels, last.maps), 0.01)
    assert np.abs(moved - last.maps).max() < 1e-4 * last.maps.max()


def test_above_the_largest_penalty_maps_stay_empty_and_kernels_rest(problem):
    objective, kernels = problem
    penalty = Penalty(1.01 * objective.correlation(kernels).max())
    *_, last = descend(objective, kernels, empty(objective), penalty, Schedule(5))
    assert not last.maps.any()
    np.testing.assert_allclose(last.kernels, kernels)


def test_iterates_are_not_changed_by_later_steps(problem):
    objective, kernels = problem
    penalty = Penalty(0.1 * objective.correlation(kernels).max())
    begin = kernels.copy(), empty(objective)
    steps = descend(objective, *begin, penalty, Schedule(6))
    first = next(steps)
    copy = first.kernels.copy(), first.maps.copy()
    list(steps)
    np.testing.assert_array_equal(first.kernels, copy[0])
    np.testing.assert_array_equal(first.maps, copy[1])
    np.testing.assert_array_equal(begin[0], kernels)
    assert not begin[1].any()
