import numpy as np
import pytest

import napari_sbd as sbd

ROWS, COLS = 12, 15


def test_energies_angle_and_units(write):
    channels = {channel.label: channel for channel in sbd.read(write("3ds")[0])}
    assert channels["Z"].energies is None
    assert channels["Current"].energies == pytest.approx(np.linspace(-0.1, 0.25, 8))
    assert (channels["Current"].energy_unit, channels["Current"].unit) == ("V", "A")
    assert channels["Current"].angle == 30


@pytest.mark.parametrize("pad", [False, True])
@pytest.mark.parametrize("measured", [COLS, 5 * COLS, 5 * COLS + 4, ROWS * COLS - 1])
def test_points_that_were_not_measured_are_nan(pad, measured, write, same):
    path, truth = write("3ds", measured=measured, pad=pad)
    channels = sbd.read(path)
    same(channels, truth)
    missing = ROWS * COLS - measured
    assert channels[0].notes == (f"unfinished: {missing} of 180 points were not measured",)
    assert np.isnan(channels[0].data[0, -1])  # the last one measured is at the top right


def test_a_grid_needs_no_places_unless_it_is_unfinished(write, same):
    path, truth = write("3ds", places=False)
    same(sbd.read(path), truth)
    path, _ = write("3ds", places=False, measured=90)
    with pytest.raises(sbd.ReadError, match="does not say where they lie"):
        sbd.read(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Sweep Signal=", b"Other signal="),
        (b"Experiment size (bytes)=64\r\n", b""),
        (b"# Parameters (4 byte)=5\r\n", b""),
        (b"Grid settings=", b"Old settings="),
        (b'"Sweep Start;Sweep End"', b'"Sweep Begin;Sweep Stop"'),
    ],
)
def test_only_what_is_needed_is_required(old, new, write, same):
    path, truth = write("3ds")
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    channels = sbd.read(path)
    same(channels, truth)
    # Where the frame is not given, the places of the points are.
    assert channels[0].pixel_size_nm == pytest.approx((0.2, 0.1), rel=1e-4)


def test_energies_are_not_invented(write):
    path, _ = write("3ds")
    content = path.read_bytes()
    start = content.index(b":HEADER_END:\r\n") + len(b":HEADER_END:\r\n")
    other_sweep = content[:start] + np.float32(-0.3).astype(">f4").tobytes() + content[start + 4 :]
    named = b"Bias Spectroscopy>Sweep mode=MLS\r\n:HEADER_END:"
    for changed, reason in [
        (content.replace(b"Sweep End", b"Sweep Ene"), "does not name"),
        (other_sweep, "not the same at all points"),
        (content.replace(b":HEADER_END:", named), "MLS"),
    ]:
        path.write_bytes(changed)
        current = sbd.read(path)[1]
        assert current.energies is None
        assert reason in current.notes[0]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"15 x 12", b"12 x 15", "do not lie in lines"),
        (b"15 x 12", b"16 x 12", "contradicts itself|do not lie in lines"),
        (b"15 x 12", b"15 x 13", "contradicts itself"),
        (b"15 x 12", b"15 x 11", "holds more"),
        (b"15 x 12", b"99999999 x 99999999", "is cut off"),
        (b"15 x 12", b"0 x 12", "Grid dim"),
        (b"Points=8", b"Points=9", "contradicts itself"),
        (b"Points=8", b"Points=888888888888", "contradicts itself"),
        (b"Channels=", b"Kanaele=", "no channels"),
        (b"=5\r\n", b"=4\r\n", "5 parameters but announces 4"),
        (b"=5\r\n", b"=6\r\n", "is cut off|holds more"),
        (b":HEADER_END:", b":HEADER_ENX:", "header is cut off"),
        (b";30\r\n", b";3x\r\n", "Grid settings"),
    ],
)
def test_damaged_headers_are_named(old, new, message, write):
    path, _ = write("3ds")
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    with pytest.raises(sbd.ReadError, match=rf"small\.3ds .*({message})"):
        sbd.read(path)


def test_a_file_that_ends_within_a_point_is_refused(write):
    path, _ = write("3ds", measured=100)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(sbd.ReadError, match="is cut off"):
        sbd.read(path)


def test_the_real_grid_with_a_row_too_many_is_not_taken_for_an_unfinished_one(real, tmp_path):
    path = tmp_path / "one_more.3ds"
    content = real("STS_grid_lockin.3ds").read_bytes()
    path.write_bytes(content.replace(b"30 x 30", b"30 x 31", 1))
    with pytest.raises(sbd.ReadError, match="contradicts itself"):
        sbd.read(path)
    stopped = content.index(b":HEADER_END:") + len(b":HEADER_END:\r\n") + 3240 * 500
    path.write_bytes(content[:stopped])
    assert np.isnan(sbd.read(path)[0].data).sum() == 400


def test_the_real_grid(real):
    """nanonispy2 1.2.0 refuses it (short header); it and SciFiReaders 0.12.7 leave it upside down."""
    path = real("STS_grid_lockin.3ds")
    channels = {channel.label: channel for channel in sbd.read(path)}
    assert list(channels) == ["Z", "Current", "LockinX", "LockinY", "Bias_m"]
    content = path.read_bytes()
    start = content.index(b":HEADER_END:\r\n") + len(b":HEADER_END:\r\n")
    stored = np.frombuffer(content[start:], ">f4").reshape(30, 30, 810)[::-1]
    np.testing.assert_array_equal(channels["Z"].data, stored[..., 4])
    for number, name in enumerate(("Current", "LockinX", "LockinY", "Bias_m")):
        sweep = stored[..., 10 + 200 * number : 210 + 200 * number]
        np.testing.assert_array_equal(channels[name].data, np.moveaxis(sweep, -1, 0))
    current = channels["Current"]
    assert current.energies == pytest.approx(np.linspace(-0.22, 0.22, 200), abs=1e-9)
    assert current.pixel_size_nm == pytest.approx((5 / 30, 5 / 30))
    assert current.angle == 45
    # Upright: along the frame, turned clockwise, the points' places go up from the last row to the first.
    x, y = stored[..., 2].astype(float), stored[..., 3].astype(float)
    up = np.array([np.sin(np.pi / 4), np.cos(np.pi / 4)])
    heights = np.stack([x, y], -1) @ up
    assert np.all(np.diff(heights, axis=0) < 0)


def test_the_independent_reader(real):
    nanonispy2 = pytest.importorskip("nanonispy2", reason="for comparison only, not installed")
    missing = {key: "" for key in ("Delay before measuring (s)", "Start time", "End time", "Comment")}
    missing["Delay before measuring (s)"] = "0"
    path = real("STS_grid_lockin.3ds")
    other = nanonispy2.read.Grid(str(path), header_override=missing).signals
    for channel in sbd.read(path):
        theirs = other["topo" if channel.name == "Z" else f"{channel.name} ({channel.unit})"][::-1]
        theirs = theirs if channel.data.ndim == 2 else np.moveaxis(theirs, -1, 0)
        assert channel.data.tobytes() == theirs.astype("=f4").tobytes()
