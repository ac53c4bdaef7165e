import dataclasses

import numpy as np
import pytest

from napari_sbd.core.parameters import Parameters, setting, settings


def test_every_setting_can_be_shown():
    for each in settings():
        assert each.label
        assert each.help.endswith(".")
        if each.choices:
            assert each.default in each.choices
        else:
            assert each.low < each.high
            assert each.step > 0
            if each.default is not None:
                assert each.low <= each.default <= each.high
    assert {s.name for s in settings()} == {f.name for f in dataclasses.fields(Parameters)}


@pytest.mark.parametrize("size", [9, np.int64(9), (9, 9), [9, 9], np.array([9, 9])])
def test_kernel_size_is_one_number_or_a_pair(size):
    assert Parameters(kernel_size=size).kernel_size == (9, 9)


@pytest.mark.parametrize("size", [2, (2, 9), 0, -5, 5.5, (5.0, 5), "large", (5, 5, 5), (5,), 5000])
def test_a_kernel_size_that_cannot_be_says_what_can(size):
    with pytest.raises(ValueError, match=r"kernel_size must be .*(3 to|whole number)"):
        Parameters(kernel_size=size)


NUMBERS = [s.name for s in settings() if s.low is not None and s.name != "kernel_size"]


@pytest.mark.parametrize("name", NUMBERS)
def test_limits_are_allowed_and_what_lies_beyond_is_named_with_them(name):
    low, high = setting(name).low, setting(name).high
    for value in (low, high):
        assert getattr(Parameters(**{name: value}), name) == value
    for value in (low - 1, high + 1, "3", float("nan"), True):
        with pytest.raises(ValueError, match=f"{name} must be .* from {low:g} to"):
            Parameters(**{name: value})


@pytest.mark.parametrize("name", [n for n in NUMBERS if isinstance(setting(n).step, int)])
def test_whole_numbers_are_not_rounded_silently(name):
    with pytest.raises(ValueError, match="whole number"):
        Parameters(**{name: setting(name).low + 0.5})


def test_a_choice_names_its_alternatives():
    with pytest.raises(ValueError, match="activations must be 'automatic' or 'positive' or 'signed'"):
        Parameters(activations="both")


@pytest.mark.parametrize(
    ("typed", "meant"), [("sede", "seed"), ("kernelsize", "kernel_size"), ("start", "starts")]
)
def test_an_unknown_option_suggests_the_near_one(typed, meant):
    with pytest.raises(ValueError, match=f"'{typed}'.*'{meant}'"):
        Parameters.from_options({typed: 1})


def test_an_option_like_no_other_gets_the_list():
    with pytest.raises(ValueError, match=r"'xyzzy'.*kernel_size.*seed"):
        Parameters.from_options({"xyzzy": 1})


def test_what_was_changed_makes_the_same_parameters_again():
    assert Parameters().changed() == {}
    chosen = Parameters(kernel_size=(7, 9), seed=4, activations="signed")
    assert chosen.changed() == {"kernel_size": (7, 9), "seed": 4, "activations": "signed"}
    assert Parameters(**chosen.changed()) == chosen


def test_parameters_do_not_change_afterwards():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Parameters().seed = 3
