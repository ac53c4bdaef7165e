"""Files as napari's layers: through the manifest, into a real window, and on to the widget."""

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from napari.settings import get_settings

import napari_sbd as sbd
from benchmarks.small_files import PIXEL, grid, npy, sxm
from napari_sbd._reader import get_reader
from napari_sbd.api import read
from napari_sbd.io.channel import NO_PIXEL_SIZE
from napari_sbd.layers import NAMESPACE, add_layer, channel_layers, notes_of, source_of
from napari_sbd.simulate import ldos_kernel, random_field
from napari_sbd.widgets.own_files import claim_own_files

REAL = Path(__file__).parents[1].parent / "shared" / "data" / "readers"
REAL_FILES = {
    "Au_mica.sxm": ("Au_mica · Current (nA)", "nm", 4 / 256),
    "STS_grid_lockin.3ds": ("STS_grid_lockin · Z (nm)", "nm", 5 / 30),
    "PTO.gwy": ("PTO · HeightRetrace (nm)", "nm", 39.21568627450981),
    "SI-HAADF.dm3": ("SI-HAADF · 06-HAADF", "px", 1),
}


@pytest.fixture
def layers(tmp_path):
    """Layers of a small grid, in a viewer."""
    grid(tmp_path / "map.3ds")
    viewer = ViewerModel()
    for layer in get_reader(str(tmp_path / "map.3ds"))(str(tmp_path / "map.3ds")):
        add_layer(viewer, layer)
    return viewer.layers


def test_the_topograph_is_on_top_and_seen(layers):
    assert [layer.name for layer in layers] == ["map · LI Demod 1 X (A)", "map · Current (A)", "map · Z (nm)"]
    assert [layer.visible for layer in layers] == [False, False, True]
    assert layers.selection.active is layers[-1]


def test_the_recovery_finds_pixel_size_and_unit(layers):
    for layer in layers:
        source = source_of(layer)
        assert source.unit == "nm"
        assert source.pixel_size == pytest.approx(PIXEL)


def test_values_are_in_the_unit_of_the_name(layers, tmp_path):
    height = sbd.read(tmp_path / "map.3ds")[0].data
    np.testing.assert_allclose(layers["map · Z (nm)"].data, 1e9 * height, rtol=1e-6)
    assert layers["map · Z (nm)"].data.dtype == np.float32


def test_metadata_tell_what_the_file_says(layers):
    own = layers["map · Current (A)"].metadata[NAMESPACE]
    assert own["energies"] == pytest.approx(np.linspace(-0.1, 0.25, 8).tolist())
    assert (own["energy_unit"], own["value_unit"], own["angle"]) == ("V", "A", 30)
    assert (own["file"], own["channel"]) == ("map.3ds", "Current")
    assert own["header"]["Grid dim"] == "15 x 12"


def test_a_stack_slides_by_energy(layers, tmp_path):
    for layer in layers[:2]:
        assert (layer.scale[0], layer.translate[0]) == pytest.approx((0.05, -0.1))
        assert (str(layer.units[0]), layer.axis_labels[0]) == ("volt", "bias")
        assert source_of(layer).energies == pytest.approx(np.linspace(-0.1, 0.25, 8))
    assert layers[2].ndim == 2
    [_, current, _] = sbd.read(tmp_path / "map.3ds")
    assert current.data.ndim == 3
    _, source = read(current)
    assert source.energies == pytest.approx(np.linspace(-0.1, 0.25, 8))
    assert (source.slice_scale, source.energy_unit) == (pytest.approx(0.05), "V")


def test_uneven_energies_slide_by_index(tmp_path):
    stack = np.random.default_rng(0).normal(size=(3, 8, 8))
    uneven = sbd.Channel("dI/dV", stack, energies=np.array([1.0, 2.0, 4.0]), energy_unit="V")
    [(_, attributes, _)] = channel_layers((uneven,), Path("a.npz"))
    assert (attributes["scale"], attributes["units"]) == ((1.0, 1.0, 1.0), ("pixel",) * 3)
    assert attributes["metadata"][NAMESPACE]["energies"] == [1, 2, 4]


def test_a_spike_does_not_make_the_image_black(tmp_path):
    values = np.random.default_rng(0).normal(size=(64, 64))
    values[3, 4], values[5, 6] = 1e6, np.nan
    [(_, attributes, _)] = channel_layers((sbd.Channel("dI/dV", values),), Path("a.npz"))
    low, high = attributes["contrast_limits"]
    assert -4 < low < -2 < 2 < high < 4
    for constant in (np.zeros((8, 8)), np.full((8, 8), np.nan)):
        [(_, attributes, _)] = channel_layers((sbd.Channel("dI/dV", constant),), Path("a.npz"))
        low, high = attributes["contrast_limits"]
        assert low < high


def test_only_known_files_are_ours(tmp_path):
    assert get_reader("a.tiff") is None
    assert get_reader(["a.sxm", "b.png"]) is None
    assert get_reader("A.SXM") is not None
    files = [tmp_path / "a.sxm", tmp_path / "b.npy"]
    sxm(files[0])
    npy(files[1])
    names = [attributes["name"] for _, attributes, _ in get_reader([*map(str, files)])([*map(str, files)])]
    assert names == [
        "a · Current backward (pA)",
        "a · LI Demod 1 X (pA)",
        "a · Z backward (nm)",
        "a · Z (nm)",
        "b",
    ]


@pytest.mark.parametrize("name", REAL_FILES)
def test_real_files_open_by_drag_and_drop(name, make_napari_viewer, drop):
    if not (REAL / name).is_file():
        pytest.skip(f"needs ../shared/data/readers/{name}, which is not there")
    viewer = make_napari_viewer()
    drop(viewer, REAL / name)
    top, unit, size = REAL_FILES[name]
    assert viewer.layers[-1].name == top
    assert [layer.visible for layer in viewer.layers] == [layer.name == top for layer in viewer.layers]
    source = source_of(viewer.layers[-1])
    assert (source.unit, source.pixel_size) == (unit, pytest.approx((size, size)))
    _, widget = viewer.window.add_plugin_dock_widget("napari-sbd", "Sparse blind deconvolution")
    assert widget.image.layer.name == top
    assert widget.image.observation is not None


def test_a_damaged_file_says_so_in_the_window(make_napari_viewer, drop, tmp_path):
    path = tmp_path / "cut.sxm"
    sxm(path)
    path.write_bytes(path.read_bytes()[:-100])
    viewer = make_napari_viewer()
    with pytest.raises(Exception, match=r"cut\.sxm is cut off"):
        drop(viewer, path)
    assert not viewer.layers


def test_the_widget_says_what_the_reader_found(make_napari_viewer, drop, tmp_path):
    sxm(tmp_path / "stopped.sxm", measured=30)
    np.savez(tmp_path / "wide.npz", Z=np.random.default_rng(0).random((100, 200)), pixel_size_nm=100)
    viewer = make_napari_viewer()
    drop(viewer, tmp_path / "stopped.sxm")
    _, widget = viewer.window.add_plugin_dock_widget("napari-sbd", "Sparse blind deconvolution")
    assert "Unfinished: 10 of 40 lines were not scanned." in widget.image.hint.text()
    viewer.open(tmp_path / "wide.npz", plugin="napari-sbd")
    widget.image.combo.value = viewer.layers["wide · Z"]
    assert widget.image.hint.text() == "100 × 200 px · 10 × 20 µm"


def test_no_pixel_size_is_said_until_there_is_one(tmp_path):
    [(data, attributes, _)] = channel_layers((sbd.Channel("a", np.eye(9), notes=(NO_PIXEL_SIZE,)),), tmp_path)
    layer = Image(data, **attributes)
    assert notes_of(layer) == (NO_PIXEL_SIZE,)
    layer.units = ("nm", "nm")
    assert notes_of(layer) == ()


def test_a_saved_result_falls_onto_the_window_without_a_question(
    make_napari_viewer, drop, tmp_path, monkeypatch
):
    """napari itself offers to open every .h5, and would ask which reader to use."""
    image = random_field(ldos_kernel(9), (48, 56), density=0.004, snr_db=20, seed=1).image
    recovery = sbd.recover(image, name="topo", kernel_size=9, starts=2, kept=1, refinements=1)
    path = recovery.save(tmp_path / "topo")
    get_settings().plugins.extension2reader = {}
    viewer, asked = make_napari_viewer(), []
    monkeypatch.setattr("napari._qt.qt_viewer.handle_gui_reading", lambda *rest, **kept: asked.append(rest))
    viewer.window.add_plugin_dock_widget("napari-sbd", "Sparse blind deconvolution")
    drop(viewer, path)
    assert not asked
    assert "topo · kernel" in viewer.layers
    # What the user prefers is left alone.
    get_settings().plugins.extension2reader = {"*.sbd.h5": "napari"}
    claim_own_files()
    assert get_settings().plugins.extension2reader == {"*.sbd.h5": "napari"}
    get_settings().plugins.extension2reader = {}
