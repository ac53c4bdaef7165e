"""Mask and start boxes in the dock widget."""

import numpy as np
import pytest
from napari.layers import Labels, Shapes

import napari_sbd as sbd

from .conftest import QUICK

BOX = np.array([[10.0, 12.0], [20.0, 22.0]])


@pytest.fixture
def junk(viewer, widget):
    """A Labels layer as napari makes it for the image, with a corner marked."""
    data = np.zeros(viewer.layers["topo"].data.shape, int)
    data[:10, :12] = 3
    place = {"scale": (0.2, 0.2), "translate": (5, 7), "units": ("nm", "nm")}
    return viewer.add_layer(Labels(data, name="junk", **place))


def choose(choice, layer):
    choice.combo.value = layer
    assert choice.layer is not None


def test_layers_to_choose_from(viewer, widget, junk):
    viewer.add_shapes(name="boxes")
    viewer.add_points(np.zeros((2, 2)))
    viewer.add_image(np.eye(9), name="other")
    expected = {"mask_choice": ["None", "junk", "boxes"], "start_choice": ["Automatic", "boxes"]}
    for choice, names in ((getattr(widget, name), names) for name, names in expected.items()):
        combo = choice.combo.native
        assert [combo.itemText(n) for n in range(combo.count())] == names


def test_marked_part_is_left_out_unless_unchecked(viewer, widget, junk, recover, qtbot):
    leave_out = widget.mask_choice.leave_out
    assert leave_out.isHidden()
    choose(widget.mask_choice, viewer.layers["junk"])
    assert not leave_out.isHidden()
    assert leave_out.isChecked()
    assert "4.5\N{NO-BREAK SPACE}% left out" in widget.image.hint.text()
    inside = recover(widget, **QUICK).observation.mask[0]
    np.testing.assert_array_equal(inside, junk.data == 0)
    assert 'leave_out=viewer.layers["junk"]' in widget.python_lines()
    leave_out.click()
    np.testing.assert_array_equal(widget.image.observation.mask[0], junk.data != 0)
    assert 'mask=viewer.layers["junk"]' in widget.python_lines()
    widget.restore_defaults()
    assert widget.mask_choice.layer is None
    assert widget.image.observation.mask.all()


def test_drawing_on_the_mask_is_noticed(viewer, widget, junk, qtbot):
    choose(widget.mask_choice, viewer.layers["junk"])
    viewer.layers["junk"].data = np.ones_like(junk.data)
    qtbot.waitUntil(lambda: not widget.button.isEnabled(), timeout=5000)
    assert "No pixel of topo is left" in widget.progress.message.text()
    viewer.layers.remove("junk")
    assert widget.mask_choice.leave_out.isHidden()
    assert widget.button.isEnabled()


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        (Shapes(name="drawn"), ""),
        (
            Shapes([[[0, 0], [9, 9]]], shape_type="line", name="drawn"),
            "Drawn holds a line, which",
        ),
        (Shapes([[[-99, -99], [99, 99]]], shape_type="rectangle", name="drawn"), "No pixel of topo is left"),
    ],
)
def test_bad_masks_are_said_before_recover(viewer, widget, shapes, reason):
    viewer.add_layer(shapes)
    choose(widget.mask_choice, viewer.layers["drawn"])
    assert widget.button.isEnabled() is not bool(reason)
    assert reason in widget.progress.message.text()


@pytest.mark.parametrize(
    ("shapes", "reason"),
    [
        (Shapes(name="drawn"), "Drawn holds no shape: draw a rectangle round a whole defect"),
        (Shapes([BOX - 90], shape_type="rectangle", name="drawn"), "outside the image"),
        (Shapes([BOX / 100 + (6, 8)], shape_type="rectangle", name="drawn"), "smaller than"),
    ],
)
def test_bad_boxes_are_said_before_recover(viewer, widget, shapes, reason):
    viewer.add_layer(shapes)
    choose(widget.start_choice, viewer.layers["drawn"])
    assert not widget.button.isEnabled()
    assert reason in widget.progress.message.text()
    widget.restore_defaults()
    assert widget.button.isEnabled()


def test_copied_lines_with_mask_and_boxes_give_the_identical_result(viewer, widget, junk, recover):
    place = {"scale": (0.2, 0.2), "translate": (5, 7), "units": ("nm", "nm")}
    viewer.add_shapes([BOX], shape_type="rectangle", name="boxes", **place)
    choose(widget.mask_choice, viewer.layers["junk"])
    choose(widget.start_choice, viewer.layers["boxes"])
    recovery = recover(widget, **QUICK)
    again = sbd.recover(viewer.layers["topo"], leave_out=junk.data != 0, start=BOX[None], **QUICK)
    np.testing.assert_array_equal(again.kernels, recovery.kernels)
    exec(widget.python_lines(), {"viewer": viewer})
    for role in ("kernel", "activation", "residual"):
        np.testing.assert_array_equal(
            viewer.layers[f"topo · {role}"].data, viewer.layers[f"topo · {role} [2]"].data
        )
