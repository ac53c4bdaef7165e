import csv

import numpy as np
import pandas as pd
import pytest
import tifffile

from napari_sbd.io.table import save_csv
from napari_sbd.io.tiff import save_tiff


def test_csv_has_units_in_its_header_and_every_digit(recovery, tmp_path):
    path = recovery.to_csv(tmp_path / "defects")
    assert path.name == "defects.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        head, *rows = csv.reader(stream)
    assert head[:5] == ["type", "row (px)", "col (px)", "y (nm)", "x (nm)"]
    assert {"amplitude", "snr", "near_border"} <= {*head}
    assert len(rows) == len(recovery.defects) > 3
    read = pd.read_csv(path)
    np.testing.assert_array_equal(read.to_numpy(), recovery.defects.to_numpy())


def test_csv_of_nothing_has_its_header(recovery, tmp_path):
    path = save_csv(recovery.defects[:0], tmp_path / "none.csv", "nm")
    assert path.read_text("utf-8").count("\n") == 1


@pytest.mark.parametrize(
    ("unit", "written"), [("nm", "nm"), ("px", "pixel"), ("µm", "um"), ("Å", "angstrom")]
)
def test_tiff_has_pixel_size_and_unit(several, tmp_path, unit, written):
    images = np.random.default_rng(0).normal(size=(2, 3, 9, 11)).astype(np.float32)
    path = save_tiff(images, tmp_path / "kernel", (0.2, 0.25), unit)
    with tifffile.TiffFile(path) as file:
        tags, series = file.pages[0].tags, file.series[0]
        across, down = (np.divide(*tags[name].value) for name in ("XResolution", "YResolution"))
        assert file.imagej_metadata["unit"] == written
        assert (file.imagej_metadata["channels"], file.imagej_metadata["slices"]) == (2, 3)
        assert series.axes == "ZCYX"
        np.testing.assert_array_equal(series.asarray().swapaxes(0, 1), images)
    np.testing.assert_allclose((1 / down, 1 / across), (0.2, 0.25), rtol=1e-6)


@pytest.mark.parametrize("what", ["kernels", "activations", "reconstruction", "residual"])
@pytest.mark.parametrize("which", ["recovery", "several"])
def test_each_image_is_written(request, tmp_path, what, which):
    recovery = request.getfixturevalue(which)
    written = tifffile.imread(recovery.to_tiff(tmp_path / what, what))
    wanted = getattr(recovery, what)
    assert written.size == wanted.size
    together = wanted if what in ("activations", "reconstruction", "residual") else wanted.swapaxes(0, 1)
    np.testing.assert_array_equal(np.squeeze(written), np.squeeze(together.astype(np.float32)))
