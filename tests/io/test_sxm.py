import numpy as np
import pytest

import napari_sbd as sbd


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("order", [">", "<"])
def test_row_0_is_the_top_and_column_0_the_left(up, order, write, same):
    path, truth = write("sxm", up=up, order=order)
    same(sbd.read(path), truth)


@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("fill", [np.nan, 0.0])
def test_lines_that_were_not_scanned_are_nan(up, fill, write, same):
    path, truth = write("sxm", up=up, measured=25, fill=fill)
    channels = sbd.read(path)
    same(channels, truth)
    assert channels[0].notes == ("unfinished: 15 of 40 lines were not scanned",)
    missing = np.isnan(channels[0].data).all(axis=1)
    assert missing.sum() == 15
    assert missing[0 if up else -1]


def test_header_units_and_angle(write):
    channels = {channel.label: channel for channel in sbd.read(write("sxm")[0])}
    assert channels["Z"].angle == 15
    assert channels["LI Demod 1 X"].unit == "A"
    assert channels["Current backward"].direction == "backward"
    assert channels["Z"].header["BIAS"].strip() == "-5.000E-2"
    assert channels["Z"].header["COMMENT"] == "4.4 K\n 20 µm : cold"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"SCAN_PIXELS", b"SCAN_PIXELZ", "lacks SCAN_PIXELS"),
        (b"       48       40", b"       40       40", "holds more than its header says"),
        (b"       48       40", b"       48      400", "is cut off"),
        (b"       48       40", b"  99999999 99999999", "is cut off"),
        (b"       48       40", b"       48        0", "SCAN_PIXELS"),
        (b"       48       40", b"       48      4.5", "SCAN_PIXELS"),
        (b"FLOAT  ", b"INT16  ", "INT16"),
        (b"MSBFIRST", b"MSBFIRSD", "MSBFIRSD"),
        (b"\ndown\n", b"\nleft\n", "neither up nor down"),
        (b"\tboth\t", b"\tbotj\t", "table of channels"),
        (b"\tDirection\t", b"\tDirektion\t", "DATA_INFO"),
        (b":SCANIT_END:", b":SCANIT_ENX:", "header is cut off"),
        (b"\x1a\x04", b"\x1b\x04", "no data"),
        (b"1.500E+1", b"1.5x0E+1", "SCAN_ANGLE"),
    ],
)
def test_damaged_headers_are_named(old, new, message, write):
    path, _ = write("sxm")
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    with pytest.raises(sbd.ReadError, match=rf"small\.sxm .*{message}"):
        sbd.read(path)


def test_the_real_scan_is_as_two_other_readers_have_it(real):
    """nanonispy2 1.2.0 leaves the backward images mirrored; SciFiReaders 0.12.7 gives these very arrays."""
    path = real("Au_mica.sxm")
    channels = {channel.label: channel for channel in sbd.read(path)}
    assert channels.keys() == {"Z", "Z backward", "Current", "Current backward"}
    content = path.read_bytes()
    start = content.index(b":SCANIT_END:") + len(b":SCANIT_END:\n\n\n\x1a\x04")
    stored = np.frombuffer(content[start:], ">f4").reshape(2, 2, 256, 256)
    np.testing.assert_array_equal(channels["Current"].data, stored[1, 0])
    np.testing.assert_array_equal(channels["Current backward"].data, stored[1, 1, :, ::-1])
    there, back = (np.diff(channels[name].data, axis=1) for name in ("Current", "Current backward"))
    mirrored = np.corrcoef(there.ravel(), -back[:, ::-1].ravel())[0, 1]
    assert np.corrcoef(there.ravel(), back.ravel())[0, 1] > 0.5 > mirrored
    assert channels["Z"].pixel_size_nm == pytest.approx((4 / 256, 4 / 256))
    assert channels["Z"].angle == pytest.approx(135.1)
    assert (channels["Z"].unit, channels["Current"].unit) == ("m", "A")
    assert sbd.read(path)[0].label == "Current"  # the height was held


def test_the_independent_reader(real):
    nanonispy2 = pytest.importorskip("nanonispy2", reason="for comparison only, not installed")
    path = real("Au_mica.sxm")
    other = nanonispy2.read.Scan(str(path)).signals
    for channel in sbd.read(path):
        theirs = other[channel.name][channel.direction]
        theirs = theirs[:, ::-1] if channel.direction == "backward" else theirs
        assert channel.data.tobytes() == theirs.astype("=f4").tobytes()
