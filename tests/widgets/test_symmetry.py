"""Symmetry in the widget: chosen by hand, orientations seen as lines, which follow threshold and files."""

import numpy as np
import pytest
from qtpy.QtCore import Qt

import napari_sbd as sbd
from napari_sbd.simulate import random_field
from napari_sbd.widgets.recover import RecoverWidget

QUICK = {"kernel_size": (9, 9), "types": 1, "starts": 2, "kept": 1, "refinements": 1}


@pytest.fixture(scope="session")
def turned_image():
    rows, cols = np.mgrid[-4:5, -4:5]
    dipole = (cols + 0.5) * np.exp(-(rows**2 + cols**2) / 5)
    kernels = np.stack([np.rot90(dipole, turns) for turns in range(4)])
    return random_field(kernels, (64, 72), density=1e-3, snr_db=15, seed=3).image


@pytest.fixture
def widget(viewer, turned_image):
    viewer.add_image(turned_image, name="topo", scale=(0.2, 0.2), units=("nm", "nm"))
    widget = RecoverWidget(viewer)
    viewer.window.add_dock_widget(widget, name="sbd")
    return widget


@pytest.fixture
def found(widget, recover, qtbot):
    """The result with a symmetry that was typed into its box."""
    combo = widget.form.fields["symmetry"].combo
    combo.setFocus()
    qtbot.keyClicks(combo, "C4")
    assert widget.form.options()["symmetry"] == "c4"
    return recover(widget, **QUICK)


def assert_lines_are_those_of(layer, recovery):
    table = recovery.defects
    np.testing.assert_allclose(layer.data[:, 0], table[["row", "col"]])
    angle = np.rad2deg(np.arctan2(-layer.data[:, 1, 0], layer.data[:, 1, 1])) % 360
    np.testing.assert_allclose(angle, table["orientation"], atol=1e-6)
    assert len(layer.features) == len(layer.edge_color) == len(table)


def test_each_defect_has_a_line_in_its_direction(viewer, found):
    assert found.types == 1
    assert len(found.kernels) == 4
    assert found.defects["orientation"].nunique() == 4
    assert [layer.name for layer in viewer.layers if "kernel" in layer.name] == ["topo · kernel"]
    lines = viewer.layers["topo · orientation"]
    assert_lines_are_those_of(lines, found)
    assert list(lines.scale) == list(viewer.layers["topo · defects"].scale)
    assert "orientation" in viewer.layers["topo · defects"].features


def test_lines_follow_the_threshold(viewer, widget, found, qtbot):
    spin = widget.result.rows.snr
    spin.setFocus()
    spin.selectAll()
    strong = np.sort(found.defects["snr"])[len(found.defects) // 2]
    qtbot.keyClicks(spin.lineEdit(), f"{strong:.1f}")
    qtbot.keyClick(spin.lineEdit(), Qt.Key.Key_Return)
    assert 0 < len(widget.recovery.defects) < len(found.defects)
    assert_lines_are_those_of(viewer.layers["topo · orientation"], widget.recovery)


def test_lines_come_back_from_a_file(viewer, found, tmp_path):
    lines = viewer.layers["topo · orientation"]
    lines.edge_width = 0.123
    path = found.save(tmp_path / "topo", layers=viewer.layers)
    opened = sbd.load(path)
    assert opened.orientations == found.orientations
    assert opened.defects.equals(found.defects)
    viewer.layers.clear()
    viewer.open(path, plugin="napari-sbd")
    again = viewer.layers["topo · orientation"]
    assert again.edge_width == 0.123
    assert_lines_are_those_of(again, found)


def test_without_symmetry_there_are_no_lines(viewer, widget, recover):
    recover(widget, **QUICK)
    assert "topo · orientation" not in viewer.layers


def test_the_copied_script_gives_the_symmetry(widget, found, click):
    from qtpy.QtWidgets import QApplication

    click(widget.copy_button)
    assert "symmetry='c4'" in QApplication.clipboard().text()


def test_in_live_shapes_stay_tied_and_lines_follow(viewer, widget, found, click, qtbot):
    rests = []
    widget.live.rested.connect(lambda *_: rests.append(True))
    click(widget.live.switch)
    qtbot.waitUntil(lambda: len(rests) == 1, timeout=20_000)
    lam = min(0.9, 3 * float(found.history["lam"].iloc[-1]))
    widget.live.fields.lam.setValue(lam)
    qtbot.waitUntil(lambda: len(rests) >= 2, timeout=20_000)
    again = widget.recovery
    assert again is not found
    for turns, kernel in enumerate(again.kernels[:, 0]):
        np.testing.assert_allclose(kernel, np.rot90(again.shapes[0, 0], turns), atol=1e-6)
    np.testing.assert_allclose(viewer.layers["topo · kernel"].data, again.shapes[0, 0])
    assert_lines_are_those_of(viewer.layers["topo · orientation"], again)
