from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Shapes

from napari_sbd.api import recover
from napari_sbd.layers import (
    NAMESPACE,
    Slot,
    Source,
    boxes_of,
    free_slot,
    live_layers,
    marked,
    result_layers,
    role_of,
    source_of,
)
from napari_sbd.simulate import ldos_kernel, random_field


@pytest.fixture(scope="module")
def field():
    return random_field(ldos_kernel(9), (48, 56), density=0.004, snr_db=20, seed=1)


@pytest.fixture(scope="module")
def recovery(field):
    return recover(field.image, kernel_size=9, starts=2, kept=1, refinements=1, name="topo")


PLACES = [
    {"scale": (0.2, 0.2), "translate": (3, -4), "units": ("nm", "nm"), "axis_labels": ("y", "x")},
    {"scale": (0.2, 0.3), "rotate": 30, "translate": (1, 2), "units": ("um", "um")},
    {"scale": (2, 1), "shear": [0.4], "rotate": -10},
    {"affine": [[0, 0.5, 1], [-0.5, 0, 2], [0, 0, 1]], "scale": (0.1, 0.1)},
]


@pytest.mark.parametrize("place", PLACES)
def test_layers_lie_where_the_source_does(recovery, place):
    viewer = ViewerModel()
    source = viewer.add_image(recovery.observation.data[0], name="topo", **place)
    for data, attributes, kind in result_layers(recovery, source_of(source)):
        layer = getattr(viewer, f"add_{kind}")(data, **attributes)
        assert layer.units == source.units
        assert layer.axis_labels == source.axis_labels
        shift = layer.data_to_world((0, 0)) - np.array(source.data_to_world((0, 0)))
        unmoved = np.array(layer.data_to_world((5, 7))) - shift
        np.testing.assert_allclose(unmoved, source.data_to_world((5, 7)), atol=1e-9)
        corner = np.array(source.world_to_data(layer.data_to_world((0, 0))))
        if role_of(layer) == "kernel":
            assert corner[0] == pytest.approx(0, abs=1e-9)
            assert 56 + 1 <= corner[1] <= 56 + 5
        else:
            np.testing.assert_allclose(corner, 0, atol=1e-9)


def test_kernel_stays_outside_the_image(recovery):
    source = Source(scale=(0.5, 0.5))
    [(kernel, attributes, _), _] = live_layers(recovery.kernels, recovery.activations, source)
    assert kernel.shape == (9, 9)
    assert attributes["translate"][1] > 0.5 * 56


def test_defects_sit_on_their_activation(recovery, field):
    layers = {role: layer for layer in _shown(recovery) if (role := role_of(layer))}
    points, activation = layers["defects"], layers["activation"]
    assert len(points.data) == len(recovery.defects) > 0
    for place in points.data:
        row, col = np.rint(activation.world_to_data(points.data_to_world(place))).astype(int)
        near = activation.data[max(0, row - 1) : row + 2, max(0, col - 1) : col + 2]
        assert near.max() > 0
    distances = np.linalg.norm(points.data[:, None] - field.positions[None], axis=2)
    assert np.all(distances.min(1) < 1)


def test_defects_carry_their_table(recovery):
    points = next(layer for layer in _shown(recovery) if role_of(layer) == "defects")
    table = points.features
    assert {"type", "row", "col", "x_px", "y_px", "amplitude", "amplitude_error", "snr", "near_border"} <= {
        *table.columns
    }
    np.testing.assert_array_equal(points.data, table[["row", "col"]])


def test_defects_without_any(recovery):
    empty = replace(recovery)
    vars(empty)["defects"] = recovery.defects.iloc[:0]
    points = next(layer for layer in _shown(empty) if role_of(layer) == "defects")
    assert points.data.shape == (0, 2)


def test_look(recovery):
    layers = {role_of(layer): layer for layer in _shown(recovery)}
    for role in ("kernel", "residual"):
        low, high = layers[role].contrast_limits
        assert low == -high < 0
    assert layers["activation"].contrast_limits[0] == 0
    assert not layers["residual"].visible
    assert not layers["reconstruction"].visible
    assert all(layers[role].visible for role in ("kernel", "activation", "defects"))
    assert np.all(layers["defects"].face_color[:, 3] == 0)
    near = layers["defects"].features["near_border"].to_numpy(bool)
    colours = layers["defects"].border_color
    assert {*map(tuple, colours[near])}.isdisjoint(map(tuple, colours[~near]))


def test_reconstruction_looks_like_the_image(recovery):
    image = Image(recovery.observation.data[0], colormap="viridis", contrast_limits=(-0.1, 0.3))
    _, attributes, _ = result_layers(recovery, source_of(image))[0]
    assert attributes["contrast_limits"] == pytest.approx((-0.1, 0.3))
    assert attributes["colormap"]["name"] == "viridis"


def test_metadata_tell_how_it_was_made(recovery):
    for layer in _shown(recovery):
        own = layer.metadata[NAMESPACE]
        assert own["parameters"]["kernel_size"] == (9, 9)
        assert own["parameters"]["seed"] == 0
        assert "napari-sbd" in own["versions"]
        assert own["role"] in layer.name
        assert own["source"] == "topo"


def test_numbers_are_the_same_for_all_layers(recovery):
    viewer = ViewerModel()
    source = Source("topo")
    for name in (
        "topo",
        "topo · residual",
        "topo · kernel 2 [2]",
        "topo · notes [3]",
        "topology · kernel [3]",
    ):
        viewer.add_image(np.eye(3), name=name)
    slot = free_slot(source, recovery.kernels, (48, 56), viewer.layers)
    names = [attributes["name"] for _, attributes, _ in result_layers(recovery, source, slot)]
    assert {name[-4:] for name in names} == {" [3]"}
    assert slot.row == 0


@pytest.mark.parametrize("place", PLACES)
def test_kernels_of_later_runs_lie_below(recovery, place):
    viewer = ViewerModel()
    source = viewer.add_image(recovery.observation.data[0], name="topo", **place)
    windows = (13, 9, 9)
    for window in windows:
        kernels = np.ones((2, 1, window, window))
        slot = free_slot(source_of(source), kernels, (48, 56), viewer.layers)
        maps = np.zeros((2, 48, 56))
        for data, attributes, _ in live_layers(kernels, maps, source_of(source), slot):
            viewer.add_image(data, **attributes)
    kernels = [layer for layer in viewer.layers if role_of(layer) == "kernel"]
    tops = [source.world_to_data(layer.data_to_world((0, 0)))[0] for layer in kernels]
    assert tops == pytest.approx([0, 15, 30, 41, 52, 63])


def test_rings_of_later_runs_have_another_colour(recovery):
    source = Source("topo")
    first, second = (result_layers(recovery, source, Slot(n))[-1][1]["border_color"] for n in (1, 2))
    assert {*map(tuple, first)}.isdisjoint(map(tuple, second))


def test_several_types_and_slices():
    kernels, maps = np.random.default_rng(0).normal(size=(2, 3, 5, 5)), np.zeros((2, 20, 30))
    viewer = ViewerModel()
    for data, attributes, kind in live_layers(kernels, maps, Source("topo", scale=(0.5, 0.5))):
        getattr(viewer, f"add_{kind}")(data, **attributes)
    names = ["topo · kernel 1", "topo · kernel 2", "topo · activation 1", "topo · activation 2"]
    assert [layer.name for layer in viewer.layers] == names
    first, second = viewer.layers[:2]
    assert first.data.shape == (3, 5, 5)
    assert first.data_to_world((0, 4, 0))[1] < second.data_to_world((0, 0, 0))[1]


@pytest.mark.parametrize(
    ("layer", "unit", "size"),
    [
        (Image(np.eye(4), scale=(0.2, 0.3), units=("nm", "nm")), "nm", (0.2, 0.3)),
        (Image(np.eye(4), scale=(-2, 2), units=("angstrom", "angstrom")), "Å", (2, 2)),
        (Image(np.eye(4), scale=(0.5, 0.5), units=("micrometer",) * 2, rotate=20), "µm", (0.5, 0.5)),
        (Image(np.eye(4), scale=(0.2, 0.2)), "px", (1, 1)),
        (Labels(np.eye(4, dtype=int), scale=(3, 3), units=("pm", "pm")), "pm", (3, 3)),
        (Image(np.zeros((2, 4, 4)), scale=(9, 0.2, 0.3), units=("s", "nm", "nm")), "nm", (0.2, 0.3)),
        (Image(np.eye(4), scale=(0.1, 0.1), metadata={"axes": [{"units": "nm"}] * 2}), "nm", (0.1, 0.1)),
        (Image(np.eye(4), scale=(0.1, 0.1), metadata={"axes": "none"}), "px", (1, 1)),
    ],
)
def test_pixel_size_and_unit(layer, unit, size):
    source = source_of(layer)
    assert source.unit == unit
    assert source.pixel_size == pytest.approx(size)


def _shown(recovery):
    viewer = ViewerModel()
    return [
        getattr(viewer, f"add_{kind}")(data, **attributes)
        for data, attributes, kind in result_layers(recovery, recovery.source)
    ]


INSIDE = np.zeros((48, 56), bool)
INSIDE[10:21, 12:31] = True
RECTANGLE = np.array([[9.6, 11.6], [9.6, 30.4], [20.4, 30.4], [20.4, 11.6]])


@pytest.mark.parametrize("place", PLACES)
def test_marks_are_taken_as_the_viewer_shows_them(place):
    image = Image(np.zeros((48, 56)), **place)
    source = source_of(image)
    world = np.array([image.data_to_world(corner) for corner in RECTANGLE])
    drawn = Shapes([world], shape_type="polygon", units=image.units)
    larger = Labels(np.pad(INSIDE.astype(int), 3), **place)
    shifted = np.array(image.data_to_world((-3, -3))) - image.data_to_world((0, 0))
    larger.translate += shifted @ np.linalg.inv(image.affine.linear_matrix).T
    for layer in (Shapes([RECTANGLE], shape_type="rectangle", **place), drawn, larger):
        np.testing.assert_array_equal(marked(layer, source, image.data.shape), INSIDE)
    np.testing.assert_allclose(
        boxes_of(drawn, source), [[RECTANGLE.min(0), RECTANGLE.max(0)]], rtol=0, atol=1e-4
    )


def test_marks_in_another_unit_of_length():
    image = Image(np.zeros((48, 56)), scale=(0.2, 0.2), units=("nm", "nm"))
    drawn = Shapes([2 * RECTANGLE], shape_type="rectangle", units=("angstrom", "angstrom"))
    np.testing.assert_array_equal(marked(drawn, source_of(image), (48, 56)), INSIDE)


def test_labels_of_the_same_shape_lie_on_the_image_pixel_by_pixel():
    source = Source(scale=(0.2, 0.2), units=("nanometer",) * 2, unit="nm")
    np.testing.assert_array_equal(marked(Labels(INSIDE.astype(int)), source, (48, 56)), INSIDE)


def test_ellipses_and_several_shapes():
    shapes = Shapes([[[20, 20], [10, 15]]], shape_type="ellipse")
    shapes.add_rectangles([RECTANGLE + 20])
    found = marked(shapes, Source(), (48, 56))
    rows, cols = np.indices((48, 56))
    ellipse = ((rows - 20) / 10) ** 2 + ((cols - 20) / 15) ** 2 <= 1
    assert np.count_nonzero(found != (ellipse | np.roll(INSIDE, (20, 20), (0, 1)))) <= 12


def test_shapes_of_the_shown_slice():
    shapes = Shapes([np.insert(RECTANGLE, 0, n, axis=1) for n in (1, 2)], shape_type="polygon")
    assert len(boxes_of(shapes, Source(), at=(1,))) == 1
    assert len(boxes_of(shapes, Source())) == 2
    assert not marked(shapes, Source(), (48, 56), at=(5,)).any()


def test_activations_of_both_signs_have_their_own_colours():
    maps = np.zeros((1, 20, 30))
    maps[0, 4, 4] = 1
    names = []
    for sign in (1, -1):
        maps[0, 9, 9] = sign
        _, (_, attributes, _) = live_layers(np.ones((1, 1, 5, 5)), maps, Source())
        names.append(attributes["colormap"]["name"])
    assert names == ["activation", "activation, signed"]


def test_rings_of_types_have_their_own_colours(recovery):
    two = replace(
        recovery,
        kernels=np.repeat(recovery.kernels, 2, 0),
        extended_activations=np.repeat(recovery.extended_activations, 2, 0),
        peaks=recovery.peaks * 2,
    )
    layers = result_layers(two, Source("topo"), Slot(2))
    names = [attributes["name"] for _, attributes, _ in layers]
    assert names[2:] == [
        f"topo · {role} [2]" for role in ("kernel 1", "kernel 2", "activation 1", "activation 2", "defects")
    ]
    _, rings, _ = layers[-1]
    types = rings["features"]["type"].to_numpy()
    first, second = ({*map(tuple, rings["border_color"][types == t])} for t in (0, 1))
    assert first
    assert second
    assert first.isdisjoint(second)
