import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

import napari_sbd as sbd
from napari_sbd.export import exported_names, file_name
from napari_sbd.simulate import ldos_kernel, random_field

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def recovery():
    field = random_field(ldos_kernel(9), (48, 56), density=0.004, snr_db=20, seed=1)
    options = {"kernel_size": 9, "starts": 2, "kept": 1, "refinements": 1}
    return sbd.recover(field.image, pixel_size=0.2, unit="nm", name="Z/fwd: $5", **options)


def test_export_writes_one_file_for_each_thing(recovery, tmp_path):
    paths = recovery.export(tmp_path / "new" / "folder", ["csv", "tiff", "svg"])
    assert [path.name for path in paths[:4]] == [
        f"Z_fwd_ $5_{rest}" for rest in ("defects.csv", "kernel.tif", "activation.tif", "overview.svg")
    ]
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == sorted(
        exported_names(recovery, ["csv", "tiff", "svg"])
    )
    assert all(path.stat().st_size > 200 for path in paths)


def test_export_overwrites_only_when_told(recovery, tmp_path):
    [path] = recovery.export(tmp_path, "csv", name="topo")
    path.write_text("mine")
    with pytest.raises(
        FileExistsError, match=r"topo_defects\.csv is in .* already: .* or pass overwrite=True"
    ):
        recovery.export(tmp_path, ["tiff", "csv"], name="topo")
    assert path.read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["topo_defects.csv"]
    recovery.export(tmp_path, ["csv"], name="topo", overwrite=True)
    assert path.read_text() != "mine"


@pytest.mark.parametrize("formats", [["cvs"], [], ["csv", "bmp"]])
def test_unknown_formats_are_named_before_any_work(recovery, tmp_path, formats):
    with pytest.raises(ValueError, match="formats must be of csv, tiff, png, svg, pdf"):
        recovery.export(tmp_path / "new", formats)
    assert not list(tmp_path.iterdir())


def test_a_file_is_no_folder(recovery, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file is a file: give a folder"):
        recovery.export(tmp_path / "file", ["csv"])


def test_names_are_safe_on_any_system():
    assert file_name('a<b>c:"d"/e\\f|g?h*i\n.') == "a_b_c__d__e_f_g_h_i_"
    assert file_name(" ... ") == "image"
    assert len(file_name("x" * 500)) <= 120


@pytest.mark.parametrize("what", ["overview", "kernel", "map", "qpi"])
def test_figures_are_drawn(recovery, tmp_path, what):
    path = recovery.to_figure(tmp_path / what, what)
    assert path.suffix == ".png"
    pixels = np.asarray(Image.open(path).convert("RGB"))
    assert min(pixels.shape[:2]) > 300
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 60


def test_rings_of_the_map_are_where_the_defects_are(recovery):
    from napari_sbd.figures import draw

    [axes] = draw.image_with_defects(recovery).axes
    [rings] = axes.collections
    np.testing.assert_allclose(rings.get_offsets(), recovery.defects[["x_nm", "y_nm"]].to_numpy())
    [image] = axes.images
    left, right, bottom, top = image.get_extent()
    np.testing.assert_allclose((left, right, bottom, top), (-0.1, 55.5 * 0.2, 47.5 * 0.2, -0.1))


def test_qpi_is_in_reciprocal_length(recovery):
    from napari_sbd.core.spectrum import spectrum
    from napari_sbd.figures import draw

    [axes] = draw.spectra(recovery).axes
    _, reach = spectrum(recovery.kernels[0, 0])
    assert axes.images[0].get_extent()[1] == pytest.approx(np.pi * reach / 0.2)
    assert "nm" in axes.get_xlabel()


def test_svg_is_editable_and_the_same_each_time(recovery, tmp_path):
    first = recovery.to_figure(tmp_path / "a.svg", "map").read_bytes()
    assert first == recovery.to_figure(tmp_path / "b.svg", "map").read_bytes()
    texts = [node.text for node in ET.fromstring(first).iter() if node.tag.endswith("text")]
    assert "x (nm)" in texts


def test_what_does_not_exist_is_named(recovery, tmp_path):
    with pytest.raises(ValueError, match="no figure 'kernels': choose among overview, kernel, map, qpi"):
        recovery.to_figure(tmp_path / "a.png", "kernels")
    with pytest.raises(ValueError, match="no image 'kernel': choose among kernels, activations"):
        recovery.to_tiff(tmp_path / "a.tif", "kernel")


def test_without_matplotlib_the_extra_is_named_before_any_work(recovery, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_sbd.figures.export.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'napari-sbd\[figures\]'"):
        recovery.to_figure(tmp_path / "a.png")
    with pytest.raises(ImportError, match="figures need Matplotlib"):
        recovery.export(tmp_path / "new")
    assert not list(tmp_path.iterdir())
    assert len(recovery.export(tmp_path, ["csv", "tiff"])) == 3
