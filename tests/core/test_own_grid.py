"""An image on too fine a grid is recovered as one on its own grid is."""

from threading import Event

import numpy as np
import pytest
from scipy import ndimage
from scipy.signal import fftconvolve

from napari_sbd.core.own_grid import too_fine
from napari_sbd.core.quality import kernel_similarity
from napari_sbd.core.recover import iter_recover, recover
from napari_sbd.simulate import ldos_kernel, random_field

WINDOW = 13
OPTIONS = {"kernel_size": 2 * WINDOW - 1, "activations": "positive", "types": 1}


@pytest.fixture(scope="module")
def field():
    return random_field(ldos_kernel(WINDOW), (96, 96), density=0.02, snr_db=10, seed=1)


@pytest.fixture(scope="module")
def fine(field):
    """The field between its pixels, by cubic splines: rows and cols 0, ½, 1, …"""
    places = np.arange(2 * len(field.image) - 1) / 2
    return ndimage.map_coordinates(field.image, np.meshgrid(places, places, indexing="ij"), order=3)


@pytest.fixture(scope="module")
def recovery(fine):
    return recover(fine, **OPTIONS)


def test_kernel_and_defects_are_those_of_the_image_on_its_own_grid(field, recovery):
    assert recovery.window == (2 * WINDOW - 1,) * 2
    own = recovery.kernels[0, :, ::2, ::2]
    assert kernel_similarity(own / np.linalg.norm(own), field.kernels[:1]) > 0.98
    assert len(recovery.defects) == pytest.approx(len(field.positions), rel=0.15)
    places = recovery.defects[["row", "col"]].to_numpy() / 2
    steps = (field.positions[None] - places[:, None]).reshape(-1, 2)
    near = steps[np.abs(steps).max(1) < WINDOW / 4]
    # Where in its window a kernel sits is a convention: all defects lie off by the same.
    same = max(np.sum(np.hypot(*(near - step).T) < 0.7) for step in near)
    assert same > 0.9 * len(places)


def test_what_is_returned_belongs_together(fine, recovery):
    model = fftconvolve(recovery.extended_activations[0], recovery.kernels[0, 0], "valid") + recovery.bias[0]
    np.testing.assert_allclose(fine - model, recovery.residual[0], atol=1e-5 * np.ptp(fine))
    assert recovery.quality["residual_to_noise"] < 1.5


def test_states_are_shown_on_the_grid_that_was_given(fine, monkeypatch):
    monkeypatch.setattr("napari_sbd.core.recover.SECONDS_BETWEEN_STATES", 0)
    monkeypatch.setattr("napari_sbd.core.recover.PAUSE_AFTER_STATE", 0)
    states = list(iter_recover(fine, **OPTIONS))
    assert len(states) > 20
    for state in states:
        assert state.activations.shape == (1, *fine.shape)
        assert state.kernels.shape[-2:] == (2 * WINDOW - 1,) * 2


def test_a_stop_gives_what_is_known_on_the_grid_that_was_given(fine):
    stop = Event()
    stop.set()
    recovery = recover(fine, stop=stop, **OPTIONS)
    assert recovery.status == "cancelled"
    assert recovery.window == (2 * WINDOW - 1,) * 2
    assert recovery.activations.shape == (1, *fine.shape)
    assert np.any(recovery.kernels)


def test_a_field_without_noise_loses_nothing():
    """Its smooth kernel leaves high frequencies as empty as interpolation does."""
    field = random_field(ldos_kernel(25), (128, 128), density=0.01, snr_db=None, seed=0)
    assert too_fine(field.image[None], np.ones((1, 128, 128), bool))
    recovery = recover(field.image, kernel_size=25, types=1, activations="positive")
    assert kernel_similarity(recovery.kernels[0], field.kernels[:1]) > 0.999
    assert len(recovery.defects) == pytest.approx(len(field.positions), rel=0.2)
