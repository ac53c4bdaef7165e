import numpy as np
import pytest

from napari_sbd.core.alternation import alternate, fit_maps
from napari_sbd.core.descent import Schedule, descend, solve_maps
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.quality import kernel_similarity
from napari_sbd.core.sites import Sites
from napari_sbd.core.sphere import project, tangent
from napari_sbd.core.support_model import SupportModel
from napari_sbd.simulate import ldos_kernel, random_field

MODELS = [(1, 1, False), (1, 1, True), (3, 2, True)]


@pytest.fixture(params=MODELS, ids=["plain", "mask", "types, slices, mask"])
def model(request, rng):
    slices, types, holes = request.param
    data = rng.standard_normal((slices, 40, 44))
    mask = np.ones(data.shape, bool)
    if holes:
        mask[0, 5:9, 10:17] = False
        mask[-1, 20:30, 3:9] = False
    objective = Objective(data, mask, (7, 9))
    kernels = project(rng.standard_normal((types, slices, 7, 9)))
    maps = rng.standard_normal((types, *objective.convolution.map_shape))
    maps[rng.random(maps.shape) > 0.02] = 0
    return objective, kernels, maps


def on_support(objective, kernels, maps):
    sites = Sites.of(maps)
    return SupportModel(objective.field, sites, len(kernels)), sites.read(maps)


def test_the_support_sees_the_objective_as_the_whole_image_does(model):
    objective, kernels, maps = model
    seen, amplitudes = on_support(objective, kernels, maps)
    gram, reach = seen.gram(kernels), seen.reach(kernels)
    whole = objective.value(kernels, maps, Penalty(0.0))
    value = 0.5 * amplitudes @ (gram @ amplitudes) - reach @ amplitudes + objective.field.energy
    assert value == pytest.approx(whole, rel=1e-12)
    quadratic = seen.quadratic(amplitudes)
    assert quadratic.value(kernels) + objective.field.energy == pytest.approx(whole, rel=1e-12)


def test_the_kernels_gradient_on_the_support_is_that_of_the_whole_image(yardsticks, model):
    objective, kernels, maps = model
    seen, amplitudes = on_support(objective, kernels, maps)
    quadratic = seen.quadratic(amplitudes)
    gradient = quadratic.product(kernels) - quadratic.linear
    np.testing.assert_allclose(gradient, yardsticks.kernel_gradient(objective, kernels, maps), atol=1e-11)


def test_the_kernel_step_ends_where_the_gradient_along_the_sphere_is_zero(yardsticks, model):
    objective, kernels, maps = model
    if len(kernels) > 1:
        maps[1:] = 0
    seen, amplitudes = on_support(objective, kernels, maps)
    quadratic = seen.quadratic(amplitudes)
    best, value = quadratic.minimised(kernels)
    slope = tangent(best[:1], yardsticks.kernel_gradient(objective, best, maps)[:1])
    assert np.linalg.norm(slope) < 1e-3 * np.linalg.norm(quadratic.linear[0])
    assert value == pytest.approx(quadratic.value(best), rel=1e-6)
    assert value < quadratic.value(kernels)


@pytest.fixture(scope="module")
def field():
    kernel = ldos_kernel(7, -1.8)
    sample = random_field(kernel, (48, 50), 1e-2, snr_db=20, seed=4)
    mask = np.ones((1, *sample.image.shape), bool)
    mask[0, 3:6, 8:12] = False
    return Objective(
        ((sample.image - np.median(sample.image)) / sample.image.std())[None], mask, (7, 7)
    ), kernel


@pytest.mark.parametrize("nonnegative", [True, False])
def test_maps_agree_with_the_plain_descent(field, nonnegative):
    objective, kernel = field
    kernels = kernel[None, None]
    empty = np.zeros((1, *objective.convolution.map_shape))
    penalty = Penalty(0.1 * np.abs(objective.correlation(kernels)).max(), 0.0, nonnegative)
    *_, plain = solve_maps(objective, kernels, empty, penalty, Schedule(3000, 1e-9))
    *_, exact = fit_maps(objective, kernels, empty, penalty, Schedule(60, 1e-6))
    assert objective.value(kernels, exact.maps, penalty) == pytest.approx(
        objective.value(kernels, plain.maps, penalty), rel=1e-4
    )
    assert exact.objective == pytest.approx(objective.value(kernels, exact.maps, penalty), rel=1e-6)


def test_it_ends_no_higher_than_the_plain_descent_and_in_the_same_kernel(field, rng):
    objective, kernel = field
    begin = project(kernel[None, None] + 0.05 * rng.standard_normal((1, 1, 7, 7)))
    empty = np.zeros((1, *objective.convolution.map_shape))
    penalty = Penalty(0.1 * objective.correlation(begin).max())
    *_, plain = descend(objective, begin, empty, penalty, Schedule(3000, 1e-8))
    *_, exact = alternate(objective, begin, empty, penalty, Schedule(100, 1e-6))
    value = objective.value(exact.kernels, exact.maps, penalty)
    assert value <= objective.value(plain.kernels, plain.maps, penalty) * (1 + 1e-4)
    assert kernel_similarity(exact.kernels[0], plain.kernels[0]) > 0.9999


def test_nothing_above_the_penalty_leaves_everything_empty(field):
    objective, kernel = field
    empty = np.zeros((1, *objective.convolution.map_shape))
    *_, last = alternate(objective, kernel[None, None], empty, Penalty(1e6), Schedule(5))
    assert not last.maps.any()
    assert last.objective == pytest.approx(objective.field.energy)


def test_steps_that_foresee_end_earlier_and_as_near_to_the_end():
    field = random_field(ldos_kernel(15, -2.0), (96, 96), 2e-3, snr_db=20, seed=0)
    objective = Objective(field.image[None].astype(np.float32), np.ones((1, 96, 96), bool), (15, 15))
    begin = project(field.kernels[:, None] + 0.02 * np.random.default_rng(0).standard_normal((1, 1, 15, 15)))
    penalty = Penalty(0.05 * float(objective.correlation(begin.astype(np.float32)).max()))

    def ends(schedule):
        maps = np.zeros((1, *objective.convolution.map_shape), np.float32)
        return list(alternate(objective, begin.astype(np.float32), maps, penalty, schedule))

    exact = ends(Schedule(60, 1e-6))[-1].kernels
    plain, foreseen = (ends(Schedule(60, 2e-3, foresees=how)) for how in (False, True))
    assert len(foreseen) < len(plain)
    assert np.linalg.norm(foreseen[-1].kernels - exact) < 2e-3
