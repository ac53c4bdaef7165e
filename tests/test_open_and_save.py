"""Saving and opening through napari's own reader and writer."""

import copy
import json
import pickle
import warnings

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from napari.utils.notifications import notification_manager
from npe2 import PluginManager, PluginManifest

import napari_sbd as sbd
from napari_sbd._recovery_reader import open_recovery
from napari_sbd._writer import write_recovery
from napari_sbd.io.compare import differences
from napari_sbd.layers import energies_of, recovery_of
from napari_sbd.simulate import ldos_kernel, random_field

QUICK = {"kernel_size": 9, "starts": 2, "kept": 1, "refinements": 1}
SHOWN = ("name", "visible", "opacity", "blending", "gamma", "contrast_limits", "interpolation2d")
PLACED = ("scale", "translate", "rotate", "shear")
OF_POINTS = ("size", "symbol", "face_color", "border_color", "border_width", "shown")


@pytest.fixture(scope="module", autouse=True)
def plugin():
    """The manifest of this source, whatever is installed."""
    manager = PluginManager.instance()
    if "napari-sbd" not in manager._manifests:
        manager.register(PluginManifest.from_distribution("napari-sbd"))
    if "napari" not in manager._manifests:
        manager.register(PluginManifest.from_distribution("napari"))


@pytest.fixture(scope="module")
def image():
    return random_field(ldos_kernel(9), (48, 56), density=0.004, snr_db=20, seed=1).image


@pytest.fixture(scope="module")
def place():
    return {
        "scale": (0.2, 0.3),
        "translate": (5, 7),
        "rotate": 10,
        "units": ("nm", "nm"),
        "axis_labels": ("y", "x"),
    }


@pytest.fixture(scope="module")
def recovery(image, place):
    origin = {"file": "scan.sxm", "channel": "Z", "energies": None, "header": object()}
    layer = Image(image, name="topo", colormap="viridis", metadata={"napari-sbd": origin}, **place)
    return sbd.recover(layer, **QUICK)


@pytest.fixture
def viewer(image, place, recovery):
    viewer = ViewerModel()
    viewer.add_image(image, name="topo", colormap="viridis", **place)
    recovery.add_to(viewer)
    return viewer


def opened_in(path):
    viewer = ViewerModel()
    viewer.open(path, plugin="napari-sbd")
    return viewer


def same_layer(first, second):
    for name in SHOWN + PLACED:
        if hasattr(first, name):
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)
    np.testing.assert_array_equal(first.affine.affine_matrix, second.affine.affine_matrix)
    assert (first.units, first.axis_labels) == (second.units, second.axis_labels)
    np.testing.assert_array_equal(first.data, second.data)
    if hasattr(first, "colormap"):
        assert first.colormap.name == second.colormap.name
        np.testing.assert_array_equal(first.colormap.colors, second.colormap.colors)
    if hasattr(first, "symbol"):
        for name in OF_POINTS:
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)
        assert differences(first.features, second.features) == []


def test_layers_are_restored_as_they_were(viewer, tmp_path):
    residual, activation = viewer.layers["topo · residual"], viewer.layers["topo · activation"]
    residual.visible, residual.opacity, residual.contrast_limits = True, 0.4, (-0.01, 0.02)
    activation.colormap, activation.gamma, activation.name = "turbo", 0.7, "where they are"
    activation.blending = "additive"
    points = viewer.layers["topo · defects"]
    points.symbol, points.size = "square", 4
    [path] = viewer.layers.save(tmp_path / "topo.sbd.h5", plugin="napari-sbd")
    again = opened_in(path)
    assert [layer.name for layer in again.layers] == [layer.name for layer in viewer.layers]
    for first, second in zip(list(viewer.layers)[1:], list(again.layers)[1:], strict=True):
        same_layer(first, second)
    assert again.layers["topo"].colormap.name == "viridis"
    np.testing.assert_array_equal(again.layers["topo"].data, viewer.layers["topo"].data)
    np.testing.assert_array_equal(
        again.layers["topo"].data_to_world((3, 4)), viewer.layers["topo"].data_to_world((3, 4))
    )


def test_edited_points_and_pixels_are_kept(viewer, tmp_path):
    points, kernel = viewer.layers["topo · defects"], viewer.layers["topo · kernel"]
    before = len(points.data)
    points.selected_data = {0, 2}
    points.remove_selected()
    kernel.data = 2 * kernel.data
    [path] = viewer.layers.save(tmp_path / "topo.sbd.h5", plugin="napari-sbd")
    again = opened_in(path)
    assert len(again.layers["topo · defects"].data) == before - 2
    same_layer(points, again.layers["topo · defects"])
    same_layer(kernel, again.layers["topo · kernel"])
    assert len(recovery_of(again.layers["topo · defects"].metadata).defects) == before


@pytest.mark.parametrize("chosen", [["topo · kernel"], ["topo · defects"], ["topo", "topo · residual"]])
def test_any_of_the_layers_saves_the_whole(viewer, recovery, tmp_path, chosen):
    viewer.layers.selection = {viewer.layers[name] for name in chosen}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        [path] = viewer.layers.save(tmp_path / "topo.sbd.h5", selected=True, plugin="napari-sbd")
    assert recovery_of(viewer.layers["topo · kernel"].metadata) is recovery
    assert differences(recovery, sbd.load(path)) == []
    for first, second in zip(list(viewer.layers)[1:], list(opened_in(path).layers)[1:], strict=True):
        same_layer(first, second)


def test_a_result_that_was_opened_is_saved_again_and_knows_its_file(viewer, tmp_path):
    [first] = viewer.layers.save(tmp_path / "a.sbd.h5", plugin="napari-sbd")
    again = opened_in(first)
    [second] = again.layers.save(tmp_path / "b.sbd.h5", plugin="napari-sbd")
    assert differences(sbd.load(first), sbd.load(second)) == []
    source = sbd.load(second).source
    assert (source.origin["file"], source.origin["channel"], source.energies) == ("scan.sxm", "Z", ())


def test_an_opened_stack_slides_by_energy_again(image, tmp_path):
    stack = np.stack([image, -image, 2 * image])
    calibrated = {"scale": (0.1, 0.2, 0.2), "translate": (-0.1, 5, 7), "units": ("V", "nm", "nm")}
    viewer = ViewerModel()
    viewer.add_image(stack, name="grid", axis_labels=("bias", "y", "x"), **calibrated)
    sbd.recover(viewer.layers["grid"], **QUICK).add_to(viewer)
    selected = [layer for layer in viewer.layers if layer.name != "grid"]
    viewer.layers.selection = set(selected)
    [path] = viewer.layers.save(tmp_path / "grid.sbd.h5", selected=True, plugin="napari-sbd")
    opened = opened_in(path)
    for name in ("grid", "grid · kernel", "grid · residual"):
        first, second = viewer.layers[name], opened.layers[name]
        same_layer(first, second)
        assert (first.units, first.axis_labels) == (second.units, second.axis_labels)
        assert energies_of(second) == (pytest.approx((-0.1, 0, 0.1)), "V")


def test_opened_image_gives_the_same_recovery(viewer, tmp_path):
    [path] = viewer.layers.save(tmp_path / "topo.sbd.h5", plugin="napari-sbd")
    again = opened_in(path)
    repeated = sbd.recover(again.layers["topo"], **QUICK)
    assert differences(sbd.load(path).kernels, repeated.kernels) == []
    assert repeated.source.pixel_size == pytest.approx((0.2, 0.3))


def test_masked_stack_and_second_run(image, tmp_path):
    viewer = ViewerModel()
    mask = np.ones(image.shape, bool)
    mask[:9, :9] = False
    stack = np.stack([image, -2 * image])
    recovery = sbd.recover(stack, mask=mask, name="grid", pixel_size=0.2, unit="nm", **QUICK)
    recovery.add_to(viewer)
    second = recovery.add_to(viewer)
    path = recovery.save(tmp_path / "grid", layers=second)
    again = opened_in(path)
    assert again.layers["grid"].ndim == 3
    assert np.isnan(again.layers["grid"].data[:, :9, :9]).all()
    np.testing.assert_array_equal(again.layers["grid"].data[:, mask], stack[:, mask])
    for first, other in zip(second, list(again.layers)[1:], strict=True):
        assert other.name.endswith(" [2]")
        same_layer(first, other)


def test_a_colormap_of_ones_own_is_known_in_another_session(image, tmp_path):
    from napari.utils.colormaps import AVAILABLE_COLORMAPS

    own = {"name": "my own", "colors": [[0, 0, 0, 1], [0, 1, 0, 1], [1, 1, 1, 1]]}
    viewer = ViewerModel()
    recovery = sbd.recover(viewer.add_image(image, name="topo", colormap=own), **QUICK)
    path = recovery.save(tmp_path / "topo")
    AVAILABLE_COLORMAPS.pop("my own")
    again = opened_in(path)
    np.testing.assert_array_equal(again.layers["topo"].colormap.colors, own["colors"])


def test_layers_of_other_origin_are_named(viewer, image, tmp_path):
    viewer.add_image(image, name="mine")
    told = []
    notification_manager.notification_ready.connect(lambda event: told.append(event.message))
    viewer.layers.save(tmp_path / "topo.sbd.h5", plugin="napari-sbd")
    assert told == ["mine is not in topo.sbd.h5: it holds the recovery of topo only"]
    with pytest.raises(RuntimeError, match="none of these layers is the result of a recovery"):
        viewer.layers["mine"].save(tmp_path / "other.sbd.h5", plugin="napari-sbd")
    sbd.recover(image, name="second", **QUICK).add_to(viewer)
    with pytest.raises(RuntimeError, match="are of 2 recoveries: select the layers of one of them"):
        viewer.layers.save(tmp_path / "other.sbd.h5", plugin="napari-sbd")
    assert [path.name for path in tmp_path.iterdir()] == ["topo.sbd.h5"]


def test_a_layer_made_of_ours_is_no_result(viewer, tmp_path):
    """As *Convert to Labels* makes it, with the metadata of the activation map."""
    of_map = viewer.layers["topo · activation"]
    viewer.add_labels((of_map.data > 0).astype(int), name="labels", metadata=of_map.metadata)
    [path] = viewer.layers.save(tmp_path / "topo.sbd.h5", plugin="napari-sbd")
    same_layer(of_map, opened_in(path).layers["topo · activation"])


def test_a_completed_name_replaces_nothing(viewer, tmp_path):
    tuples = [layer.as_layer_data_tuple() for layer in viewer.layers]
    assert write_recovery(str(tmp_path / "topo"), tuples) == [str(tmp_path / "topo.sbd.h5")]
    with pytest.raises(FileExistsError, match="give its whole name to replace it"):
        write_recovery(str(tmp_path / "topo"), tuples)
    write_recovery(str(tmp_path / "topo.sbd.h5"), tuples)


def test_ordinary_layers_are_saved_by_napari_as_ever(viewer, image, tmp_path):
    """Without an ending napari takes the first writer that fits: that must not be ours."""
    mine = viewer.add_image(image, name="mine")
    assert mine.save(tmp_path / "mine") == [str(tmp_path / "mine.tif")]
    kernel = viewer.layers["topo · kernel"]
    assert kernel.save(tmp_path / "kernel.tif") == [str(tmp_path / "kernel.tif")]
    assert viewer.layers["topo · defects"].save(tmp_path / "d.csv") == [str(tmp_path / "d.csv")]


def test_metadata_stay_plain_for_others(viewer):
    metadata = viewer.layers["topo · kernel"].metadata
    text = json.dumps(metadata, default=lambda value: pytest.fail(f"{value!r} is not plain"))
    assert "recovery" in text
    recovery = recovery_of(metadata)
    assert recovery_of(copy.deepcopy(metadata)) is recovery
    assert recovery_of(pickle.loads(pickle.dumps(metadata))) is None
    assert recovery_of({}) is recovery_of({"napari-sbd": 3}) is None


def test_reader_takes_our_ending_only(tmp_path):
    assert open_recovery(str(tmp_path / "a.SBD.h5")) is not None
    assert open_recovery(str(tmp_path / "a.h5")) is None
    assert open_recovery([str(tmp_path / "a.sbd.h5"), str(tmp_path / "a.tif")]) is None


def test_opening_a_foreign_file_tells_why(tmp_path):
    path = tmp_path / "topo.sbd.h5"
    path.write_text("no")
    with pytest.raises(ValueError, match=r"topo\.sbd\.h5 is no saved recovery"):
        opened_in(path)
