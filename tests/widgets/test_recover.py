import warnings

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication, QPushButton, QScrollArea

import napari_sbd as sbd
from napari_sbd.layers import role_of
from napari_sbd.prepare.recipe import Recipe, Step
from napari_sbd.widgets import run as run_module
from napari_sbd.widgets.recover import RecoverWidget
from napari_sbd.widgets.run import RunState

from .conftest import QUICK

NEW = [f"topo · {role}" for role in ("reconstruction", "residual", "kernel", "activation", "defects")]


def test_opens_from_the_plugin_menu_and_recovers_with_defaults(viewer, image, qtbot, click):
    viewer.add_image(image, name="topo", units=("nm", "nm"), scale=(0.2, 0.2))
    dock, widget = viewer.window.add_plugin_dock_widget("napari-sbd", "Sparse blind deconvolution")
    [button] = [b for b in dock.findChildren(QPushButton) if b.text() == "Recover"]
    ended = []
    widget.finished.connect(ended.append)
    click(button)
    qtbot.waitUntil(lambda: bool(ended), timeout=60_000)
    assert [layer.name for layer in viewer.layers] == ["topo", *NEW]


def test_layers_lie_on_the_image(viewer, widget, recover):
    recovery = recover(widget, **QUICK)
    source = viewer.layers["topo"]
    for name in NEW:
        assert viewer.layers[name].units == source.units
        np.testing.assert_allclose(viewer.layers[name].scale, source.scale)
        if not name.endswith("kernel"):
            np.testing.assert_allclose(viewer.layers[name].translate, source.translate)
    activation = viewer.layers["topo · activation"]
    for place in viewer.layers["topo · defects"].data:
        row, col = np.rint(np.array(activation.world_to_data(place * 0.2 + (5, 7)))).astype(int)
        assert activation.data[max(0, row - 1) : row + 2, max(0, col - 1) : col + 2].max() > 0
    np.testing.assert_array_equal(viewer.layers["topo · kernel"].data, recovery.kernels[0, 0])
    assert "x_nm" in viewer.layers["topo · defects"].features


def test_result_is_told(widget, recover):
    recovery = recover(widget, **QUICK)
    message = widget.progress.message
    assert recovery.summary[1:] in message.text()
    assert not message.isHidden()
    assert widget.progress.bar.isHidden()
    assert "9 × 9 px<br>1.8 × 1.8 nm" in widget.preview.rows[0].caption.text()
    assert widget.preview.isVisibleTo(widget)
    assert widget.button.text() == "Recover"
    assert widget.state is RunState.IDLE


def test_second_run_overwrites_nothing(viewer, widget, recover):
    recover(widget, **QUICK)
    before = {layer.name: (layer, np.array(layer.data)) for layer in viewer.layers}
    recover(widget, seed=3)
    assert [layer.name for layer in viewer.layers] == ["topo", *NEW, *(f"{name} [2]" for name in NEW)]
    for name, (layer, data) in before.items():
        assert viewer.layers[name] == layer
        np.testing.assert_array_equal(layer.data, data)
    assert widget.image.layer.name == "topo"
    first, second = (viewer.layers[name] for name in ("topo · kernel", "topo · kernel [2]"))
    assert second.translate[0] > first.translate[0] + 0.2 * first.data.shape[0]


def test_live_layers_are_updated_and_become_the_result(viewer, running, qtbot, click):
    kernel, activation = viewer.layers["large · kernel"], viewer.layers["large · activation"]
    seen = []
    activation.events.data.connect(
        lambda: seen.append((activation.contrast_limits[1], activation.data.max()))
    )
    qtbot.waitUntil(lambda: len(seen) >= 2, timeout=60_000)
    assert running.progress.bar.isVisibleTo(running)
    assert running.preview.isVisibleTo(running)
    assert "<br>15 × 15 px" in running.preview.rows[0].caption.text()
    assert "λ" in running.progress.text.text()
    assert "objective" in running.progress.text.text()
    click(running.button)
    qtbot.waitUntil(lambda: running.recovery is not None, timeout=60_000)
    assert viewer.layers["large · kernel"] == kernel
    assert viewer.layers["large · activation"] == activation
    assert len(viewer.layers) == 6
    low, high = kernel.contrast_limits
    assert low == -high == pytest.approx(-np.abs(kernel.data).max())
    assert 0 < activation.contrast_limits[1] <= activation.data.max()


def test_cancel_keeps_the_best_and_says_so(viewer, running, qtbot, click):
    states = []
    running.state_changed.connect(states.append)
    click(running.button)
    assert running.button.text() == "Cancelling…"
    assert not running.button.isEnabled()
    qtbot.waitUntil(lambda: running.state is RunState.IDLE, timeout=10_000)
    assert states == [RunState.CANCELLING, RunState.IDLE]
    assert running.recovery.status == "cancelled"
    assert "ancelled, best so far" in running.progress.message.text()
    assert viewer.layers["large · kernel"].metadata["napari-sbd"]["status"] == "cancelled"
    assert "large · defects" in viewer.layers


def test_cancel_ends_the_preparing_too(viewer, large_image, qtbot, click):
    rows, cols = np.indices(large_image.shape)
    viewer.add_image(large_image + np.cos(0.9 * rows + 0.4 * cols), name="large")
    widget = RecoverWidget(viewer)
    viewer.window.add_dock_widget(widget, name="sbd")
    # A minute of work, were it not stopped.
    widget.prepare.show_recipe(Recipe([Step("lattice", {"rows": 4, "cols": 4, "jitter": 10})] * 6))
    click(widget.button)
    qtbot.waitUntil(lambda: widget.button.text() == "Cancel")
    click(widget.button)
    assert widget.button.text() == "Cancelling…"
    qtbot.waitUntil(lambda: widget.button.text() == "Recover", timeout=5_000)
    assert widget.recovery is None
    assert "being prepared" in widget.progress.message.text()
    assert len(viewer.layers) == 1


def test_deleting_layers_during_a_run_breaks_nothing(viewer, running, qtbot, click):
    viewer.layers.remove("large · kernel")
    viewer.layers.remove("large")
    shown = []
    running._run.progressed.connect(shown.append)
    qtbot.waitUntil(lambda: bool(shown), timeout=60_000)
    assert "large · kernel" not in viewer.layers
    click(running.button)
    qtbot.waitUntil(lambda: running.recovery is not None, timeout=10_000)
    roles = [role_of(layer) for layer in viewer.layers]
    assert sorted(roles) == ["activation", "defects", "kernel", "reconstruction", "residual"]


def test_a_card_that_is_missing_is_said(widget, recover, without_cupy):
    assert recover(widget, **QUICK, device="gpu") is None
    assert "pip install 'napari-sbd[gpu]'" in widget.progress.message.text()
    assert recover(widget, device="cpu") is not None


def test_error_clears_the_bar_and_says_what_to_do(viewer, widget, recover, monkeypatch):
    def failing(*args, **options):
        shown = list(run_module_follow(*args, **options))
        yield from shown[: min(1, len(shown) - 1)]
        raise MemoryError

    run_module_follow = run_module.follow
    monkeypatch.setattr(run_module, "follow", failing)
    assert recover(widget, **QUICK) is None
    assert widget.progress.bar.isHidden()
    assert widget.preview.isHidden()
    assert "not enough memory: crop the image" in widget.progress.message.text()
    assert widget.progress.level == "error"
    assert [layer.name for layer in viewer.layers] == ["topo"]
    monkeypatch.undo()
    assert recover(widget) is not None


@pytest.mark.parametrize(
    ("add", "reason"),
    [
        (lambda v: None, "There is no image"),
        (lambda v: v.add_points(np.zeros((3, 2))), "There is no image"),
        (lambda v: v.add_image(np.full((30, 30), 2.0), contrast_limits=(0, 3)), "is constant"),
        (lambda v: v.add_image(np.full((30, 30), np.nan), contrast_limits=(0, 1)), "no finite pixel"),
        (lambda v: v.add_image(np.random.default_rng(0).random((30, 30, 3)), rgb=True), "colour image"),
        (lambda v: v.add_image(np.eye(2)), "it needs at least 3×3"),
        (lambda v: v.add_image(np.eye(20)), "larger than the image"),
    ],
)
def test_wrong_input_is_said_before_recover(viewer, add, reason):
    add(viewer)
    widget = RecoverWidget(viewer)
    viewer.window.add_dock_widget(widget, name="sbd")
    widget.form.fields["kernel_size"].set_value((25, 25))
    assert not widget.button.isEnabled()
    assert reason in widget.progress.message.text()
    assert widget.progress.level == "warning"
    viewer.add_image(np.random.default_rng(0).random((40, 40)), name="right")
    widget.image.combo.value = next(layer for layer in viewer.layers if layer.name == "right")
    assert widget.button.isEnabled()
    assert widget.progress.message.isHidden()


def test_image_follows_the_layers(viewer, widget, image):
    viewer.layers["topo"].name = "renamed"
    assert widget.image.combo.native.currentText() == "renamed"
    viewer.add_labels(np.eye(20, dtype=int), name="labels")
    viewer.add_points(np.zeros((2, 2)))
    choices = [widget.image.combo.native.itemText(n) for n in range(widget.image.combo.native.count())]
    assert choices == ["renamed", "labels"]
    viewer.layers["renamed"].data = np.ones((30, 30))
    assert "constant" in widget.progress.message.text()
    viewer.layers["renamed"].data = image[:40]
    assert "40 × 56 px · 8 × 11.2 nm" in widget.image.hint.text()


def test_shown_slice_of_a_stack_is_taken(viewer, image, recover):
    viewer.add_image(np.stack([np.flip(image), image, image.T.reshape(image.shape)]), name="stack")
    widget = RecoverWidget(viewer)
    viewer.window.add_dock_widget(widget, name="sbd")
    viewer.dims.set_current_step(0, 1)
    assert "slice 1" in widget.image.hint.text()
    recovery = recover(widget, **QUICK)
    np.testing.assert_array_equal(recovery.observation.data[0], image)
    assert "at=(1,)" in widget.python_lines()


@pytest.mark.parametrize("name", ["topo", 'a "b" \\ µ'])
def test_copied_lines_give_the_identical_result(viewer, widget, recover, click, name):
    viewer.layers["topo"].name = name
    recovery = recover(widget, **QUICK | {"kernel_size": None, "seed": 4})
    click(widget.copy_button)
    lines = QApplication.clipboard().text()
    assert lines.startswith("import napari_sbd as sbd\nsbd.recover(viewer.layers[")
    names = {"viewer": viewer}
    exec(lines, names)
    for first, second in zip(viewer.layers[1:6], viewer.layers[6:], strict=True):
        assert second.name == f"{first.name} [2]"
        np.testing.assert_array_equal(first.data, second.data)
        assert first.metadata["napari-sbd"]["quality"] == second.metadata["napari-sbd"]["quality"]
    assert np.array_equal(recovery.kernels[0, 0], viewer.layers[f"{name} · kernel [2]"].data)


def test_copied_lines_name_only_what_differs(widget):
    assert widget.python_lines().splitlines()[1] == 'sbd.recover(viewer.layers["topo"]).add_to(viewer)'
    widget.form.fields["kernel_size"].set_value((9, 11))
    widget.form.fields["activations"].set_value("signed")
    expected = "kernel_size=(9, 11), activations='signed').add_to(viewer)"
    assert widget.python_lines().endswith(expected)


def test_closing_the_dock_stops_the_run_and_keeps_the_best(viewer, running, qtbot):
    ended = []
    run = running._run
    run.finished.connect(ended.append)
    running.parentWidget().destroyOnClose()
    qtbot.waitUntil(lambda: bool(ended), timeout=10_000)
    assert ended[0].status == "cancelled"
    assert "large · defects" in viewer.layers
    assert not run_module._running


def test_closing_the_viewer_stops_the_run(viewer, running, qtbot):
    run = running._run
    viewer.close()
    assert run.stop.is_set()
    qtbot.waitUntil(lambda: not run_module._running, timeout=10_000)


def test_nothing_is_cut_off(viewer, widget, recover):
    widget.resize(widget.minimumWidth(), 600)
    widget.form.advanced.click()
    recover(widget, **QUICK)
    scroll = widget.findChild(QScrollArea)
    assert scroll.widget().minimumSizeHint().width() <= widget.minimumWidth()
    assert widget.sizeHint().width() <= 380


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_themes(viewer, widget, recover, theme):
    viewer.theme = theme
    sheet = widget.styleSheet()
    viewer.theme = "dark" if theme == "light" else "light"
    assert widget.styleSheet() != sheet
    viewer.theme = theme
    assert widget.styleSheet() == sheet


def test_no_private_parts_of_napari_are_used(viewer, widget, recover):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Private attribute", category=FutureWarning)
        assert recover(widget, **QUICK) is not None


def test_sbd_is_the_same_from_widget_and_console(viewer, widget, recover):
    from_widget = recover(widget, **QUICK)
    from_console = sbd.recover(viewer.layers["topo"], **QUICK)
    np.testing.assert_array_equal(from_widget.activations, from_console.activations)
