import pytest

from napari_sbd.core.parameters import Parameters, setting, settings
from napari_sbd.widgets.settings_form import SettingsForm


@pytest.fixture
def form(qtbot):
    form = SettingsForm()
    qtbot.addWidget(form)
    return form


OTHER = {
    "kernel_size": (9, 11),
    "types": 3,
    "activations": "signed",
    "lam_first": 0.0123,
    "lam_last": 0.00125,
    "starts": 3,
    "kept": 1,
    "refinements": 0,
    "seed": 2**31 - 1,
    "device": "gpu",
}


def test_shows_the_defaults_of_every_setting(form):
    assert form.options() == {s.name: s.default for s in settings()}
    assert not Parameters(**form.options()).changed()


@pytest.mark.parametrize("name", OTHER)
def test_values_are_kept_as_given_and_defaults_come_back(form, name):
    changes = []
    form.changed.connect(lambda: changes.append(1))
    form.fields[name].set_value(OTHER[name])
    assert form.options()[name] == OTHER[name]
    assert changes
    form.restore_defaults()
    assert form.options()[name] == setting(name).default


def test_small_numbers_can_be_typed(form, qtbot):
    spin = form.fields["lam_last"].spin
    form.fields["lam_last"].set_value(0.1)
    spin.selectAll()
    qtbot.keyClicks(spin, "0.00175")
    spin.interpretText()
    assert form.options()["lam_last"] == 0.00175
    assert spin.text() == "0.00175"


@pytest.mark.parametrize("info", settings(), ids=lambda s: s.name)
def test_every_field_explains_itself(form, info):
    text = form.fields[info.name].toolTip()
    assert info.help in text.replace("<sub>max</sub>", "_max")
    assert "Default:" in text


def test_advanced_is_closed_at_first(form, qtbot):
    form.show()
    for info in settings():
        assert form.fields[info.name].isVisible() is not info.advanced
    form.advanced.click()
    assert all(field.isVisible() for field in form.fields.values())


def test_limits(form):
    for info in settings():
        if info.low is not None and info.name != "kernel_size":
            spin = form.fields[info.name].spin
            assert (spin.minimum(), spin.maximum()) == (info.low, info.high)
