"""A stack taken as energies, and a kernel found on one slice carried to all, by clicking and by console."""

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from qtpy.QtWidgets import QApplication

import napari_sbd as sbd
from napari_sbd.core.quality import kernel_similarity
from napari_sbd.layers import energies_of
from napari_sbd.simulate import ldos_kernel, random_field
from napari_sbd.widgets.image_choice import SHOWN, TOGETHER
from napari_sbd.widgets.recover import RecoverWidget

from .conftest import QUICK

ENERGIES = (-0.02, -0.01, 0.0)
KERNELS = np.stack([ldos_kernel(9, energy) for energy in (-2.4, -2.1, -1.8)])
PLACE = {"scale": (1, 0.2, 0.2), "units": ("pixel", "nm", "nm")}
CALIBRATED = {
    "scale": (0.01, 0.2, 0.2),
    "translate": (-0.02, 0, 0),
    "units": ("V", "nm", "nm"),
    "axis_labels": ("bias", "y", "x"),
}


@pytest.fixture(scope="session")
def stack():
    """Three energies of one field: the same places, another kernel in each."""
    clean = [random_field(k, (48, 56), density=0.004, snr_db=None, seed=1).clean for k in KERNELS]
    return np.stack(clean) + np.random.default_rng(0).normal(0, 0.01, (3, 48, 56))


@pytest.fixture
def shown(viewer, stack):
    """The dock widget beside a stack with a calibrated axis of energies."""
    viewer.add_image(stack, name="grid", **CALIBRATED)
    widget = RecoverWidget(viewer)
    viewer.window.add_dock_widget(widget, name="sbd")
    return widget


def choose(combo, text):
    """Pick an entry as a user does."""
    combo.setCurrentIndex(combo.findText(text))
    QApplication.processEvents()


def test_known_energies_ask_for_all_slices(viewer, shown, recover):
    assert shown.image.slices.isVisibleTo(shown)
    assert shown.image.slices.currentText() == TOGETHER
    assert "3 slices · −0.02 to 0 V" in shown.image.hint.text()
    recovery = recover(shown, **QUICK)
    assert recovery.kernels.shape == (1, 3, 9, 9)
    assert recovery.source.energies == pytest.approx(ENERGIES)
    assert kernel_similarity(recovery.kernels[0], KERNELS) > 0.99
    source = viewer.layers["grid"]
    for role in ("kernel", "reconstruction", "residual"):
        layer = viewer.layers[f"grid · {role}"]
        assert layer.data.shape[0] == 3
        assert layer.units == source.units
        assert layer.axis_labels == source.axis_labels
        assert (layer.scale[0], layer.translate[0]) == pytest.approx((0.01, -0.02))
        assert layer.metadata["napari-sbd"]["energies"] == pytest.approx(ENERGIES)
    assert viewer.layers["grid · activation"].ndim == viewer.layers["grid · defects"].ndim == 2
    assert [viewer.dims.range[0].start, viewer.dims.range[0].stop] == pytest.approx([-0.02, 0])
    for step, energy in enumerate(("−0.02", "−0.01", "0")):
        viewer.dims.set_current_step(0, step)
        assert f"slice {step} of 0 to 2<br>at {energy} V" in shown.preview.rows[0].caption.text()


def test_clicking_and_console_give_the_same(viewer, shown, recover, click):
    by_click = recover(shown, **QUICK)
    click(shown.copy_button)
    lines = QApplication.clipboard().text()
    assert "at='all'" in lines
    by_console = sbd.recover(viewer.layers["grid"], **QUICK)
    np.testing.assert_array_equal(by_click.kernels, by_console.kernels)
    exec(lines, {"viewer": viewer})
    np.testing.assert_array_equal(viewer.layers["grid · kernel [2]"].data, by_click.kernels[0])


def test_the_shown_slice_alone(viewer, shown, recover):
    choose(shown.image.slices, SHOWN)
    viewer.dims.set_current_step(0, 2)
    assert "slice 2" in shown.image.hint.text()
    recovery = recover(shown, **QUICK)
    assert recovery.kernels.shape == (1, 1, 9, 9)
    assert recovery.source.energies == ()
    assert kernel_similarity(recovery.kernels[0], KERNELS[2]) > 0.99
    assert "at=(2,)" in shown.python_lines()


def test_without_energies_the_shown_slice_is_taken_until_asked_otherwise(viewer, shown, stack, recover):
    viewer.add_image(stack, name="plain", **PLACE)
    shown.image.combo.value = viewer.layers["plain"]
    assert shown.image.slices.currentText() == SHOWN
    choose(shown.image.slices, TOGETHER)
    assert "3 slices" in shown.image.hint.text()
    recovery = recover(shown, **QUICK)
    assert recovery.kernels.shape == (1, 3, 9, 9)
    console = sbd.recover(viewer.layers["plain"], at="all", **QUICK)
    np.testing.assert_array_equal(recovery.kernels, console.kernels)


def test_the_choice_is_there_for_stacks_only(viewer, shown, image):
    flat = viewer.add_image(image, name="flat")
    viewer.add_image(np.stack([[image] * 2] * 2), name="four axes")
    for name in ("flat", "four axes"):
        shown.image.combo.value = viewer.layers[name]
        assert not shown.image.slices.isVisibleTo(shown)
        assert not shown.image.slices_label.isVisibleTo(shown)
    assert shown.image.layer.name == "four axes"
    shown.image.combo.value = viewer.layers["grid"]
    assert shown.image.slices.isVisibleTo(shown)
    assert flat in viewer.layers


def test_a_kernel_found_on_one_slice_starts_all(viewer, shown, recover):
    choose(shown.image.slices, SHOWN)
    viewer.dims.set_current_step(0, 1)
    recover(shown, **QUICK)
    choose(shown.image.slices, TOGETHER)
    choose(shown.start_choice.combo.native, "grid · kernel")
    recovery = recover(shown)
    assert recovery.quality["starts"] == 1
    assert recovery.kernels.shape == (1, 3, 9, 9)
    assert kernel_similarity(recovery.kernels[0], KERNELS) > 0.99
    assert 'start=viewer.layers["grid · kernel"]' in shown.python_lines()
    console = sbd.recover(viewer.layers["grid"], start=viewer.layers["grid · kernel"], **QUICK)
    np.testing.assert_array_equal(recovery.kernels, console.kernels)
    whole = viewer.layers["grid · kernel [2]"]
    choose(shown.start_choice.combo.native, whole.name)
    assert shown.button.isEnabled()
    choose(shown.image.slices, SHOWN)
    assert shown.button.isEnabled()


def test_a_kernel_that_does_not_fit_is_named(viewer, shown):
    kernel = viewer.add_image(np.ones((60, 9)), name="old", metadata={"napari-sbd": {"role": "kernel"}})
    choose(shown.start_choice.combo.native, "old")
    assert not shown.button.isEnabled()
    assert "kernel of old is larger than the image" in shown.progress.message.text()
    kernel.data = np.ones((2, 9, 9))
    shown.start_choice.changed.emit()
    assert "Old has 2 slices and the image 3" in shown.progress.message.text()


def test_a_kernel_of_other_pixels_is_resized():
    image = random_field(ldos_kernel(11), (64, 64), density=0.004, snr_db=25, seed=1).image
    kernel = ldos_kernel(11)
    fine = Image(np.kron(kernel, np.ones((2, 2))), scale=(0.1, 0.1), units=("nm", "nm"))
    coarse = Image(image, scale=(0.2, 0.2), units=("nm", "nm"))
    found = sbd.recover(coarse, start=fine, types=1)
    assert found.window == (11, 11)
    assert kernel_similarity(found.kernels[0], kernel) > 0.99


@pytest.mark.parametrize(
    ("options", "energies", "unit"),
    [
        (CALIBRATED, ENERGIES, "V"),
        ({"metadata": {"energies": [1, 2, 4], "energy_unit": "mV"}}, (1, 2, 4), "mV"),
        ({"metadata": {"napari-sbd": {"energies": [1, 2, 4], "energy_unit": "meV"}}}, (1, 2, 4), "meV"),
        ({"metadata": {"axes": [{"scale": 2, "offset": 5, "units": "eV"}, {}, {}]}}, (5, 7, 9), "eV"),
        ({"metadata": {"energies": [1, 2]}}, (), ""),
        ({"metadata": {"axes": [{"scale": 2, "offset": 5, "units": "s"}, {}, {}]}}, (), ""),
        ({}, (), ""),
    ],
)
def test_where_energies_are_looked_up(stack, options, energies, unit):
    found, symbol = energies_of(Image(stack, **options))
    assert found == pytest.approx(energies)
    assert symbol == unit


def test_energies_of_an_array_become_the_axis(stack):
    viewer = ViewerModel()
    recovery = sbd.recover(stack, energies=[-20, -10, 0], energy_unit="mV", **QUICK)
    layers = {layer.name: layer for layer in recovery.add_to(viewer)}
    kernel = layers["image · kernel"]
    assert (kernel.scale[0], kernel.translate[0]) == (10, -20)
    assert str(kernel.units[0]) == "millivolt"
    assert kernel.axis_labels == ("bias", "y", "x")
    uneven = sbd.recover(stack, energies=[-20, -10, 5], energy_unit="mV", **QUICK)
    assert uneven.source.slice_scale == 1
    assert uneven.source.energies == (-20, -10, 5)
    with pytest.raises(ValueError, match="energies holds 2 numbers and image 3 slices"):
        sbd.recover(stack, energies=[1, 2])
