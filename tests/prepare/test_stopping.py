"""Preparing can be stopped, between steps and within those that take long."""

from threading import Event

import numpy as np
import pytest

import napari_sbd as sbd
from napari_sbd.prepare.harmonics import Harmonics
from napari_sbd.prepare.recipe import Recipe, Step
from napari_sbd.prepare.stopping import Stopped, stoppable
from napari_sbd.prepare.suggest import suggest_recipe


class After(Event):
    """An event that sets itself the nth time it is looked at."""

    def __init__(self, looks):
        super().__init__()
        self.left = looks

    def is_set(self):
        self.left -= 1
        return self.left < 0


@pytest.fixture
def image(rng):
    rows, cols = np.indices((64, 64))
    return np.cos(0.9 * rows + 0.4 * cols) + 0.1 * rng.standard_normal((64, 64))


@pytest.mark.parametrize("looks", [0, 1, 4, 9])
def test_a_recipe_stops_within_its_steps(image, looks):
    recipe, stop = Recipe([Step("lattice"), Step("background")]), After(looks)
    with pytest.raises(Stopped):
        recipe.run(image, stop)
    # Nothing was left behind that would stop the next one.
    assert recipe.run(image).observation.shape == (64, 64)


def test_a_long_step_looks_more_often_than_once(image):
    whole, fits = After(10_000), After(10_000)
    Recipe([Step("lattice")]).run(image, whole)
    # Also within the fits: as often as these have rounds.
    with stoppable(fits):
        Harmonics(image.shape, np.array([[0.14, 0.06]]), (2, 2), (3, 3)).fit(image, image == image)
    assert whole.left + 3 < fits.left < 10_000 - 3


def test_a_suggestion_stops(image):
    with pytest.raises(Stopped):
        suggest_recipe(image, After(5))


@pytest.mark.parametrize("recipe", ["suggest", Recipe((Step("lattice"),))])
def test_a_recovery_that_is_still_being_prepared_says_that_there_is_nothing(image, recipe):
    stop = Event()
    stop.set()
    with pytest.raises(Stopped, match="being prepared"):
        sbd.recover(image, recipe=recipe, stop=stop)
