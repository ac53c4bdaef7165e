import numpy as np
import pytest
from scipy.signal import convolve
from scipy.sparse.linalg import LinearOperator, eigsh

from napari_sbd.core.convolution import Convolution, largest_gain
from napari_sbd.core.observation import observe
from napari_sbd.core.parameters import Parameters
from napari_sbd.core.recovery import Recovery

# image, kernel, types, slices: odd and even windows, not square, several of everything
CASES = [
    ((16, 16), (5, 5), 1, 1),
    ((17, 12), (4, 6), 1, 1),
    ((11, 20), (7, 4), 2, 1),
    ((13, 15), (3, 8), 1, 3),
    ((19, 14), (6, 5), 3, 2),
    ((9, 9), (9, 9), 2, 2),
]


def drawn(rng, case):
    image, window, types, slices = case
    model = Convolution(image, window)
    kernels = rng.standard_normal((types, slices, *window))
    maps = rng.standard_normal((types, *model.map_shape))
    return model, kernels, maps


def seen(model, kernels, maps):
    return model.frame(model.predict(model.kernel_spectra(kernels), model.map_spectra(maps)))


@pytest.mark.parametrize("case", CASES)
def test_prediction_is_the_valid_convolution_summed_over_types(rng, case):
    model, kernels, maps = drawn(rng, case)
    expected = [
        sum(convolve(x, a, "valid", method="direct") for x, a in zip(maps, kernels[:, s], strict=True))
        for s in range(case[3])
    ]
    np.testing.assert_allclose(seen(model, kernels, maps), expected, atol=1e-10)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("masked", [0.0, 0.3])
def test_both_adjoints_pass_the_dot_test(rng, case, masked):
    model, kernels, maps = drawn(rng, case)
    weight = rng.random((case[3], *case[0])) >= masked
    residual = weight * rng.standard_normal(weight.shape)
    forward = np.vdot(weight * seen(model, kernels, maps), residual)
    canvas = model.to_canvas(residual)
    to_maps = model.correlate_kernels(model.kernel_spectra(kernels), canvas)
    to_kernels = model.correlate_maps(model.map_spectra(maps), canvas)
    assert to_maps.shape == maps.shape
    assert to_kernels.shape == kernels.shape
    assert np.vdot(to_maps, maps) == pytest.approx(forward, rel=1e-10)
    assert np.vdot(to_kernels, kernels) == pytest.approx(forward, rel=1e-10)


@pytest.mark.parametrize("case", CASES)
def test_turned_kernels_have_conjugate_spectra_and_correlate_as_kernels_do(rng, case):
    model, kernels, _ = drawn(rng, case)
    canvas = model.to_canvas(rng.standard_normal((case[3], *case[0])))
    spectra, turned = model.kernel_spectra(kernels), model.turned_spectra(kernels)
    np.testing.assert_allclose(turned, np.conj(spectra), atol=1e-12)
    expected = model.correlate_kernels(spectra, canvas)
    np.testing.assert_allclose(
        model.correlate_turned(turned, model.map_spectra(canvas)), expected, atol=1e-12
    )


def test_single_precision_stays_single(rng):
    model, kernels, maps = drawn(rng, CASES[1])
    assert seen(model, kernels.astype(np.float32), maps.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("window", [(5, 5), (6, 6), (4, 7)])
def test_an_activation_belongs_to_the_pixel_of_the_kernels_centre(window):
    model = Convolution((20, 24), window)
    kernel = np.zeros((1, 1, *window))
    kernel[0, 0, (window[0] - 1) // 2, (window[1] - 1) // 2] = 1
    extended = np.zeros((1, *model.map_shape))
    model.on_frame(extended)[0, 8, 13] = 2
    expected = np.zeros((20, 24))
    expected[8, 13] = 2
    np.testing.assert_allclose(seen(model, kernel, extended)[0], expected, atol=1e-12)


@pytest.mark.parametrize("window", [(5, 5), (6, 6), (4, 7)])
def test_without_atoms_outside_the_reconstruction_is_convolve_same(rng, window):
    image = rng.standard_normal((20, 24))
    kernels = rng.standard_normal((1, 1, *window))
    extended = np.zeros((1, *Convolution(image.shape, window).map_shape))
    recovery = Recovery(
        observe(image),
        Parameters(kernel_size=window),
        kernels,
        extended,
        (),
        np.array([3.0]),
        1.0,
        "finished",
    )
    recovery.activations[:] = rng.standard_normal((1, 20, 24))
    expected = convolve(recovery.activations[0], kernels[0, 0], "same") + 3
    np.testing.assert_allclose(recovery.reconstruction[0], expected, atol=1e-10)
    np.testing.assert_allclose(recovery.residual[0], image - expected, atol=1e-10)


def largest_eigenvalue(apply, size):
    return float(eigsh(LinearOperator((size, size), matvec=apply, dtype=float), 1)[0][0])


def without_mean(image, weight):
    """Weighted residual after the best bias of each slice, as the closed form leaves it."""
    mean = (weight * image).sum((1, 2), keepdims=True) / weight.sum((1, 2), keepdims=True)
    return weight * (image - mean)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("offset", [0.0, 2.0])
def test_largest_gain_bounds_both_operators_once_the_bias_is_removed(rng, case, offset):
    model, kernels, maps = drawn(rng, case)
    kernels, maps = kernels + offset, maps + offset
    weight = (rng.random((case[3], *case[0])) > 0.2).astype(float)
    kernel_spectra, map_spectra = model.kernel_spectra(kernels), model.map_spectra(maps)

    def on_maps(x):
        image = model.frame(model.predict(kernel_spectra, model.map_spectra(x.reshape(maps.shape))))
        canvas = model.to_canvas(without_mean(image, weight))
        return model.correlate_kernels(kernel_spectra, canvas).ravel()

    def on_kernels(a):
        image = model.frame(model.predict(model.kernel_spectra(a.reshape(kernels.shape)), map_spectra))
        return model.correlate_maps(map_spectra, model.to_canvas(without_mean(image, weight))).ravel()

    assert largest_eigenvalue(on_maps, maps.size) <= largest_gain(kernel_spectra) * (1 + 1e-9)
    assert largest_eigenvalue(on_kernels, kernels.size) <= largest_gain(map_spectra) * (1 + 1e-9)


def test_largest_gain_is_not_much_more_than_needed(rng):
    """A bound that is far too large would be safe and slow."""
    model, kernels, maps = drawn(rng, ((32, 32), (5, 5), 1, 1))
    spectra = model.kernel_spectra(kernels)

    def on_maps(x):
        image = model.frame(model.predict(spectra, model.map_spectra(x.reshape(maps.shape))))
        canvas = model.to_canvas(without_mean(image, np.ones(image.shape)))
        return model.correlate_kernels(spectra, canvas).ravel()

    assert largest_eigenvalue(on_maps, maps.size) > 0.8 * largest_gain(spectra)
