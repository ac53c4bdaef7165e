import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from napari_sbd.core.objective import Penalty
from napari_sbd.core.penalty import huber, prox_huber


def test_huber_is_the_modulus_with_a_rounded_bottom():
    x = np.linspace(-3, 3, 601)
    np.testing.assert_allclose(huber(x, 0.0), np.abs(x))
    rounded = huber(x, 0.5)
    outside = np.abs(x) > 0.5
    np.testing.assert_allclose(rounded[outside], np.abs(x[outside]) - 0.25)
    np.testing.assert_allclose(rounded[~outside], x[~outside] ** 2)
    assert huber(np.zeros(1), 0.5) == 0
    slope = np.gradient(rounded, x)
    assert np.all(np.abs(np.diff(slope)) < 0.021)  # no kink: the slope changes by at most dx / mu
    assert np.all(np.abs(slope) < 1 + 1e-9)


@pytest.mark.parametrize("nonnegative", [True, False])
@pytest.mark.parametrize("mu", [0.0, 0.3, 2.0])
def test_prox_is_the_minimiser_of_its_definition(rng, mu, nonnegative):
    z = np.append(rng.normal(0, 1.5, 40), [0.0, mu, -mu, mu + 0.7, -mu - 0.7])
    found = prox_huber(z, 0.7, mu, nonnegative)
    for value, x in zip(z, found, strict=True):

        def cost(x, value=value):
            return 0.5 * (x - value) ** 2 + 0.7 * float(huber(np.array(x), mu))

        bounds = (0.0 if nonnegative else -9.0, 9.0)
        best = minimize_scalar(cost, bounds=bounds, method="bounded", options={"xatol": 1e-9})
        assert cost(x) <= best.fun + 1e-12
        assert x == pytest.approx(best.x, abs=1e-5)
    if nonnegative:
        assert found.min() >= 0


@pytest.mark.parametrize("nonnegative", [True, False])
@pytest.mark.parametrize("mu", [0.0, 0.3])
def test_weights_act_pixel_by_pixel_in_value_and_prox(rng, mu, nonnegative):
    maps, weights = rng.normal(0, 2, (1, 4, 5)), rng.random((1, 4, 5))
    penalty = Penalty(0.8, mu, nonnegative, weights)
    apart = [Penalty(0.8 * w, mu, nonnegative) for w in weights.ravel()]
    values = [p.value(np.array(x)) for p, x in zip(apart, maps.ravel(), strict=True)]
    moved = [float(p.prox(np.array(x), 0.5)) for p, x in zip(apart, maps.ravel(), strict=True)]
    assert penalty.value(maps) == pytest.approx(sum(values))
    np.testing.assert_allclose(penalty.prox(maps, 0.5).ravel(), moved)


def test_the_l1_prox_gives_exact_zeros_and_an_empty_map_costs_nothing(rng):
    penalty = Penalty(1.0)
    shrunk = penalty.prox(rng.uniform(-5, 1, (1, 8, 8)), 1.0)
    assert not shrunk.any()
    assert penalty.value(shrunk) == 0
    assert Penalty(1.0, mu=0.1).value(shrunk) == 0
