"""*Live* in the dock widget, used as a user would: by dragging a slider in a real viewer."""

from contextlib import suppress

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPoint, Qt, QTimer
from qtpy.QtWidgets import QApplication, QScrollArea, QStyle, QStyleOptionSlider, QWidget

import napari_sbd as sbd
from napari_sbd.simulate import ldos_kernel, random_field
from napari_sbd.widgets.recover import RecoverWidget

QUICK = {"kernel_size": (9, 9), "types": 1, "starts": 2, "kept": 1, "refinements": 1}
LONG = 20_000


@pytest.fixture(scope="session")
def wide_image():
    """Larger than what is worked with at once."""
    return random_field(ldos_kernel(9), (100, 290), density=0.004, snr_db=20, seed=3).image


@pytest.fixture
def rested(qtbot):
    """Do something and wait until Live has come to rest."""

    def wait(live, act):
        ended = []

        def note():
            ended.append(True)

        live.rested.connect(note)
        try:
            act()
            qtbot.waitUntil(lambda: bool(ended), timeout=LONG)
        finally:
            live.rested.disconnect(note)

    return wait


@pytest.fixture
def go_live(rested, click):
    def switch(widget):
        rested(widget.live, lambda: click(widget.live.switch))
        assert widget.live.is_on
        return widget.live

    return switch


def handle_of(slider):
    """Where the handle of a slider is."""
    option = QStyleOptionSlider()
    slider.initStyleOption(option)
    part = QStyle.SubControl.SC_SliderHandle
    return slider.style().subControlRect(QStyle.ComplexControl.CC_Slider, option, part, slider).center()


def drag(qtbot, slider, pixels, steps=12):
    """Drag a slider's handle with the mouse; the event loop runs on between the moves."""
    begin = handle_of(slider)
    qtbot.mousePress(slider, Qt.MouseButton.LeftButton, pos=begin)
    for step in range(1, steps + 1):
        qtbot.mouseMove(slider, begin + QPoint(pixels * step // steps, 0))
        QApplication.processEvents()
    qtbot.mouseRelease(slider, Qt.MouseButton.LeftButton, pos=begin + QPoint(pixels, 0))


def test_dragging_gives_what_the_console_gives(viewer, widget, recover, go_live, rested, qtbot):
    first = recover(widget, **QUICK)
    live, layers = go_live(widget), list(viewer.layers)
    names = [layer.name for layer in layers]
    before = viewer.layers["topo · activation"].data.copy()
    rested(live, lambda: drag(qtbot, live.fields.lam_slider, 40))
    lam = live.fields.options["lam"]
    assert lam > first.history["lam"].iloc[-1]
    again = first.again(lam=lam)
    assert [layer.name for layer in viewer.layers] == names
    assert all(new is old for new, old in zip(viewer.layers, layers, strict=True))
    np.testing.assert_array_equal(viewer.layers["topo · activation"].data, again.activations[0])
    assert not np.array_equal(viewer.layers["topo · activation"].data, before)
    np.testing.assert_array_equal(viewer.layers["topo · kernel"].data, again.kernels[0, 0])
    np.testing.assert_array_equal(viewer.layers["topo · residual"].data, again.residual[0])
    np.testing.assert_array_equal(viewer.layers["topo · defects"].data, again.defects[["row", "col"]])
    assert widget.progress.message.text() == f"{again.summary[0].upper()}{again.summary[1:]}."
    assert widget.result.figures["Final λ"].startswith(f"{lam:.2g} ")
    assert widget.recovery.solved_again == again.solved_again
    np.testing.assert_array_equal(first.activations[0], before)  # nothing was written into the first result


def test_of_many_wishes_the_newest_alone_is_left(viewer, widget, recover, go_live, rested):
    first = recover(widget, **QUICK)
    live = go_live(widget)
    before = live.solver.started

    def hurry():
        for lam in np.linspace(0.2, 0.6, 30):
            live.fields.lam.setValue(float(lam))

    rested(live, hurry)
    assert live.solver.started - before <= 5  # no queue
    np.testing.assert_array_equal(widget.recovery.kernels, first.again(lam=0.6).kernels)


def test_a_sketch_while_dragging_comes_near_the_result(widget, recover, go_live, rested, qtbot):
    recover(widget, **QUICK)
    live, seen = go_live(widget), []
    live.shown.connect(lambda recovery, final: seen.append((recovery, final)))
    rested(live, lambda: live.fields.lam.setValue(0.3))
    (sketch, quick), (result, final) = seen[0], seen[-1]
    assert (quick, final) == (False, True)
    assert len(sketch.defects) == len(result.defects)
    np.testing.assert_allclose(sketch.kernels, result.kernels, atol=0.01)
    np.testing.assert_allclose(sketch.defects["amplitude"], result.defects["amplitude"], rtol=0.05)


def test_points_follow_while_dragging_and_the_first_table_stays(viewer, widget, recover, go_live, rested):
    first = recover(widget, **QUICK)
    places = first.defects[["row", "col"]].to_numpy().copy()
    live, off = go_live(widget), []

    def compare(recovery, final):
        shown = viewer.layers["topo · defects"].data
        off.append(np.abs(shown - recovery.defects[["row", "col"]].to_numpy()).max())

    live.shown.connect(compare)
    for lam in (0.3, 0.32, 0.34):
        rested(live, lambda lam=lam: live.fields.lam.setValue(lam))
    assert len(off) >= 3
    assert max(off) < 0.1  # px
    np.testing.assert_array_equal(first.defects[["row", "col"]].to_numpy(), places)


def test_window_signs_rounds_and_a_kernel_that_stays(viewer, widget, recover, go_live, rested, qtbot):
    first = recover(widget, **QUICK)
    live = go_live(widget)
    slider = live.fields.window_slider
    rested(live, lambda: drag(qtbot, slider, slider.width() // 3))
    rows = live.fields.options["kernel_size"][0]
    assert rows > 9
    assert viewer.layers["topo · kernel"].data.shape == (rows, rows)

    def change():
        live.fields.window_spin.setValue(9)
        live.fields.rounds.setValue(0)
        live.fields.fixed.click()
        combo = live.fields.activations.combo
        combo.setCurrentIndex(combo.findData("signed"))

    rested(live, change)
    options = {"refinements": 0, "fixed_kernel": True, "activations": "signed"}
    assert live.fields.options == options
    np.testing.assert_allclose(widget.recovery.kernels, first.kernels, atol=1e-6)
    np.testing.assert_array_equal(widget.recovery.activations, first.again(**options).activations)


def test_revert_brings_the_first_result_back(viewer, widget, recover, go_live, rested, click):
    first = recover(widget, **QUICK)
    live = go_live(widget)
    rested(live, lambda: live.fields.lam.setValue(0.9))
    assert widget.recovery is not first
    rested(live, lambda: click(live.revert_button))
    assert widget.recovery is first
    assert not live.is_on
    assert not live.switch.isChecked()
    assert not live.body.isVisible()


def test_apply_keeps_the_result_and_it_can_be_saved(widget, recover, go_live, rested, click, tmp_path):
    recover(widget, **QUICK)
    live = go_live(widget)
    live.fields.lam.setValue(0.4)
    rested(live, lambda: click(live.apply_button))
    assert not live.is_on
    assert widget.recovery.trust.lam == 0.4
    assert widget.save_bar.recovery is widget.recovery
    saved = sbd.load(widget.recovery.save(tmp_path / "topo"))
    assert saved.solved_again == widget.recovery.solved_again


def test_a_lower_threshold_while_live(viewer, widget, recover, go_live, rested):
    recover(widget, **QUICK)
    live = go_live(widget)
    rested(live, lambda: widget.result.rows.strength.setValue(0))
    assert widget.recovery.threshold.strength == 0
    assert len(viewer.layers["topo · defects"].data) == len(widget.recovery.defects)
    rested(live, lambda: live.fields.lam.setValue(0.3))
    assert widget.recovery.threshold.strength == 0


def test_of_a_large_image_a_part_and_then_the_whole(
    viewer, wide_image, recover, go_live, rested, click, qtbot
):
    viewer.add_image(wide_image, name="wide", scale=(0.5, 0.5), translate=(3, 4), units=("nm", "nm"))
    widget = RecoverWidget(viewer)
    viewer.window.add_dock_widget(widget, name="sbd")
    first = recover(widget, **QUICK)
    live = go_live(widget)
    assert "100 × 256 px in view" in live.told.text()
    names = {"wide, part · activation", "wide, part · defects"}
    assert names <= {layer.name for layer in viewer.layers}
    assert not viewer.layers["wide · defects"].visible
    part = viewer.layers["wide, part · activation"]
    assert part.data.shape == (100, 256)
    begin = live.box[1].start
    np.testing.assert_array_equal(part.data, first.activations[0, :, begin : begin + 256])
    np.testing.assert_allclose(part.translate, (3, 4 + 0.5 * begin))
    rested(live, lambda: live.fields.lam.setValue(0.3))
    assert widget.progress.message.text().startswith("In this part: ")
    assert widget.recovery is first
    rested(live, lambda: click(live.switch))
    assert not names & {layer.name for layer in viewer.layers}
    assert viewer.layers["wide · defects"].visible
    again = first.again(lam=0.3)
    np.testing.assert_array_equal(viewer.layers["wide · activation"].data, again.activations[0])
    np.testing.assert_array_equal(widget.recovery.kernels, again.kernels)


def test_layers_may_be_removed_at_any_moment(viewer, widget, recover, go_live, rested):
    recover(widget, **QUICK)
    live = go_live(widget)
    viewer.layers.remove("topo")

    def act():
        live.fields.lam.setValue(0.3)
        viewer.layers.remove("topo · activation")

    rested(live, act)
    assert widget.recovery.trust.lam == 0.3
    for name in ("reconstruction", "residual", "kernel", "defects"):
        viewer.layers.remove(f"topo · {name}")
    rested(live, lambda: live.fields.lam.setValue(0.4))
    assert not live.is_on
    assert "were removed" in live.told.text()


def test_without_defects_it_says_what_to_do(viewer, recover, click):
    viewer.add_image(np.random.default_rng(0).normal(size=(48, 48)), name="noise")
    widget = RecoverWidget(viewer)
    viewer.window.add_dock_widget(widget, name="sbd")
    recover(widget, **QUICK)
    click(widget.live.switch)
    assert not widget.live.is_on
    assert "recover with other settings" in widget.live.told.text()


def test_a_result_that_was_opened(viewer, image, rested, click):
    recovery = sbd.recover(image, name="opened", **QUICK)
    recovery.add_to(viewer)
    widget = RecoverWidget(viewer)
    viewer.window.add_dock_widget(widget, name="sbd")
    live = widget.live
    rested(live, lambda: click(live.switch))
    rested(live, lambda: live.fields.lam.setValue(0.3))
    np.testing.assert_array_equal(
        viewer.layers["opened · activation"].data, recovery.again(lam=0.3).activations[0]
    )
    assert widget.recovery.trust.lam == 0.3


def test_recovering_anew_ends_it(widget, recover, go_live):
    recover(widget, **QUICK)
    live = go_live(widget)
    live.fields.lam.setValue(0.3)
    assert recover(widget, **QUICK) is widget.recovery
    assert not live.is_on
    assert not widget.recovery.solved_again


@pytest.mark.parametrize("moment", ["solving", "drawing"])
def test_the_viewer_may_be_closed_meanwhile(moment, viewer, widget, recover, go_live, qtbot):
    recover(widget, **QUICK)
    live = go_live(widget)
    solver, closed = live.solver, []

    def close(*_):
        viewer.close()
        closed.append(moment)

    if moment == "drawing":  # which is over sooner than a look from time to time would see
        solver.solved.connect(lambda *_: QTimer.singleShot(0, close))
    live.fields.lam.setValue(0.3)
    if moment == "solving":
        close()
    qtbot.waitUntil(lambda: bool(closed), timeout=LONG)
    with suppress(RuntimeError):
        widget.deleteLater()
        QApplication.sendPostedEvents(widget, QEvent.Type.DeferredDelete)
    qtbot.waitUntil(lambda: solver._stop is None, timeout=LONG)
    QApplication.processEvents()


def test_nothing_is_cut_off_in_the_narrowest_dock(make_napari_viewer_proxy, image, recover, go_live):
    viewer = make_napari_viewer_proxy(show=True)
    viewer.window.resize(1000, 800)
    viewer.add_image(image, name="topo")
    widget = RecoverWidget(viewer)
    viewer.window.add_dock_widget(widget, name="sbd")
    recover(widget, **QUICK)
    live = go_live(widget)
    QApplication.processEvents()
    scroll = widget.findChild(QScrollArea)
    assert scroll.widget().minimumSizeHint().width() <= widget.minimumWidth()
    assert live.minimumSizeHint().width() <= scroll.viewport().width()
    for part in live.body.findChildren(QWidget):
        if part.isVisible() and part.parent() in (live.body, live.fields):
            assert part.mapTo(live, QPoint(part.width(), 0)).x() <= live.width()
