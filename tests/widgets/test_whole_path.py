"""Raw file → recipe → recovery → CSV in nm: by clicks, console and command line the same, to the byte."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtWidgets import QPushButton

import napari_sbd as sbd
from benchmarks import small_files
from napari_sbd.simulate import ldos_kernel, random_field

from .conftest import QUICK

PACKAGE = Path(sbd.__file__).parents[1]

pytestmark = pytest.mark.usefixtures("own_dialogs")


@pytest.fixture
def raw(tmp_path, monkeypatch):
    """A Nanonis scan in metres: defects on a slope, with jumps from line to line."""
    clean = random_field(ldos_kernel(9), (72, 80), density=0.003, snr_db=20, seed=3).image
    jumps = np.random.default_rng(5).normal(0, 2 * clean.std(), (72, 1))
    values = clean + 0.2 * clean.std() * np.arange(80) + jumps
    monkeypatch.setattr(small_files, "image", lambda seed, dtype: (1e-11 * values).astype(dtype))
    monkeypatch.setattr(small_files, "ROWS", 72)
    monkeypatch.setattr(small_files, "COLS", 80)
    small_files.sxm(tmp_path / "scan.sxm")
    return tmp_path / "scan.sxm"


@pytest.fixture
def by_clicks(viewer, raw, qtbot, click, accept, drop, tmp_path):
    """CSV and recipe that come from dropping the file, Suggest, Crop, Recover, Export…"""
    drop(viewer, raw)
    dock, widget = viewer.window.add_plugin_dock_widget("napari-sbd", "Sparse blind deconvolution")
    section, suggested, ended = widget.prepare, [], []
    section.suggested.connect(suggested.append)
    widget.finished.connect(ended.append)
    click(section.heading)
    [suggest] = [b for b in dock.findChildren(QPushButton) if b.text() == "Suggest"]
    click(suggest)
    qtbot.waitUntil(lambda: bool(suggested), timeout=60_000)
    assert suggested[0] == sbd.suggest_recipe(sbd.read(raw)[0])
    [crop] = [a for a in section.menu.actions() if a.text() == "Crop"]
    crop.trigger()
    section.form.rows[-1].fields["top"].set_value(3)
    section.form.rows[-1].fields["left"].set_value(5)
    click(section.save_button)
    accept(section.files, tmp_path / "recipe.json")
    for name, value in QUICK.items():
        widget.form.fields[name].set_value(value)
    [button] = [b for b in dock.findChildren(QPushButton) if b.text() == "Recover"]
    click(button)
    qtbot.waitUntil(lambda: bool(ended), timeout=120_000)
    assert ended[0] is not None, widget.progress.message.text()
    [export] = [a for a in widget.save_bar.menu.actions() if "CSV" in a.text()]
    export.trigger()
    accept(widget.save_bar, tmp_path / "clicked.csv")
    qtbot.waitUntil(lambda: not section.looks.is_running, timeout=60_000)
    return (tmp_path / "clicked.csv").read_bytes(), tmp_path / "recipe.json"


def test_clicks_console_and_command_line_give_the_same_table(by_clicks, raw, tmp_path):
    clicked, recipe = by_clicks
    head, *lines = clicked.decode().splitlines()
    assert head.startswith("type,row (px),col (px),y (nm),x (nm),image_row (px),image_col (px),amplitude")
    assert len(lines) > 3
    steps = [step.operation for step in sbd.Recipe.load(recipe).taken]
    assert steps[-1] == "crop"
    assert "lines" in steps
    row, col, y, x, image_row, image_col = (float(value) for value in lines[0].split(",")[1:7])
    assert (image_row, image_col) == (row + 3, col + 5)
    np.testing.assert_allclose((y, x), (0.2 * image_row, 0.1 * image_col))
    sbd.recover(sbd.read(raw)[0], recipe=recipe, **QUICK).to_csv(tmp_path / "console.csv")
    assert (tmp_path / "console.csv").read_bytes() == clicked
    out = tmp_path / "out"
    command = [sys.executable, "-m", "napari_sbd", "recover", raw, "--out", out, "--recipe", recipe]
    for name, value in QUICK.items():
        command += [f"--{name.replace('_', '-')}", "x".join(map(str, np.atleast_1d(value)))]
    environment = os.environ | {"PYTHONPATH": str(PACKAGE)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (out / "scan.csv").read_bytes() == clicked
