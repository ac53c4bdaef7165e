from threading import Event

import dask.array
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels, Points, Shapes

import napari_sbd as sbd
from napari_sbd.api import read
from napari_sbd.simulate import ldos_kernel, random_field

QUICK = {"kernel_size": 9, "starts": 2, "kept": 1, "refinements": 1}


@pytest.fixture(scope="module")
def image():
    return random_field(ldos_kernel(9), (48, 56), density=0.004, snr_db=20, seed=1).image


@pytest.fixture(scope="module")
def plain(image):
    return sbd.recover(image, **QUICK)


def test_layer_gives_what_its_array_gives(image, plain):
    layer = Image(image, name="topo", scale=(0.2, 0.2), units=("nm", "nm"))
    recovery = sbd.recover(layer, **QUICK)
    np.testing.assert_array_equal(recovery.kernels, plain.kernels)
    assert recovery.observation.pixel_size == (0.2, 0.2)
    np.testing.assert_allclose(recovery.defects["x_nm"], 0.2 * recovery.defects["col"])
    assert recovery.source.name == "topo"


@pytest.mark.parametrize(
    "wrap",
    [
        dask.array.from_array,
        lambda a: a.tolist(),
        lambda a: a.astype(">f8"),
        lambda a: Image(dask.array.from_array(a)),
        lambda a: Image([a, a[::2, ::2]], multiscale=True),
        lambda a: sbd.observe(a),
    ],
)
def test_whatever_holds_the_image(image, plain, wrap):
    np.testing.assert_array_equal(sbd.recover(wrap(image), **QUICK).kernels, plain.kernels)


def test_labels_layer_is_an_image(image):
    counts = np.rint(1000 * (image - image.min())).astype(int)
    recovery = sbd.recover(Labels(counts), **QUICK)
    np.testing.assert_array_equal(recovery.kernels, sbd.recover(counts, **QUICK).kernels)


def test_slice_of_a_stack(image, plain):
    layer = Image(
        np.stack([np.flip(image), image]), name="stack", scale=(9, 0.2, 0.2), units=("s", "nm", "nm")
    )
    recovery = sbd.recover(layer, at=1, **QUICK)
    np.testing.assert_array_equal(recovery.kernels, plain.kernels)
    assert recovery.source.scale == (0.2, 0.2)
    with pytest.raises(ValueError, match=r"stack holds many images.*at=viewer\.dims\.current_step"):
        sbd.recover(layer, **QUICK)
    with pytest.raises(ValueError, match="leave out at"):
        sbd.recover(Image(image), at=1)
    with pytest.raises(ValueError, match="index the array"):
        sbd.recover(image, at=1)


def test_grey_rgb_layer_is_an_image(image):
    counts = np.uint8(255 * (image - image.min()) / np.ptp(image))
    recovery = sbd.recover(Image(np.dstack([counts] * 3), rgb=True), **QUICK)
    np.testing.assert_array_equal(recovery.kernels, sbd.recover(counts, **QUICK).kernels)
    coloured = np.dstack([counts, 255 - counts, counts])
    with pytest.raises(ValueError, match="picture is a colour image"):
        sbd.recover(Image(coloured, rgb=True, name="picture"))


@pytest.mark.parametrize("wrap", [np.asarray, lambda m: Labels(3 * m.astype(int)), lambda m: 7 * m])
def test_mask_counts_where_it_is_not_zero(image, wrap):
    inside = np.ones(image.shape, bool)
    inside[:10, :12] = False
    recovery = sbd.recover(Image(image), mask=wrap(inside), **QUICK)
    np.testing.assert_array_equal(recovery.observation.mask[0], inside)


def test_layers_that_are_no_images():
    with pytest.raises(ValueError, match="dots is no image: choose an Image or a Labels layer"):
        sbd.recover(Points(np.zeros((5, 2)), name="dots"))


@pytest.mark.parametrize(
    ("layer", "options", "message"),
    [
        (Image(np.full((9, 9), 2.0), name="flat"), {}, "flat is constant"),
        (Image(np.full((9, 9), np.nan), name="void", contrast_limits=(0, 1)), {}, "void has no finite pixel"),
        (Image(np.eye(9)), {"kernel_size": 11}, "larger than the image"),
        (Image(np.eye(9)), {"sed": 1}, "did you mean 'seed'"),
        (Image(np.eye(9)), {"mask": np.ones((3, 3))}, "mask has shape"),
    ],
)
def test_bad_input_is_named_before_any_work(layer, options, message):
    with pytest.raises(ValueError, match=message):
        sbd.iter_recover(layer, **options)


def test_states_end_with_the_recovery(image):
    states = sbd.iter_recover(image, **QUICK)
    *_, last = states
    assert isinstance(last.recovery, sbd.Recovery)


def test_stop_gives_the_best_until_then(image):
    stop = Event()
    stop.set()
    assert sbd.recover(image, stop=stop, **QUICK).status == "cancelled"


def test_add_to_overwrites_nothing(image):
    viewer = ViewerModel()
    viewer.add_image(image, name="topo", scale=(0.2, 0.2), units=("nm", "nm"))
    recovery = sbd.recover(viewer.layers["topo"], **QUICK)
    first = recovery.add_to(viewer)
    second = recovery.add_to(viewer)
    names = [layer.name for layer in first]
    assert names == [f"topo · {r}" for r in ("reconstruction", "residual", "kernel", "activation", "defects")]
    assert [layer.name for layer in second] == [f"{name} [2]" for name in names]
    assert list(viewer.layers) == [viewer.layers["topo"], *first, *second]


def test_array_with_pixel_size_gives_layers_in_its_unit(image):
    viewer = ViewerModel()
    layers = sbd.recover(image, pixel_size=(0.2, 0.3), unit="nm", name="scan", **QUICK).add_to(viewer)
    assert layers[0].name == "scan · reconstruction"
    assert {str(unit) for layer in layers for unit in layer.units} == {"nanometer"}
    np.testing.assert_allclose(layers[0].scale, (0.2, 0.3))


def test_stack_of_slices_gives_stacks(image):
    viewer = ViewerModel()
    layers = sbd.recover(np.stack([image, image]), **QUICK).add_to(viewer)
    assert [layer.ndim for layer in layers] == [3, 3, 3, 2, 2]


def test_leave_out_is_the_rest_of_mask(image):
    inside = np.ones(image.shape, bool)
    inside[:10, :12] = False
    for junk in (~inside, Labels(5 * ~inside), Shapes([[[-1, -1], [9.5, 11.5]]], shape_type="rectangle")):
        seen, _ = read(Image(image), leave_out=junk)
        np.testing.assert_array_equal(seen.mask[0], inside)
    seen, _ = read(image, mask=inside, leave_out=np.eye(*image.shape))
    np.testing.assert_array_equal(seen.mask[0], inside & ~np.eye(*image.shape, dtype=bool))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"leave_out": np.ones((3, 3))}, "leave_out has shape"),
        ({"leave_out": Points(np.zeros((2, 2)), name="dots")}, "dots marks no area"),
        ({"mask": Shapes(name="junk")}, "no pixel of topo is left"),
        ({"start": Points(np.zeros((2, 2)), name="dots")}, "dots holds no boxes: choose a Shapes layer"),
        ({"start": Shapes(name="boxes")}, "boxes holds no shape"),
    ],
)
def test_bad_marks_are_named_before_any_work(image, options, message):
    with pytest.raises(ValueError, match=message):
        sbd.iter_recover(Image(image, name="topo"), **options)


def test_an_observation_has_its_own_mask(image):
    with pytest.raises(ValueError, match="own mask"):
        sbd.recover(sbd.observe(image), leave_out=np.zeros(image.shape))


def test_starts_from_the_boxes_of_a_layer(image):
    box = np.array([[10, 12], [20, 22]])
    layer = Shapes([box * 0.2], shape_type="rectangle", units=("nm", "nm"))
    source = Image(image, scale=(0.2, 0.2), units=("nm", "nm"))
    from_layer = sbd.recover(source, start=layer, **QUICK, types=1)
    from_array = sbd.recover(source, start=box[None], **QUICK, types=1)
    np.testing.assert_allclose(from_layer.kernels, from_array.kernels, atol=1e-6)


@pytest.mark.parametrize("mask", [{}, {"mask": True}, {"leave_out": True}])
def test_a_lazy_image_is_read_once_with_or_without_a_mask(image, mask):
    read_pixels = []

    def counted(block):
        if block.size:
            read_pixels.append(block.size)
        return block

    lazy = dask.array.from_array(image, chunks=17).map_blocks(counted, meta=image[:0, :0])
    inside = np.zeros(image.shape, bool)
    inside[:20] = True
    seen, _ = read(lazy, **dict.fromkeys(mask, inside))
    assert sum(read_pixels) == image.size
    expected = read(image, **dict.fromkeys(mask, inside))[0]
    np.testing.assert_array_equal(seen.data, expected.data)
    np.testing.assert_array_equal(seen.mask, expected.mask)
    if mask:
        assert np.array_equal(seen.mask[0], inside if "mask" in mask else ~inside)
        assert not seen.data[~seen.mask].any()
