"""A recipe is JSON, is checked, and does the same wherever it is replayed."""

import json
import pickle

import numpy as np
import pytest

import napari_sbd as sbd
from napari_sbd.core.observation import observe
from napari_sbd.prepare.recipe import Recipe, Step, operations


@pytest.fixture
def recipe():
    return Recipe(
        [
            Step("crop", {"top": 2}),
            Step("background", {"degree": 2}),
            Step("lattice", {"rows": 1}, on=False),
            Step("lines"),
            Step("hum", {"strength": 0.5}),
        ]
    )


@pytest.fixture
def image(rng, defects):
    rows = np.arange(70)[:, None]
    return 0.1 * rows + 5 * defects((70, 80), [(20, 30), (50, 60)]) + rng.standard_normal((70, 80))


def test_text_and_back(recipe):
    again = Recipe.from_json(recipe.to_json())
    assert again == recipe
    assert hash(again) == hash(recipe)
    assert json.loads(recipe.to_json())["version"] == 1


def test_every_operation_goes_through_text():
    every = Recipe([Step(operation.name) for operation in operations()])
    assert Recipe.from_json(every.to_json()) == every


def test_it_can_be_sent_to_another_process(recipe):
    assert pickle.loads(pickle.dumps(recipe)) == recipe


def test_file_and_back(recipe, tmp_path):
    path = tmp_path / "recipe.json"
    recipe.save(path)
    recipe.save(path)
    assert Recipe.load(path) == recipe
    assert [entry.name for entry in tmp_path.iterdir()] == ["recipe.json"]


def test_replayed_it_does_the_same(recipe, image):
    first = recipe.apply(observe(image, pixel_size=0.1, unit="nm"))
    again = Recipe.from_json(recipe.to_json()).apply(observe(image, pixel_size=0.1, unit="nm"))
    assert np.array_equal(first.data, again.data)
    assert first.shape == (68, 80)
    assert first.pixel_size == (0.1, 0.1)
    assert first.unit == "nm"


def test_steps_that_are_off_are_left_out_and_the_others_tell_what_they_found(recipe, image):
    done = recipe.run(image)
    assert [step.operation for step, _ in done.outcomes] == ["crop", "background", "lines", "hum"]
    assert "removed" in done.outcomes[1][1].found


def test_masked_pixels_are_zero_afterwards_and_stay_masked(recipe, image):
    image[30:40, 30:40] = np.nan
    done = recipe.apply(image)
    assert not done.mask[0, 28:38, 30:40].any()
    assert (done.data[~done.mask] == 0).all()


def test_it_is_frozen(recipe):
    with pytest.raises(AttributeError):
        recipe.steps = ()


def head(**changes):
    return json.dumps({"format": "napari-sbd recipe", "version": 1, "steps": []} | changes)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "no recipe, for it is no JSON"),
        ("[" * 100_000, "no recipe, for it is no JSON"),
        (b"\xff\xfe\x00", "no recipe, for it is no JSON"),
        ("[]", "must be a JSON object"),
        ("{}", "'format' must be 'napari-sbd recipe'"),
        (head(version=2), "version 2, and this program follows version 1: use"),
        (head(version=True), "version True"),
        (head(more=1), "unknown part 'more': remove it"),
        (head(steps=None), "no list of 'steps'"),
        (head(steps=[1]), "step 1 of the recipe must be an object"),
        (
            head(steps=[{"operation": "latice"}]),
            "step 1 of the recipe: unknown operation 'latice': did you mean",
        ),
        (
            head(steps=[{"operation": "lines", "extra": 1}]),
            "step 1 of the recipe has an unknown part 'extra'",
        ),
        (
            head(steps=[{"operation": "lines"}, {"operation": "hum", "settings": 3}]),
            "step 2 .* settings must be",
        ),
        (head(steps=[{"operation": "lines", "on": 1}]), "on must be true or false"),
        (
            head(steps=[{"operation": "background", "settings": {"degree": 99}}]),
            "step 1 of the recipe: background: degree must be a whole number from 0 to 8, not 99",
        ),
        (
            head(steps=[{"operation": "background", "settings": {"degre": 1}}]),
            "has no setting 'degre': did you mean 'degree'",
        ),
        (head(steps=[{"operation": "hum", "settings": {"strength": 10**400}}]), "strength must be a number"),
        (head(steps=[{"operation": "hum", "settings": {"strength": None}}]), "strength must be a number"),
        (head(steps=[{"operation": "lines", "settings": {"along": ["rows"]}}]), "along must be 'rows' or"),
        (
            head(steps=[{"operation": "hum", "settings": {"strength": "much"}}]),
            "strength must be a number from 0.05 to 20, not 'much'",
        ),
    ],
)
def test_what_is_no_recipe_is_refused_with_a_reason(text, says):
    with pytest.raises(ValueError, match=says):
        Recipe.from_json(text)


def test_a_bad_file_is_named(tmp_path):
    path = tmp_path / "bad.json"
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"^bad.json: this is no recipe"):
        Recipe.load(path)


def test_what_is_no_step_is_refused():
    with pytest.raises(ValueError, match="step 1 of the recipe must be a Step, not 'lines'"):
        Recipe(["lines"])


def test_a_step_that_cannot_be_taken_is_named():
    with pytest.raises(ValueError, match=r"step 2 of the recipe: lattice needs at least 16×16 px"):
        Recipe([Step("background"), Step("lattice")]).run(np.random.default_rng(0).normal(size=(10, 10)))


def test_the_package_offers_them():
    assert sbd.Recipe is Recipe
    assert sbd.Step is Step
