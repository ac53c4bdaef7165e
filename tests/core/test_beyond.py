"""What one step down the gradient tells of kernels and places, and the plain way against that for crowds."""

import numpy as np
import pytest

from napari_sbd.core import support_model
from napari_sbd.core.beyond import seen_beyond, stand_apart
from napari_sbd.core.descent import Iterate
from napari_sbd.core.objective import Objective
from napari_sbd.core.sites import Sites
from napari_sbd.core.subpixel import _lie_on_pixels
from napari_sbd.core.window import most_gained, shift

WINDOW = (9, 9)


def blob(offset=0.0):
    """A smooth kernel (1, 1, 9, 9), off its window's middle by so many rows."""
    rows, cols = np.mgrid[-4:5, -4:5]
    kernel = np.exp(-((rows - offset) ** 2 + cols**2) / 6.0)
    return (kernel / np.linalg.norm(kernel)).astype(np.float32)[None, None]


def field(kernel, split=False, seed=0):
    """An image of 25 defects on a loose grid, and the iterate that shows it."""
    rng = np.random.default_rng(seed)
    maps = np.zeros((1, 120 + 8, 120 + 8), np.float32)
    for row in range(5):
        for col in range(5):
            place = 14 + 22 * row + rng.integers(6), 14 + 22 * col + rng.integers(6)
            maps[0][place] = rng.uniform(1, 2)
            if split:
                maps[0][place[0] + 1, place[1]] = 0.8 * maps[0][place]
    empty = Objective(np.zeros((1, 120, 120), np.float32), np.ones((1, 120, 120), bool), WINDOW)
    image = empty.left(kernel, maps)
    return Objective(image, empty.mask, WINDOW), Iterate(kernel, maps, np.inf)


def test_a_kernel_cut_by_its_window_is_seen_to_go_on_beyond_it():
    objective, found = field(blob())
    cut = shift(found.kernels, (3, 0))
    off = Iterate(cut / np.linalg.norm(cut), shift(found.maps, (-3, 0)), np.inf)
    seen = [seen_beyond(objective, it) for it in (found, off)]
    assert most_gained(seen[0], WINDOW) < 1e-3
    assert most_gained(seen[1], WINDOW) > 0.02


def test_defects_that_are_split_or_few_are_not_judged_one_by_one():
    assert stand_apart(*field(blob()))
    assert not stand_apart(*field(blob(), split=True))
    objective, found = field(blob())
    found.maps[0, 40:] = 0
    assert not stand_apart(objective, found)


@pytest.mark.parametrize(("offset", "lie"), [(0.0, True), (0.25, False)])
def test_defects_off_their_pixels_are_told_from_those_on_them(offset, lie):
    objective, found = field(blob(offset))
    assert _lie_on_pixels(objective, Iterate(blob(), found.maps, np.inf)) is lie


@pytest.mark.parametrize("name", ["MANY_PAIRS", "MATRIX"])
def test_what_is_done_for_crowds_gives_the_same_quadratic(monkeypatch, name):
    rng = np.random.default_rng(1)
    maps = np.where(rng.random((1, 48, 48)) < 0.05, 1.0, 0.0).astype(np.float32)
    data = rng.standard_normal((1, 40, 40)).astype(np.float32)
    objective = Objective(data, np.ones(data.shape, bool), WINDOW)
    sites, kernel = Sites.of(maps), rng.standard_normal((1, 1, *WINDOW)).astype(np.float32)
    plain = objective.model_of(sites, 1).quadratic(sites.read(maps)).product(kernel)
    monkeypatch.setattr(support_model, name, 10)
    other = objective.model_of(sites, 1).quadratic(sites.read(maps)).product(kernel)
    assert np.abs(other - plain).max() < 1e-5 * np.abs(plain).max()
