"""`recover(image, recipe=…)`: what may be given, and where results lie."""

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

import napari_sbd as sbd
from napari_sbd.layers import Source, ready
from napari_sbd.prepare.recipe import Recipe, Step

RECIPE = Recipe((Step("crop", {"top": 3}), Step("background")))


@pytest.fixture
def lattice():
    """A square lattice, sheared."""
    rows, cols = np.indices((96, 96))
    return np.cos(0.9 * (cols - 0.05 * rows)) + np.cos(0.9 * rows)


@pytest.mark.parametrize("kind", ["recipe", "text", "path", "name"])
def test_a_recipe_may_be_given_in_each_way(kind, tmp_path):
    RECIPE.save(tmp_path / "mine.json")
    given = {
        "recipe": RECIPE,
        "text": RECIPE.to_json(),
        "path": tmp_path / "mine.json",
        "name": str(tmp_path / "mine.json"),
    }[kind]
    image = np.random.default_rng(0).normal(size=(24, 30))
    recovery = sbd.recover(image, recipe=given, kernel_size=5, starts=1, refinements=0)
    assert Recipe.from_json(recovery.recipe) == RECIPE
    np.testing.assert_array_equal(recovery.observation.data, RECIPE.apply(image).data)
    np.testing.assert_allclose(recovery.frame.original([[0, 0]]), [[3, 0]])


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (5, "recipe must be a Recipe, its JSON text or the path of its file, not 5"),
        ("none.json", "recipe none.json cannot be read"),
        ("{}", "this is no recipe"),
        (Recipe((Step("crop", {"top": 99}),)), "step 1 of the recipe: crop takes 99 of 24 rows"),
    ],
)
def test_a_wrong_recipe_is_named_before_work(recipe, message):
    with pytest.raises(ValueError, match=message):
        sbd.iter_recover(np.eye(24), recipe=recipe)


def test_a_recipe_is_suggested_for_whatever_is_recovered():
    rows, cols = np.indices((96, 96))
    image = np.random.default_rng(0).normal(size=(96, 96)) + 0.3 * rows + 4 * np.cos(0.9 * cols)
    expected = sbd.suggest_recipe(image)
    assert [step.operation for step in expected.steps] == ["background", "lattice"]
    channel = sbd.Channel("Z", 1e-10 * image, "m", (0.1, 0.1))
    stack = Image(np.stack([np.zeros_like(image), image]), name="two")
    assert sbd.suggest_recipe(channel) == sbd.suggest_recipe(Image(image)) == expected
    assert sbd.suggest_recipe(stack, at=1) == expected
    calm = sbd.suggest_recipe(stack, at=1, mask=rows < 40)
    assert calm != sbd.Recipe()
    np.testing.assert_array_equal(expected.apply(channel).data, expected.apply(1e-10 * image).data)
    assert expected.apply(channel).pixel_size == (0.1, 0.1)


def test_what_is_no_image_says_what_to_give():
    with pytest.raises(ValueError, match=r"scan\.sxm is the path of a file: give one of its channels"):
        sbd.recover("scan.sxm")
    with pytest.raises(ValueError, match="give it the layer's data"):
        RECIPE.apply(Image(np.eye(24)))


def test_steps_that_are_off_change_nothing():
    image = np.random.default_rng(0).normal(size=(24, 30))
    off = Recipe((Step("background", on=False),))
    recovery = sbd.recover(image, recipe=off, kernel_size=5, starts=1, refinements=0)
    assert recovery.recipe is None
    assert recovery.frame is None
    np.testing.assert_array_equal(recovery.observation.data[0], image)


def test_results_lie_over_a_distorted_image_with_true_lengths(lattice):
    source = Source("topo", scale=(0.2, 0.2), translate=(5, 7), units=("nm", "nm"), unit="nm")
    seen = sbd.observe(lattice, pixel_size=0.2, unit="nm")
    done = ready(seen, source, Recipe((Step("drift", {"symmetry": "square"}),)))
    viewer = ViewerModel()
    below = viewer.add_image(lattice, **source.placed())
    above = viewer.add_image(done.seen.data[0], **done.source.placed())
    assert abs(done.frame.matrix[1][0]) > 0.03
    for pixel in ((0, 0), (40, 60), (90, 5)):
        [given] = done.frame.original([pixel])
        np.testing.assert_allclose(above.data_to_world(pixel), below.data_to_world(given), atol=1e-9)
    assert done.source.pixel_size == done.seen.pixel_size


def test_channel_and_its_layer_give_the_same_numbers():
    values = 1e-10 * np.random.default_rng(0).normal(size=(24, 30))
    channel = sbd.Channel("Z", values, "m", (0.1, 0.1))
    quick = {"kernel_size": 5, "starts": 1, "refinements": 0}
    from_channel = sbd.recover(channel, **quick)
    layer = Image(1e9 * values, scale=(0.1, 0.1), units=("nm", "nm"))
    np.testing.assert_allclose(
        from_channel.observation.data, sbd.recover(layer, **quick).observation.data, rtol=1e-12
    )
