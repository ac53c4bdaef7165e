"""Gwyddion and Digital Micrograph files, which are trees of tags; and what RosettaSciIO reads."""

import builtins
import sys

import numpy as np
import pytest

import napari_sbd as sbd


def test_units_titles_and_energies_of_gwyddion(write):
    channels = {channel.name: channel for channel in sbd.read(write("gwy")[0])}
    assert {name: channel.unit for name, channel in channels.items()} == {
        "Height": "m",
        "Current": "A",
        "dI/dV": "A",
    }
    brick = channels["dI/dV"]
    assert brick.energies == pytest.approx([-0.15, -0.05, 0.05, 0.15, 0.25])
    assert brick.energy_unit == "V"


def test_a_gwyddion_image_in_another_unit_has_no_pixel_size(write):
    path, _ = write("gwy")
    path.write_bytes(
        path.read_bytes().replace(
            b"si_unit_xy\0oGwySIUnit\0\x0b\0\0\0unitstr\0sm\0",
            b"si_unit_xy\0oGwySIUnit\0\x0b\0\0\0unitstr\0ss\0",
        )
    )
    height = next(channel for channel in sbd.read(path) if channel.name == "Height")
    assert height.pixel_size_nm is None
    assert "no pixel size" in height.notes[0]


def test_the_real_gwyddion_file(real):
    channels = sbd.read(real("PTO.gwy"))
    names = ["HeightRetrace", "AmplitudeRetrace", "DeflectionRetrace", "PhaseRetrace"]
    assert [channel.name for channel in channels] == names
    assert [channel.unit for channel in channels] == ["m", "m", "m", "deg"]
    assert channels[0].pixel_size_nm == pytest.approx((10039.21568627451 / 256,) * 2)
    gwyfile = pytest.importorskip("gwyfile", reason="for comparison only, not installed")
    theirs = gwyfile.util.get_datafields(gwyfile.load(str(real("PTO.gwy"))))
    for channel in channels:
        assert channel.data.tobytes() == theirs[channel.name].data.tobytes()


def test_energies_of_a_spectrum_image(write):
    for kind in ("dm3", "dm4"):
        eels = next(channel for channel in sbd.read(write(kind)[0]) if channel.name == "EELS")
        assert eels.energies == pytest.approx([-1, -0.5, 0, 0.5, 1])
        assert eels.energy_unit == "eV"


@pytest.mark.parametrize("kind", ["dm3", "dm4"])
def test_rosetta_agrees_on_digital_micrograph(kind, write):
    reader = pytest.importorskip("rsciio.digitalmicrograph", reason="needs the extra microscopy")
    path, _ = write(kind)
    theirs = {
        signal["metadata"]["General"]["title"]: signal["data"] for signal in reader.file_reader(str(path))
    }
    [haadf] = [channel.data for channel in sbd.read(path) if channel.name == "HAADF"]
    np.testing.assert_array_equal(haadf, theirs["HAADF"])


def test_the_real_micrograph(real):
    path = real("SI-HAADF.dm3")
    [channel] = sbd.read(path)
    assert (channel.name, channel.data.shape, channel.data.dtype) == ("06-HAADF", (1568, 192), np.float32)
    # Its pixel is 1/32 of something that the file does not name.
    assert channel.pixel_size_nm is None
    assert "no pixel size" in channel.notes[0]
    assert channel.header["Microscope Info: Voltage"] == 200_000
    reader = pytest.importorskip("rsciio.digitalmicrograph", reason="needs the extra microscopy")
    [signal] = reader.file_reader(str(path))
    assert channel.data.tobytes() == signal["data"].tobytes()


@pytest.mark.parametrize("kind", ["emd", "mrc", "ser"])
def test_a_missing_extra_says_what_to_install(kind, write, monkeypatch):
    path, _ = write(kind)
    for name in [name for name in sys.modules if name.startswith("rsciio")]:
        monkeypatch.delitem(sys.modules, name)
    whole = builtins.__import__

    class Missing:
        def find_spec(self, name, *rest):
            if name.partition(".")[0] == "rsciio":
                raise ModuleNotFoundError("No module named 'rsciio'")

    monkeypatch.setattr(sys, "meta_path", [Missing(), *sys.meta_path])
    assert builtins.__import__ is whole
    with pytest.raises(sbd.ReadError, match=r'needs RosettaSciIO.*: pip install "napari-sbd\[microscopy\]"'):
        sbd.read(path)
