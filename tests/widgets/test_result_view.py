"""Threshold, trust and kernel errors in the widget, used as a user would."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication, QLabel, QScrollArea

import napari_sbd as sbd
from napari_sbd.io.compare import differences
from napari_sbd.simulate import ldos_kernel, random_field
from napari_sbd.widgets.recover import RecoverWidget

QUICK = {"kernel_size": (11, 11), "starts": 2, "kept": 1, "refinements": 1, "types": 1}


@pytest.fixture(scope="session")
def noisy():
    return random_field(ldos_kernel(11), (64, 72), density=0.003, snr_db=3, seed=2, outside=True).image


@pytest.fixture
def widget(viewer, noisy):
    viewer.add_image(noisy, name="topo", scale=(0.2, 0.2), units=("nm", "nm"))
    widget = RecoverWidget(viewer)
    viewer.window.add_dock_widget(widget, name="sbd")
    return widget


def type_number(qtbot, spin, text):
    """Replace what a spin box shows by typing."""
    spin.setFocus()
    spin.selectAll()
    qtbot.keyClicks(spin.lineEdit(), text)
    qtbot.keyClick(spin.lineEdit(), Qt.Key.Key_Return)


def test_a_lower_threshold_adds_points_and_rows_without_a_run(viewer, widget, recover, qtbot):
    recovery = recover(widget, **QUICK)
    rows = widget.result.rows
    assert rows.isVisibleTo(widget)
    points = viewer.layers["topo · defects"]
    before = len(points.data)
    assert before == len(recovery.defects)
    layers = list(viewer.layers)
    type_number(qtbot, rows.strength, "0")
    type_number(qtbot, rows.snr, "3")
    assert widget.recovery.threshold.snr == 3
    assert len(points.data) == len(points.features) == len(widget.recovery.defects) > before
    assert list(points.features.columns) == list(widget.recovery.defects.columns)
    assert points.features["snr"].min() >= 3
    assert f"{len(points.data)} defects; " in rows.text.text()
    assert f"{widget.recovery.false_positives:.2g} expected from noise" in rows.text.text()
    assert widget.progress.message.text().startswith(f"{len(points.data)} defects; ")
    assert len(points.border_color) == len(points.data)
    assert points.metadata["napari-sbd"]["threshold"]["snr"] == 3
    assert list(viewer.layers) == layers


def test_the_default_brings_the_first_table_back(viewer, widget, recover, qtbot, click):
    first = recover(widget, **QUICK).defects
    points, rows = viewer.layers["topo · defects"], widget.result.rows
    assert not rows.default.isEnabled()
    type_number(qtbot, rows.snr, "20")
    assert len(points.data) < len(first)
    click(rows.default)
    assert widget.recovery.threshold.snr is None
    np.testing.assert_array_equal(points.data, first[["row", "col"]])
    assert not rows.default.isEnabled()
    type_number(qtbot, rows.snr, "9999")
    assert len(points.data) == 0
    assert widget.progress.message.text().startswith("0 defects")
    click(rows.default)
    assert len(points.data) == len(first)


def test_defects_outside_the_frame_on_request(viewer, widget, recover, click, qtbot):
    recover(widget, **QUICK)
    points = viewer.layers["topo · defects"]
    before = len(points.data)
    box = widget.result.rows.outside
    qtbot.mouseClick(box, Qt.MouseButton.LeftButton, pos=QPoint(10, box.height() // 2))
    assert len(points.data) > before
    assert points.features["outside"].sum() == len(points.data) - before


def test_without_its_points_a_threshold_changes_the_table_alone(viewer, widget, recover, qtbot):
    recover(widget, **QUICK)
    viewer.layers.remove("topo · defects")
    type_number(qtbot, widget.result.rows.snr, "20")
    assert widget.recovery.defects["snr"].min() >= 20


@pytest.mark.parametrize("removed", [(), ("topo · defects",)])
def test_the_present_threshold_is_saved(viewer, widget, recover, click, qtbot, tmp_path, removed):
    recover(widget, **QUICK)
    click(widget.result.errors)
    qtbot.waitUntil(lambda: "topo · kernel error" in viewer.layers, timeout=30_000)
    for name in removed:
        viewer.layers.remove(name)
    type_number(qtbot, widget.result.rows.snr, "20")
    chosen = widget.recovery
    assert chosen.threshold.snr == 20
    for name in ("topo", "topo · kernel", "topo · kernel error"):
        viewer.layers.selection.active = viewer.layers[name]
        assert widget.save_bar.recovery is chosen
    kernel = viewer.layers["topo · kernel"]
    assert kernel.metadata["napari-sbd"]["threshold"]["snr"] == 20
    viewer.layers.selection = {kernel, viewer.layers["topo · residual"]}
    [by_menu] = viewer.layers.save(tmp_path / "menu.sbd.h5", selected=True, plugin="napari-sbd")
    by_bar = widget.save_bar.recovery.save(tmp_path / "bar.sbd.h5", layers=viewer.layers)
    for path in (by_menu, by_bar):
        assert differences(chosen, sbd.load(path)) == []
        assert differences(chosen.defects, sbd.load(path).defects) == []


def test_figures_and_sentence_are_shown(widget, recover):
    recovery = recover(widget, **QUICK)
    figures = widget.result.figures
    assert figures["Starts that agree"] == "2 of 2"
    assert figures["Residual"] == f"{recovery.trust.residual_to_noise:.2f} × noise"
    assert figures["Window"] == "11 × 11 px, given"
    assert figures["Final λ"] == f"{recovery.trust.lam:.2g} λ<sub>max</sub>, automatic"
    assert "Types alike" not in figures
    shown = widget.progress.message.text()
    assert shown[1:] == recovery.summary[1:] + "."


def test_a_hint_stands_in_the_sentence(viewer, widget, recover):
    recover(widget, **QUICK | {"kernel_size": (7, 7)})
    assert "kernel touches the window's edge: try 9 px" in widget.progress.message.text()


def test_nothing_found_shows_why_and_no_threshold(viewer, widget, recover):
    viewer.layers["topo"].data = np.random.default_rng(0).standard_normal((48, 48))
    recover(widget, **QUICK)
    assert "No defects: what the best kernel explains is no more than noise" in widget.progress.message.text()
    assert widget.result.isVisibleTo(widget)
    assert not widget.result.rows.isVisibleTo(widget)
    assert not widget.result.errors.isVisibleTo(widget)
    assert "Window" not in widget.result.figures


def test_kernel_errors_become_a_layer_beside_the_kernel(viewer, widget, recover, click, qtbot):
    recovery = recover(widget, **QUICK)
    click(widget.result.errors)
    assert not widget.result.errors.isEnabled()
    qtbot.waitUntil(lambda: "topo · kernel error" in viewer.layers, timeout=30_000)
    layer, kernel = viewer.layers["topo · kernel error"], viewer.layers["topo · kernel"]
    np.testing.assert_allclose(layer.data, recovery.stability()[0, 0])
    assert layer.units == kernel.units
    assert layer.translate[1] > kernel.translate[1] + 11 * 0.2
    qtbot.waitUntil(widget.result.errors.isEnabled, timeout=5000)
    assert "Standard error of a pixel" in widget.result.errors_text.text()
    click(widget.result.errors)
    qtbot.waitUntil(widget.result.errors.isEnabled, timeout=30_000)
    assert [x.name for x in viewer.layers].count("topo · kernel error") == 1
    recover(widget)
    assert widget.result.errors_text.text() == ""
    click(widget.result.errors)
    qtbot.waitUntil(lambda: "topo · kernel error [2]" in viewer.layers, timeout=30_000)
    qtbot.waitUntil(widget.result.errors.isEnabled, timeout=5000)


def test_too_few_defects_for_errors_are_said(viewer, widget, recover, click, qtbot):
    image = np.random.default_rng(0).normal(0, 0.01, (48, 48))
    image[10:21, 10:21] += ldos_kernel(11)
    image[28:39, 30:41] += ldos_kernel(11)
    viewer.layers["topo"].data = image
    recover(widget, **QUICK)
    click(widget.result.errors)
    qtbot.waitUntil(widget.result.errors.isEnabled, timeout=30_000)
    assert "needs at least 4 defects, and 2 were found" in widget.result.errors_text.text()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_cut_off(make_napari_viewer_proxy, noisy, recover, theme):
    viewer = make_napari_viewer_proxy(show=True)
    viewer.theme = theme
    viewer.window.resize(1280, 800)
    viewer.add_image(noisy, name="topo")
    widget = RecoverWidget(viewer)
    viewer.window.add_dock_widget(widget, name="sbd")
    recover(widget, **QUICK)
    scroll = widget.findChild(QScrollArea)
    assert scroll.widget().minimumSizeHint().width() <= widget.minimumWidth()
    labels = [label for label in widget.result.findChildren(QLabel) if label.isVisible() and label.text()]
    assert len(labels) > 15
    QApplication.processEvents()
    for label in labels:
        assert label.width() >= label.minimumSizeHint().width()
        assert label.height() >= label.heightForWidth(label.width())
