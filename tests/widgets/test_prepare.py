"""The section Prepare by clicks: suggestion, steps, preview, files, Apply, and Recover with a recipe."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication, QScrollArea

import napari_sbd as sbd
from napari_sbd.layers import role_of
from napari_sbd.prepare.recipe import operations
from napari_sbd.widgets import prepare as prepare_module
from napari_sbd.widgets.recover import RecoverWidget

from .conftest import QUICK

pytestmark = pytest.mark.usefixtures("own_dialogs")


@pytest.fixture
def tilted(image):
    """The image on a slope, with jumps from line to line."""
    jumps = np.random.default_rng(5).normal(0, 3 * image.std(), (len(image), 1)).cumsum(axis=0)
    return image + 0.3 * image.std() * np.arange(image.shape[1]) + jumps


@pytest.fixture
def section(viewer, tilted, click):
    """The section, opened by a click, of a dock widget with a calibrated image."""
    viewer.add_image(tilted, name="topo", scale=(0.2, 0.2), translate=(5, 7), units=("nm", "nm"))
    widget = RecoverWidget(viewer)
    viewer.window.add_dock_widget(widget, name="sbd")
    widget.prepare.widget = widget
    click(widget.prepare.heading)
    return widget.prepare


@pytest.fixture
def add(qtbot):
    """Add a step by the menu and wait for its preview."""

    def choose(section, label):
        [action] = [a for a in section.menu.actions() if a.text() == label]
        with qtbot.waitSignal(section._timer.timeout, timeout=10_000):
            action.trigger()
        qtbot.waitUntil(lambda: not section.looks.is_running, timeout=30_000)
        return section.form.rows[-1]

    return choose


def wait_for(qtbot, signal, act):
    """Act, then wait for a psygnal; returns what it carried."""
    came = []
    signal.connect(came.append)
    act()
    qtbot.waitUntil(lambda: bool(came), timeout=60_000)
    signal.disconnect(came.append)
    return came[0]


def toggle(qtbot, box):
    qtbot.mouseClick(box, Qt.MouseButton.LeftButton, pos=QPoint(8, box.height() // 2))


def pixels(label):
    picture = label.pixmap().toImage()
    return [picture.pixel(x, y) for x in range(0, picture.width(), 7) for y in range(0, picture.height(), 7)]


def test_suggest_proposes_what_the_console_proposes(section, tilted, qtbot, click):
    looks = []
    section.previewed.connect(looks.append)
    wait_for(qtbot, section.suggested, lambda: click(section.suggest_button))
    assert section.recipe == sbd.suggest_recipe(tilted)
    assert "lines" in [step.operation for step in section.recipe.taken]
    assert section.summary.isHidden()  # the steps say it
    assert "Level lines" in [row.box.text() for row in section.form.rows]
    qtbot.waitUntil(lambda: bool(looks), timeout=30_000)
    np.testing.assert_array_equal(looks[-1].before, tilted)
    assert looks[-1].after.std() < 0.5 * tilted.std()
    assert section.preview.isVisibleTo(section)
    before, after = section.preview.images
    assert pixels(before) != pixels(after)
    click(section.heading)
    assert section.summary.text().startswith("<i>Recover</i> takes first: ")
    assert "Level lines" in section.summary.text()


def test_suggesting_blocks_nothing_and_can_be_stopped(section, qtbot, click, monkeypatch):
    from threading import Event

    going, suggested = Event(), []
    found = sbd.Recipe([sbd.Step("hum")])
    monkeypatch.setattr(prepare_module, "suggest_recipe", lambda seen: found if going.wait(30) else None)
    section.suggested.connect(suggested.append)
    click(section.suggest_button)
    assert section.suggest_button.text() == "Stop looking"
    assert "Looking for faults" in section.told.text()
    click(section.suggest_button)
    assert section.suggest_button.text() == "Suggest"
    assert section.told.isHidden()
    going.set()
    qtbot.waitUntil(lambda: not section.suggestions.is_running, timeout=30_000)
    assert not suggested
    assert section.recipe.steps == ()


def test_an_image_without_faults_is_said_to_have_none(section, image, viewer, qtbot, click):
    viewer.layers["topo"].data = image
    assert wait_for(qtbot, section.suggested, lambda: click(section.suggest_button)).steps == ()
    assert "Nothing to take out" in section.told.text()


def test_menu_offers_every_operation(section, add):
    assert [action.text() for action in section.menu.actions()] == [o.label for o in operations()]
    for known in operations():
        row = section.form.add(known.name)
        assert row.step == sbd.Step(known.name)
        assert list(row.fields) == [setting.name for setting in known.settings]


def test_steps_are_moved_switched_tuned_and_removed(section, add, qtbot, click):
    for label in ("Subtract background", "Level lines", "Remove spikes"):
        add(section, label)
    first, second, third = section.form.rows
    assert not first.up.isEnabled()
    assert not third.down.isEnabled()
    click(third.up)
    click(third.up)
    assert [step.operation for step in section.recipe.steps] == ["spikes", "background", "lines"]
    toggle(qtbot, first.box)
    assert [step.operation for step in section.recipe.taken] == ["spikes", "lines"]
    assert not first.settings.isHidden()
    first.fields["degree"].spin.stepUp()
    assert section.recipe.steps[1] == sbd.Step("background", {"degree": 2}, on=False)
    click(first.more)
    assert first.settings.isHidden()
    click(second.remove)
    assert [step.operation for step in section.recipe.steps] == ["spikes", "background"]
    click(section.widget.defaults_button)
    assert section.recipe.steps == ()


def test_a_step_tells_its_way_and_what_it_found_on_one_line(section, viewer, add, qtbot):
    spiked = viewer.layers["topo"].data.copy()
    spiked[20, 20] += 100 * spiked.std()
    viewer.layers["topo"].data = spiked
    spikes, lines = add(section, "Remove spikes"), add(section, "Level lines")
    lines.fields["along"].set_value("columns")
    assert lines.box.text() == "Level lines, columns"
    qtbot.waitUntil(lambda: not section.looks.is_running and bool(spikes.found.text()), timeout=30_000)
    assert spikes.found.text() == "1 px masked"
    heights = [part.mapTo(section, part.rect().center()).y() for part in (spikes.box, spikes.found)]
    assert abs(heights[0] - heights[1]) < 5


def test_a_step_that_cannot_be_taken_says_why_before_recover(section, add, qtbot):
    row = add(section, "Crop")
    wait_for(qtbot, section.previewed, lambda: row.fields["top"].set_value(48))
    assert "Crop takes 48 of 48 rows" in row.found.text()
    assert not row.found.isHidden()
    wait_for(qtbot, section.previewed, lambda: row.fields["top"].set_value(8))
    assert row.found.text() == "40 × 56 px"


def test_preview_never_queues_more_than_one(section, add, qtbot, monkeypatch):
    from threading import Event

    row, going, made = add(section, "Subtract background"), Event(), []
    real = prepare_module.look

    def slow(seen, recipe):
        made.append(recipe.steps[0].settings["degree"])
        going.wait(30)
        return real(seen, recipe)

    monkeypatch.setattr(prepare_module, "look", slow)
    shown = []
    section.previewed.connect(shown.append)
    row.fields["degree"].set_value(2)
    qtbot.waitUntil(lambda: made == [2], timeout=10_000)
    for degree in (3, 4, 5, 6):
        row.fields["degree"].set_value(degree)
        section._look()
    assert made == [2]
    going.set()
    qtbot.waitUntil(lambda: bool(shown) and not section.looks.is_running, timeout=30_000)
    assert made == [2, 6]
    assert len(shown) == 1


def test_preview_of_a_large_image_is_of_its_middle(section, viewer, add, qtbot):
    data = np.random.default_rng(0).normal(size=(600, 700))
    row = add(section, "Subtract background")
    found = wait_for(qtbot, section.previewed, lambda: setattr(viewer.layers["topo"], "data", data))
    assert found.part
    assert found.after.shape == (512, 512)
    np.testing.assert_array_equal(found.before, data[44:556, 94:606])
    assert "The middle 512 × 512 px" in section.preview.hint.text()
    assert row.found.isHidden()


def test_mask_is_seen_in_the_preview(section, viewer, add, qtbot):
    labels = np.zeros((48, 56), int)
    labels[:10, :10] = 1
    viewer.add_labels(labels, name="junk", scale=(0.2, 0.2), translate=(5, 7), units=("nm", "nm"))
    add(section, "Subtract background")
    choice = section.widget.mask_choice
    found = wait_for(qtbot, section.previewed, lambda: setattr(choice.combo, "value", viewer.layers["junk"]))
    np.testing.assert_array_equal(np.isnan(found.after), labels == 1)
    assert "masked" in section.preview.hint.text()


def test_save_and_load_by_clicks(section, add, click, accept, tmp_path):
    add(section, "Remove hum")
    recipe = section.recipe
    click(section.save_button)
    accept(section.files, tmp_path / "mine")
    assert sbd.Recipe.load(tmp_path / "mine.json") == recipe
    click(section.form.rows[0].remove)
    assert section.recipe.steps == ()
    click(section.load_button)
    accept(section.files, tmp_path / "mine.json")
    assert section.recipe == recipe
    (tmp_path / "other.json").write_text("{}")
    click(section.load_button)
    accept(section.files, tmp_path / "other.json")
    assert "no recipe" in section.told.text()
    assert section.recipe == recipe


def test_apply_adds_a_layer_in_the_right_place(section, viewer, add, qtbot, click):
    crop = add(section, "Crop")
    crop.fields["top"].set_value(8)
    crop.fields["left"].set_value(4)
    add(section, "Resample")
    recipe, seen = section.recipe, section.image.observation
    wait_for(qtbot, section.applied, lambda: click(section.apply_button))
    layer = viewer.layers["topo · prepared"]
    done = recipe.run(seen)
    np.testing.assert_array_equal(layer.data, done.observation.data[0])
    np.testing.assert_allclose(layer.scale, done.observation.pixel_size)
    for pixel in ((0, 0), (3, 5)):
        [given] = done.original([pixel])
        np.testing.assert_allclose(
            layer.data_to_world(pixel), viewer.layers["topo"].data_to_world(given), atol=1e-12
        )
    assert sbd.Recipe.from_json(layer.metadata["napari-sbd"]["recipe"]) == recipe
    assert layer.units == viewer.layers["topo"].units
    # A second one overwrites nothing, and what is prepared is not prepared twice by accident.
    wait_for(qtbot, section.applied, lambda: click(section.apply_button))
    assert "topo · prepared [2]" in viewer.layers
    section.image.combo.value = next(la for la in viewer.layers if la.name == "topo · prepared")
    assert section.recipe.taken == ()
    assert "prepared already" in section.told.text()


def test_recover_takes_the_recipe_and_results_lie_over_the_image(section, viewer, add, recover):
    crop = add(section, "Crop")
    crop.fields["top"].set_value(6)
    add(section, "Subtract background")
    add(section, "Level lines")
    widget = section.widget
    recovery = recover(widget, **QUICK)
    assert sbd.Recipe.from_json(recovery.recipe) == section.recipe
    assert "Prepared first, by 3 steps." in widget.progress.message.text()
    np.testing.assert_array_equal(
        recovery.observation.data, section.recipe.apply(section.image.observation).data
    )
    activation, source = viewer.layers["topo · activation"], viewer.layers["topo"]
    np.testing.assert_allclose(activation.data_to_world((0, 0)), source.data_to_world((6, 0)))
    points = viewer.layers["topo · defects"]
    table = recovery.defects
    assert len(table) > 3
    np.testing.assert_allclose(table["image_row"], table["row"] + 6)
    np.testing.assert_allclose(table["y_nm"], 0.2 * table["image_row"])
    for place, pixel in zip(points.data, table[["image_row", "image_col"]].to_numpy(), strict=True):
        np.testing.assert_allclose(points.data_to_world(place), source.data_to_world(pixel))
    # Its lines repeat it.
    names = {"viewer": viewer}
    exec(widget.python_lines(), names)
    again = viewer.layers["topo · activation [2]"]
    np.testing.assert_array_equal(again.data, activation.data)
    np.testing.assert_allclose(again.translate, activation.translate)


def test_saved_result_opens_where_it_lay(section, viewer, add, recover, tmp_path):
    add(section, "Crop").fields["left"].set_value(4)
    add(section, "Subtract background")
    add(section, "Level lines")
    recovery = recover(section.widget, **QUICK)
    place = np.array(viewer.layers["topo · activation"].translate)
    loaded = sbd.load(recovery.save(tmp_path / "a"))
    assert loaded.recipe == recovery.recipe
    assert loaded.frame == recovery.frame
    viewer.layers.clear()
    viewer.open(tmp_path / "a.sbd.h5", plugin="napari-sbd")
    assert role_of(viewer.layers["topo · prepared"]) == "prepared"
    for name in ("topo · prepared", "topo · activation"):
        np.testing.assert_allclose(viewer.layers[name].translate, place)


def test_start_boxes_are_of_the_image_as_given(section, viewer, add, recover):
    add(section, "Crop").fields["top"].set_value(6)
    add(section, "Subtract background")
    add(section, "Level lines")
    box = np.array([[20.0, 20.0], [20.0, 28.0], [28.0, 28.0], [28.0, 20.0]])
    viewer.add_shapes([box], name="boxes", scale=(0.2, 0.2), translate=(5, 7), units=("nm", "nm"))
    section.widget.start_choice.combo.value = viewer.layers["boxes"]
    by_clicks = recover(section.widget, **QUICK)
    by_array = sbd.recover(
        viewer.layers["topo"], recipe=section.recipe, start=[[[20, 20], [28, 28]]], **QUICK
    )
    np.testing.assert_array_equal(by_clicks.kernels, by_array.kernels)


def test_closing_the_viewer_during_a_preview_breaks_nothing(section, viewer, add, qtbot, monkeypatch):
    from threading import Event

    row, begun, going = add(section, "Subtract background"), Event(), Event()

    def slow(seen, recipe):
        begun.set()
        return going.wait(30)

    monkeypatch.setattr(prepare_module, "look", slow)
    looks = section.looks
    row.fields["degree"].set_value(3)
    qtbot.waitUntil(begun.is_set, timeout=10_000)
    going.set()
    viewer.close()
    qtbot.waitUntil(lambda: not looks.is_running, timeout=10_000)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_cut_off(section, viewer, theme, qtbot):
    viewer.theme = theme
    widget = section.widget
    for known in operations():
        section.form.add(known.name)
    widget.resize(widget.minimumWidth(), 600)
    QApplication.processEvents()
    scroll = widget.findChild(QScrollArea)
    assert scroll.widget().minimumSizeHint().width() <= widget.minimumWidth()
    qtbot.waitUntil(lambda: not section.looks.is_running, timeout=30_000)
