"""Crop, resample and drift: pixels move, and their places are known."""

import numpy as np
import pytest

from napari_sbd.core.observation import observe
from napari_sbd.prepare.drift import drift
from napari_sbd.prepare.recipe import Recipe, Step
from napari_sbd.simulate import drift as drifted
from napari_sbd.simulate import drifted_positions


def centre(image, near, reach=5):
    row, col = (round(x) for x in near)
    part = image[row - reach : row + reach + 1, col - reach : col + reach + 1]
    places = np.indices(part.shape)
    return (places * part).sum((1, 2)) / part.sum() + [row - reach, col - reach]


@pytest.mark.parametrize("factor", [0.5, 0.37, 1.0, 2.0])
@pytest.mark.parametrize("shape", [(80, 80), (61, 90)])
def test_positions_are_the_same_length_on_any_grid(factor, shape, defects):
    spot = (31.3, 40.8)
    image = defects(shape, [spot], 3.0)
    steps = [Step("crop", {"top": 4, "left": 7}), Step("resample", {"factor": factor})]
    done = Recipe(steps).run(observe(image, pixel_size=(0.2, 0.3), unit="nm"))
    small = done.observation
    peak = np.unravel_index(small.data[0].argmax(), small.shape)
    found = centre(small.data[0], peak, reach=max(2, round(8 * factor)))
    np.testing.assert_allclose(done.original([found])[0], spot, atol=0.15)
    extent = np.array(small.shape) * small.pixel_size
    np.testing.assert_allclose(extent, (np.array(shape) - [4, 7]) * [0.2, 0.3])


def test_smaller_images_are_smoothed_and_their_masks_are_careful(rng):
    image = rng.standard_normal((100, 100))
    image[40:50, 40:50] = np.nan
    done = Recipe([Step("resample", {"factor": 0.25})]).apply(image)
    assert done.data[done.mask].std() < 0.45
    assert not done.mask[0, 10:12, 10:12].any()
    assert done.mask.mean() > 0.9


@pytest.mark.parametrize("sides", [{"top": 60, "bottom": 40}, {"left": 100}])
def test_crop_that_leaves_nothing_is_refused(sides):
    with pytest.raises(ValueError, match=r"step 1 of the recipe: crop takes .* leave some"):
        Recipe([Step("crop", sides)]).run(np.random.default_rng(0).normal(size=(100, 90)))


@pytest.mark.parametrize("symmetry", ["hexagonal", "square"])
@pytest.mark.parametrize(("shear", "stretch"), [(0.0, 0.0), (0.08, 0.0), (-0.05, 0.06), (0.03, -0.07)])
def test_shear_and_stretch_are_measured_and_undone(symmetry, shear, stretch, rng):
    rows, cols = np.indices((160, 140)).astype(float)
    true_rows, true_cols = rows / (1 + stretch), cols - shear * rows
    turns = np.deg2rad(
        17 + np.arange(3 if symmetry == "hexagonal" else 2) * (60 if symmetry == "hexagonal" else 90)
    )
    image = sum(np.cos(0.9 * (np.sin(t) * true_rows + np.cos(t) * true_cols)) for t in turns)
    done = drift(image + 0.1 * rng.standard_normal(image.shape), symmetry=symmetry)
    assert done.found["shear"] == pytest.approx(shear, abs=0.004)
    assert done.found["stretch"] == pytest.approx(stretch, abs=0.004)
    place = done.matrix @ [50, 60, 1]
    again = drift(np.where(done.mask, done.data, 0), done.mask, symmetry=symmetry)
    assert abs(again.found["shear"]) < 0.01
    assert np.isfinite(place).all()


def test_a_lattice_is_regular_in_lengths_not_in_pixels(hexagonal):
    rows, cols = np.indices((120, 120)).astype(float)
    turns = np.deg2rad([10, 70, 130])
    image = sum(np.cos(0.8 * (np.sin(t) * 1.15 * rows + np.cos(t) * cols)) for t in turns)
    done = drift(image, pixel_size=(1.15, 1.0))
    assert abs(done.found["shear"]) < 0.01
    assert abs(done.found["stretch"]) < 0.01


def test_drift_as_the_instrument_makes_it_is_undone(hexagonal, defects):
    clean = hexagonal((200, 200))
    spot = np.array([[130.0, 70.0]])
    seed = 3
    moved = drifted(clean + 8 * defects((200, 200), spot), np.random.default_rng(seed), 6.0)[12:-12, 12:-12]
    seen = drifted_positions(spot, 200, np.random.default_rng(seed), 6.0)[0] - 12
    done = Recipe([Step("drift")]).run(observe(moved, pixel_size=0.1, unit="nm"))
    peak = np.unravel_index(done.observation.data[0].argmax(), done.observation.shape)
    np.testing.assert_allclose(done.original([peak])[0], seen, atol=0.8)
    assert done.observation.pixel_size == (0.1, 0.1)


def test_without_a_lattice_drift_says_so(rng):
    with pytest.raises(ValueError, match="shows no hexagonal lattice: choose the other symmetry"):
        drift(rng.standard_normal((80, 80)))
