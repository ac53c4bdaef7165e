"""Impurities on a lattice: the T-matrix and what a tip sees of it."""

import numpy as np
import pytest

from napari_sbd.simulate import (
    band_energy,
    greens_function,
    impurity_image,
    ldos_change,
    ldos_kernel,
    t_matrix,
    tip_image,
)
from napari_sbd.simulate.tight_binding import wave_number

ENERGY, BROADENING = -2.4, 0.08


@pytest.fixture(scope="module")
def green():
    return greens_function(ENERGY, BROADENING, 320)


def test_band_bottom_is_round_and_at_the_origin():
    k = np.linspace(-np.pi, np.pi, 101)
    energy = band_energy(k[:, None], k[None])
    assert energy.min() == pytest.approx(-2.8)
    assert band_energy(0.3, 0.0) == pytest.approx(band_energy(0.3 / np.sqrt(2), 0.3 / np.sqrt(2)), abs=1e-3)


def test_greens_function_inverts_the_hamiltonian(green):
    neighbours = sum(np.roll(green, shift, axis) for shift in (1, -1) for axis in (0, 1))
    diagonals = sum(np.roll(green, shift, (0, 1)) for shift in ((1, 1), (1, -1), (-1, 1), (-1, -1)))
    identity = (ENERGY + 1j * BROADENING) * green + neighbours - 0.3 * diagonals
    expected = np.zeros_like(identity)
    expected[0, 0] = 1
    np.testing.assert_allclose(identity, expected, atol=1e-12)


def test_mesh_is_fine_enough(green):
    finer = greens_function(ENERGY, BROADENING, 640)
    np.testing.assert_allclose(green[:100, :100], finer[:100, :100], atol=1e-7)


def test_one_impurity_has_the_closed_form(green):
    strength = -2.0
    t = strength / (1 - strength * green[0, 0])
    assert t_matrix([[4, 5]], [strength], green)[0, 0] == pytest.approx(t)
    expected = -np.imag(green[:9, :9] ** 2 * t) / np.pi
    np.testing.assert_allclose(ldos_change([[0, 0]], [strength], (9, 9), green), expected, atol=1e-14)


def test_t_matrix_sums_all_orders_of_scattering(green):
    sites, strengths = np.array([[0, 0], [3, 1], [5, 6]]), np.array([0.2, -0.3, 0.25])
    apart = sites[:, None] - sites[None]
    between, potential = green[apart[..., 0], apart[..., 1]], np.diag(strengths)
    series, term = np.zeros((3, 3), complex), potential.astype(complex)
    for _ in range(60):
        series, term = series + term, potential @ between @ term
    np.testing.assert_allclose(t_matrix(sites, strengths, green), series, atol=1e-12)


@pytest.mark.parametrize(("distance", "least", "most"), [(60, 0.0, 0.01), (5, 0.05, 1.0)])
def test_multiple_scattering_matters_only_between_near_impurities(green, distance, least, most):
    sites, shape = np.array([[20, 20], [20, 20 + distance]]), (41, 101)
    both = ldos_change(sites, [-2.0, -2.0], shape, green)
    alone = sum(ldos_change(site[None], [-2.0], shape, green) for site in sites)
    assert least <= np.linalg.norm(both - alone) / np.linalg.norm(both) <= most


@pytest.mark.parametrize(
    ("sites", "strengths", "message"),
    [([[0, 0]], [0.0], "strengths"), ([[0, 0], [0, 0]], [1, 1], "twice"), ([[0, 0]], [1, 1], "one per")],
)
def test_wrong_impurities_are_named(green, sites, strengths, message):
    with pytest.raises(ValueError, match=message):
        t_matrix(sites, strengths, green)


def test_lattice_larger_than_the_greens_function_is_refused(green):
    with pytest.raises(ValueError, match="at least 400"):
        ldos_change([[0, 0]], [1.0], (200, 9), green)


@pytest.mark.parametrize("place", [(60.0, 60.0), (60.37, 59.81)])
def test_one_impurity_on_a_lattice_is_its_kernel_wherever_it_sits(green, place):
    site, kernel = 20, impurity_image(81, ENERGY, BROADENING, -2.5)
    change = ldos_change([[site, site]], [-2.5], (41, 41), green)
    seen = tip_image(change, (place[0] - 3.1 * site, place[1] - 3.1 * site), (121, 121))
    frequency = 2j * np.pi * np.fft.fftfreq(81)
    shift = np.array(place) - 60
    phase = np.exp(-frequency[:, None] * shift[0] - frequency * shift[1])
    moved = np.fft.ifft2(np.fft.fft2(kernel) * phase).real
    np.testing.assert_allclose(seen[30:91, 30:91], moved[10:71, 10:71], atol=1e-3 * np.abs(kernel).max())


def test_moving_the_lattice_by_a_pixel_moves_the_image():
    ldos = np.random.default_rng(0).standard_normal((30, 30))
    here, there = (tip_image(ldos, (first, -9.3), (60, 60)) for first in (-9.3, -8.3))
    np.testing.assert_allclose(here[:-1], there[1:], atol=1e-12)


@pytest.mark.parametrize("window", [13, 25, 41, 77])
def test_kernels_are_centred_of_unit_norm_and_fade_to_the_edge(window):
    kernel = ldos_kernel(window)
    assert kernel.shape == (window, window)
    assert np.linalg.norm(kernel) == pytest.approx(1)
    assert np.unravel_index(np.abs(kernel).argmax(), kernel.shape) == (window // 2, window // 2)
    np.testing.assert_allclose(kernel, kernel.T, atol=1e-12)
    np.testing.assert_allclose(kernel, np.rot90(kernel), atol=1e-12)
    assert np.abs(kernel[0]).max() < 0.02 * np.abs(kernel).max()


def test_energy_sets_the_distance_of_the_rings():
    for energy in (-2.55, -2.4, -2.2):
        rings = ldos_kernel(77, energy, broadening=0.03, taper=False)[38, 38:]
        changes = np.flatnonzero(np.diff(np.sign(rings)))
        assert np.diff(changes[1:]).mean() == pytest.approx(3.1 * np.pi / wave_number(energy) / 2, rel=0.1)


def test_untapered_kernel_is_the_single_impurity():
    image = impurity_image(41, ENERGY, BROADENING, 1.0)
    kernel = ldos_kernel(41, ENERGY, broadening=BROADENING, strength=1.0, taper=False)
    np.testing.assert_allclose(kernel, image / np.linalg.norm(image), atol=1e-14)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window": 24}, "odd"),
        ({"window": 1}, "odd"),
        ({"window": 25, "energy": -3.0}, "energy"),
        ({"window": 25, "broadening": 0.0}, "broadening"),
        ({"window": 25, "lattice_px": -1.0}, "lattice_px"),
        ({"window": 25, "strength": 0.0}, "strength"),
    ],
)
def test_wrong_kernel_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ldos_kernel(**arguments)
