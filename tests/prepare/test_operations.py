"""What all operations have in common."""

import inspect

import numpy as np
import pytest

from napari_sbd.prepare.recipe import operation, operations

NAMES = [known.name for known in operations()]
# Drift refuses an image without a lattice.
ANYWHERE = [name for name in NAMES if name != "drift"]
KEEP_SHAPE = [name for name in ANYWHERE if name != "resample"]


@pytest.fixture
def image(rng, defects, hexagonal):
    shape = (61, 84)
    spots = [(12, 20), (40, 60), (50, 11)]
    return hexagonal(shape) + 8 * defects(shape, spots) + 0.2 * rng.standard_normal(shape)


@pytest.mark.parametrize("known", operations(), ids=NAMES)
def test_a_form_can_be_built_from_it(known):
    assert known.label
    assert known.help.endswith(".")
    for setting in known.settings:
        assert setting.label
        assert setting.help.endswith(".")
        assert known.checked({setting.name: setting.default})[setting.name] == setting.default
        if setting.choices:
            assert len(setting.choices) == len(setting.choice_labels)
        else:
            assert setting.low <= setting.default <= setting.high
            assert setting.step > 0


@pytest.mark.parametrize("known", operations(), ids=NAMES)
def test_the_functions_defaults_are_the_settings(known):
    parameters = inspect.signature(known.function).parameters.values()
    given = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "pixel_size"}
    assert given == {setting.name: setting.default for setting in known.settings}
    assert known.physical == ("pixel_size" in inspect.signature(known.function).parameters)


@pytest.mark.parametrize("name", ANYWHERE)
def test_the_image_given_stays_as_it_was(name, image):
    before = image.copy()
    operation(name)(image)
    assert np.array_equal(image, before)


@pytest.mark.parametrize("name", ANYWHERE)
def test_offset_and_scale_of_the_image_do_not_matter(name, image):
    plain = operation(name)(image)
    changed = operation(name)(1e-12 * image + 3e-12)
    difference = changed.data * 1e12 - plain.data
    assert np.array_equal(changed.mask, plain.mask)
    assert np.ptp(difference) < 1e-3 * np.ptp(image)


@pytest.mark.parametrize("name", ANYWHERE)
@pytest.mark.parametrize("dtype", ["uint8", ">f4", "float32", "int16"])
def test_any_real_dtype_serves(name, dtype, image):
    counts = np.round(20 * (image - image.min()))
    plain, other = operation(name)(counts), operation(name)(counts.astype(dtype))
    assert other.data.dtype == np.float64
    np.testing.assert_allclose(other.data, plain.data, atol=1e-3)


@pytest.mark.parametrize("name", KEEP_SHAPE)
def test_pixels_without_a_value_stay_masked_and_do_no_harm(name, image):
    holed = image.copy()
    holed[20:26, 40:50] = np.nan
    holed[3, 5] = np.inf
    done = operation(name)(holed)
    assert np.isfinite(done.data).all()
    assert not done.mask[20:26, 40:50].any()
    assert not done.mask[3, 5]
    whole = operation(name)(image)
    both = done.mask & whole.mask
    assert np.std((done.data - whole.data)[both]) < 0.15 * image.std()


@pytest.mark.parametrize("name", KEEP_SHAPE)
def test_a_mask_does_what_missing_values_do(name, image):
    mask = np.ones(image.shape, bool)
    mask[20:26, 40:50] = False
    holed = np.where(mask, image, np.nan)
    masked, missing = operation(name)(image, mask), operation(name)(holed)
    assert np.array_equal(masked.mask, missing.mask)
    np.testing.assert_allclose(masked.data[masked.mask], missing.data[masked.mask], atol=1e-9)


@pytest.mark.parametrize("name", [name for name in ANYWHERE if name != "lattice"])
def test_slices_of_a_stack_are_prepared_one_by_one(name, image, rng):
    other = image + 0.5 * rng.standard_normal(image.shape)
    stack = operation(name)(np.stack([image, other]))
    for done, alone in zip(stack.data, (image, other), strict=True):
        np.testing.assert_allclose(done, operation(name)(alone).data, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (np.ones((3, 1)), "needs at least|leave some|leaves"),
        (np.ones((16, 16), complex), "real numbers"),
        (np.ones(16), "stack"),
        (np.ones((2, 2, 16, 16)), "4 dimensions"),
        (np.zeros((0, 40, 40)), "needs at least"),
    ],
)
def test_what_is_no_image_gets_a_clear_error(name, bad, says):
    settings = {"bottom": 3} if name == "crop" else {}
    with pytest.raises(ValueError, match=says):
        operation(name)(bad, **settings)


@pytest.mark.parametrize("name", NAMES)
def test_a_mask_that_does_not_fit_gets_a_clear_error(name, image):
    with pytest.raises(ValueError, match=r"mask has shape \(5, 5\)"):
        operation(name)(image, np.ones((5, 5), bool))


@pytest.mark.parametrize("name", [n for n in KEEP_SHAPE if n != "crop"])
def test_a_flat_image_stays_flat(name):
    done = operation(name)(np.full((40, 50), 7.0))
    assert done.mask.all()
    assert np.ptp(done.data) < 1e-5


@pytest.mark.parametrize("name", ANYWHERE)
def test_an_image_that_is_masked_altogether_does_not_crash(name, image):
    done = operation(name)(image, np.zeros(image.shape, bool))
    assert not done.mask.any()


def test_what_was_removed_is_the_difference(image):
    for name in ("background", "lines", "lattice", "hum"):
        done = operation(name)(image)
        np.testing.assert_allclose(done.data + done.found["removed"], image, atol=1e-9)


def test_settings_are_checked_and_named():
    with pytest.raises(ValueError, match="background has no setting 'degre': did you mean 'degree'"):
        operation("background")(np.eye(20), degre=2)
    with pytest.raises(
        ValueError, match="lines: along must be 'rows' or 'columns' or 'both', not 'diagonal'"
    ):
        operation("lines")(np.eye(20), along="diagonal")
    with pytest.raises(ValueError, match="whole number from 0 to 8, not True"):
        operation("background")(np.eye(20), degree=True)
    with pytest.raises(ValueError, match=r"a number from .* not nan"):
        operation("hum")(np.eye(20), strength=float("nan"))
