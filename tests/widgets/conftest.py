from contextlib import suppress

import numpy as np
import pytest
from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QApplication, QDialogButtonBox, QLineEdit

from napari_sbd.simulate import ldos_kernel, random_field
from napari_sbd.widgets.recover import RecoverWidget

QUICK = {"kernel_size": (9, 9), "types": 1, "starts": 2, "kept": 1, "refinements": 1}


@pytest.fixture(scope="session")
def image():
    return random_field(ldos_kernel(9), (48, 56), density=0.004, snr_db=20, seed=1).image


@pytest.fixture(scope="session")
def large_image():
    """Large enough that a test can act while its recovery runs."""
    return np.tile(random_field(ldos_kernel(15), (192, 192), density=0.002, seed=2).image, (4, 4))


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def widget(viewer, image):
    """The dock widget with a small calibrated image."""
    viewer.add_image(image, name="topo", scale=(0.2, 0.2), translate=(5, 7), units=("nm", "nm"))
    widget = RecoverWidget(viewer)
    viewer.window.add_dock_widget(widget, name="sbd")
    return widget


@pytest.fixture
def click(qtbot):
    return lambda button: qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


@pytest.fixture
def recover(qtbot, click):
    """Press Recover and wait for the end; returns what came."""

    def press(widget, **options):
        for name, value in options.items():
            widget.form.fields[name].set_value(value)
        ended = []
        widget.finished.connect(ended.append)
        click(widget.button)
        qtbot.waitUntil(lambda: bool(ended), timeout=60_000)
        widget.finished.disconnect(ended.append)
        return ended[0]

    return press


@pytest.fixture
def running(viewer, large_image, qtbot, click):
    """A widget whose recovery runs and has shown its first layers."""
    viewer.add_image(large_image, name="large")
    widget = RecoverWidget(viewer)
    viewer.window.add_dock_widget(widget, name="sbd")
    widget.form.fields["kernel_size"].set_value((15, 15))
    click(widget.button)
    qtbot.waitUntil(lambda: "large · activation" in viewer.layers, timeout=60_000)
    assert widget.button.text() == "Cancel"
    yield widget
    # A widget whose dock was closed belongs to nobody; one whose viewer was closed is gone.
    with suppress(RuntimeError):
        widget.deleteLater()
        QApplication.sendPostedEvents(widget, QEvent.Type.DeferredDelete)


@pytest.fixture
def own_dialogs():
    """Qt's own dialogs, which a test can click in."""
    QApplication.setAttribute(Qt.ApplicationAttribute.AA_DontUseNativeDialogs, True)
    yield
    QApplication.setAttribute(Qt.ApplicationAttribute.AA_DontUseNativeDialogs, False)


@pytest.fixture
def accept(qtbot):
    """Type a name into the file dialog that is open and press its button, as a user does."""

    def fill(bar, name):
        dialog = bar.dialog
        qtbot.waitUntil(dialog.isVisible, timeout=30_000)
        [line] = dialog.findChildren(QLineEdit, "fileNameEdit")
        qtbot.waitUntil(line.hasFocus, timeout=30_000)
        line.selectAll()
        qtbot.keyClicks(line, str(name))
        # What is suggested while typing takes the first click, to go away.
        if (completer := line.completer()) is not None:
            completer.popup().hide()
        box = dialog.findChild(QDialogButtonBox)
        [button] = [b for b in box.buttons() if box.buttonRole(b) == QDialogButtonBox.ButtonRole.AcceptRole]
        qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: bar.dialog is None, timeout=30_000)
        if hasattr(bar, "jobs"):  # what is chosen is written in the background
            qtbot.waitUntil(lambda: not bar.jobs.is_running, timeout=60_000)

    return fill
