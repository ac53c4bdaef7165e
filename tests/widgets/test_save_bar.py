"""Save… and Export… by clicks, through real file dialogs."""

import os

import numpy as np
import pandas as pd
import pytest
from napari.layers import Image
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QFileDialog, QMessageBox

import napari_sbd as sbd
from napari_sbd.io.compare import differences
from napari_sbd.layers import recovery_of
from napari_sbd.widgets.recover import RecoverWidget

from .conftest import QUICK

pytestmark = pytest.mark.usefixtures("own_dialogs")


@pytest.fixture(scope="session")
def result(image):
    layer = Image(image, name="topo", scale=(0.2, 0.2), translate=(5, 7), units=("nm", "nm"))
    return sbd.recover(layer, **QUICK)


@pytest.fixture
def bar(viewer, widget, result):
    """The buttons below a result that is there."""
    result.add_to(viewer)
    viewer.layers.selection.active = viewer.layers["topo · kernel"]
    return widget.save_bar


def choose(bar, text):
    """Choose from the menu of Export…"""
    [action] = [a for a in bar.menu.actions() if a.text() == text]
    action.trigger()


def test_hidden_until_there_is_a_result(widget, recover):
    assert not widget.save_bar.isVisibleTo(widget)
    recover(widget, **QUICK)
    assert widget.save_bar.isVisibleTo(widget)


def test_save_by_clicks_and_open_by_the_file_menu(viewer, result, bar, click, accept, tmp_path):
    viewer.layers["topo · residual"].visible = True
    click(bar.save_button)
    assert bar.dialog.selectedFiles()[0].endswith("topo.sbd.h5")
    accept(bar, tmp_path / "mine")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.sbd.h5"]
    assert "Saved mine.sbd.h5" in bar.told.text()
    assert differences(result, sbd.load(tmp_path / "mine.sbd.h5")) == []
    names = [layer.name for layer in viewer.layers]
    viewer.layers.clear()
    viewer.open(tmp_path / "mine.sbd.h5", plugin="napari-sbd")
    assert [layer.name for layer in viewer.layers] == names
    assert viewer.layers["topo · residual"].visible


def test_saving_blocks_nothing(bar, qtbot, monkeypatch, tmp_path):
    from threading import Event

    begun, going = Event(), Event()

    def slow(recovery, path, looks):
        begun.set()
        assert going.wait(30)
        raise OSError("the disk is full")

    monkeypatch.setattr("napari_sbd.widgets.save_bar.save", slow)
    bar._save(bar.recovery, str(tmp_path / "mine.sbd.h5"))
    qtbot.waitUntil(begun.is_set, timeout=10_000)
    assert bar.told.text() == "Saving…"
    assert not bar.save_button.isEnabled()
    assert not bar.export_button.isEnabled()
    going.set()
    qtbot.waitUntil(lambda: not bar.jobs.is_running, timeout=10_000)
    assert bar.told.text() == "the disk is full."
    assert bar.save_button.isEnabled()


def test_replacing_a_file_is_asked_by_the_dialog(bar, click, accept, qtbot, tmp_path):
    path = tmp_path / "mine.sbd.h5"
    path.write_text("precious")
    click(bar.save_button)
    asked = []

    def decline():
        [box] = [w for w in QApplication.topLevelWidgets() if isinstance(w, QMessageBox) and w.isVisible()]
        asked.append(box.text())
        box.button(QMessageBox.StandardButton.No).click()
        QTimer.singleShot(0, bar.dialog.reject)

    QTimer.singleShot(500, decline)
    accept(bar, path)
    assert "already exists" in asked[0]
    assert path.read_text() == "precious"


def test_table_as_csv(result, bar, accept, tmp_path):
    choose(bar, "Defect table (CSV)…")
    accept(bar, tmp_path / "table")
    table = pd.read_csv(tmp_path / "table.csv")
    np.testing.assert_array_equal(table["x (nm)"], result.defects["x_nm"])


def test_export_into_a_folder_asks_before_it_replaces(bar, accept, tmp_path, monkeypatch):
    choose(bar, "Kernels and maps (TIFF)…")
    assert bar.dialog.fileMode() == QFileDialog.FileMode.Directory
    accept(bar, tmp_path)
    names = ["topo_activation.tif", "topo_kernel.tif"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    assert "Saved 2 files" in bar.told.text()
    for path in tmp_path.iterdir():
        path.write_text("precious")
    asked = []
    answers = [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes]

    def answer(*arguments):
        asked.append(arguments[-1])
        return answers[len(asked) - 1]

    monkeypatch.setattr(QMessageBox, "question", answer)
    for left in (2, 0):
        choose(bar, "Kernels and maps (TIFF)…")
        accept(bar, tmp_path)
        assert [path.stat().st_size == 8 for path in tmp_path.iterdir()].count(True) == left
    assert all(name in asked[0] for name in names)


def test_figures(bar, accept, tmp_path):
    pytest.importorskip("matplotlib")
    choose(bar, "Figures (SVG)…")
    accept(bar, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"topo_{what}.svg" for what in ("kernel", "map", "overview", "qpi")
    ]


def test_without_matplotlib_the_extra_is_named(bar, monkeypatch):
    monkeypatch.setattr("napari_sbd.figures.export.find_spec", lambda name: None)
    choose(bar, "Figures (PNG)…")
    assert bar.dialog is None
    assert "pip install 'napari-sbd[figures]'" in bar.told.text()


def test_the_selected_layers_recovery_is_meant(viewer, widget, bar, result, recover):
    first = result
    second = recover(widget, **QUICK | {"seed": 5})
    viewer.layers.selection.active = viewer.layers["topo · kernel"]
    assert bar.recovery is first
    viewer.layers.selection.active = viewer.layers["topo · kernel [2]"]
    assert bar.recovery is second
    viewer.layers.selection.active = viewer.layers["topo"]
    assert bar.recovery is second


def test_an_opened_result_can_be_exported(viewer, result, accept, tmp_path):
    path = result.save(tmp_path / "topo")
    fresh = RecoverWidget(viewer)
    viewer.window.add_dock_widget(fresh, name="fresh")
    assert not fresh.save_bar.isVisibleTo(fresh)
    viewer.open(path, plugin="napari-sbd")
    viewer.layers.selection.active = viewer.layers["topo · defects"]
    assert fresh.save_bar.isVisibleTo(fresh)
    assert fresh.save_bar.recovery is recovery_of(viewer.layers["topo · defects"].metadata)
    choose(fresh.save_bar, "Defect table (CSV)…")
    accept(fresh.save_bar, tmp_path / "again.csv")
    assert (tmp_path / "again.csv").exists()


@pytest.mark.skipif(
    os.name == "nt" or (os.geteuid() == 0 and not os.path.exists("/dev/full")), reason="needs POSIX"
)
def test_what_goes_wrong_is_told(bar, click, accept, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    click(bar.save_button)
    accept(bar, tmp_path / "mine")
    assert "no space left on device" in bar.told.text()
    assert not list(tmp_path.iterdir())
    assert QApplication.overrideCursor() is None


@pytest.mark.parametrize("typed", ["menu", "menu.sbd.h5"])
def test_napari_s_own_save_selected_layers(make_napari_viewer, result, tmp_path, monkeypatch, typed):
    viewer = make_napari_viewer()
    viewer.layers.selection = set(result.add_to(viewer)[2:])
    offered = []

    def choose_ours(*_, filter, **__):
        offered.extend(filter.split(";;"))
        [ours] = [entry for entry in offered if entry.startswith("napari-sbd")]
        return str(tmp_path / typed), ours

    monkeypatch.setattr(QFileDialog, "getSaveFileName", choose_ours)
    viewer.window._qt_viewer._save_layers_dialog(selected=True)
    assert "napari-sbd recovery (*.sbd.h5)" in offered
    assert differences(result, sbd.load(tmp_path / "menu.sbd.h5")) == []
