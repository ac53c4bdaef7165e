import numpy as np
import pytest

from napari_sbd.core.sphere import project, retract, tangent


def norms(kernels):
    return np.linalg.norm(kernels.reshape(len(kernels), -1), axis=1)


def test_projection_gives_unit_norm_over_all_slices_and_keeps_zero(rng):
    kernels = rng.standard_normal((3, 2, 4, 5))
    kernels[1] = 0
    on_sphere = project(kernels)
    np.testing.assert_allclose(norms(on_sphere), [1, 0, 1])
    np.testing.assert_allclose(on_sphere[0], kernels[0] / np.linalg.norm(kernels[0]))


def test_tangent_is_the_orthogonal_projection(rng):
    kernels = project(rng.standard_normal((3, 2, 4, 5)))
    gradient = rng.standard_normal(kernels.shape)
    along = tangent(kernels, gradient)
    for a, g, t in zip(kernels, gradient, along, strict=True):
        assert np.vdot(a, t) == pytest.approx(0, abs=1e-12)
        np.testing.assert_allclose(g - t, a * np.vdot(a, g))  # what is taken away is radial
    np.testing.assert_allclose(tangent(kernels, along), along)


def test_retraction_stays_on_the_sphere_and_follows_the_tangent_to_first_order(rng):
    kernels = project(rng.standard_normal((2, 1, 4, 5)))
    step = tangent(kernels, rng.standard_normal(kernels.shape))
    np.testing.assert_allclose(norms(retract(kernels, step)), 1)
    gaps = [np.linalg.norm(retract(kernels, t * step) - kernels - t * step) for t in (1e-2, 1e-3)]
    assert gaps[1] < 0.02 * gaps[0]
