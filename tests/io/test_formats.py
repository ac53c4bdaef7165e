import numpy as np
import pytest

import napari_sbd as sbd
from benchmarks.small_files import FILES, PIXEL

CALIBRATED = sorted(FILES.keys() - {"npy"})


def needs_extra(kind):
    if kind in ("emd", "mrc", "ser"):
        pytest.importorskip("rsciio", reason="needs the extra microscopy")


@pytest.mark.parametrize("kind", FILES)
def test_every_kind_gives_back_what_was_written(kind, write, same):
    needs_extra(kind)
    path, truth = write(kind)
    same(sbd.read(path), truth)


@pytest.mark.parametrize("kind", CALIBRATED)
def test_pixel_sizes_are_in_nm_rows_first(kind, write):
    needs_extra(kind)
    for channel in sbd.read(write(kind)[0]):
        assert channel.pixel_size_nm == pytest.approx(PIXEL, rel=1e-6)


@pytest.mark.parametrize("kind", FILES)
def test_the_suffix_may_be_in_capitals(kind, write, same):
    needs_extra(kind)
    path, truth = write(kind)
    shouted = path.rename(path.with_suffix(path.suffix.upper()))
    same(sbd.read(str(shouted)), truth)


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("content", [b"", b"\0" * 700, b"hello, this is no microscope's file\n" * 50])
def test_empty_and_foreign_files_are_refused(kind, content, write):
    needs_extra(kind)
    path, _ = write(kind)
    path.write_bytes(content)
    with pytest.raises(sbd.ReadError, match=rf"^{path.name} .+: .+"):
        sbd.read(path)


@pytest.mark.parametrize("kind", FILES)
def test_the_end_of_a_file_is_missed(kind, write):
    needs_extra(kind)
    path, _ = write(kind)
    # A few bytes short: those of the last pixel, of the last tag, of the archive's list.
    path.write_bytes(path.read_bytes()[: -9 if kind not in ("dm3", "dm4", "ser") else -40])
    with pytest.raises(sbd.ReadError, match=path.name):
        sbd.read(path)


def test_what_is_no_file_is_said(tmp_path):
    with pytest.raises(sbd.ReadError, match=r"gone\.sxm does not exist: check the path"):
        sbd.read(tmp_path / "gone.sxm")
    (tmp_path / "folder.gwy").mkdir()
    with pytest.raises(sbd.ReadError, match=r"folder\.gwy is not a file"):
        sbd.read(tmp_path / "folder.gwy")
    with pytest.raises(sbd.ReadError, match=r"topo\.tiff .*napari"):
        sbd.read(tmp_path / "topo.tiff")


def test_a_topograph_comes_first_and_a_flat_one_last(write):
    path, _ = write("sxm")
    assert [channel.label for channel in sbd.read(path)] == [
        "Z",
        "Z backward",
        "LI Demod 1 X",
        "Current backward",
    ]
    content = path.read_bytes()
    start = content.index(b"\x1a\x04") + 2
    size = 4 * 40 * 48
    path.write_bytes(content[:start] + np.full(40 * 48, 2e-9, ">f4").tobytes() + content[start + size :])
    assert [channel.label for channel in sbd.read(path)][-1] == "Z"


def test_a_channel_can_be_recovered_as_it_is(write):
    channel = sbd.read(write("sxm")[0])[0]
    recovery = sbd.recover(channel, kernel_size=7, starts=2, kept=1, refinements=0)
    assert recovery.source.name == "Z"
    assert recovery.source.unit == "nm"
    assert recovery.source.pixel_size == pytest.approx(PIXEL)
    seen = channel.observation()
    np.testing.assert_array_equal(seen.data[0], channel.data)
    assert (seen.unit, seen.pixel_size) == ("nm", channel.pixel_size_nm)


def test_what_is_given_goes_before_what_the_file_says(write):
    channel = sbd.read(write("sxm")[0])[0]
    state = next(sbd.iter_recover(channel, kernel_size=7, pixel_size=3, unit="um", name="mine"))
    assert state is not None
    from napari_sbd.api import read

    seen, source = read(channel, pixel_size=3, unit="um", name="mine")
    assert (seen.pixel_size, seen.unit, source.name) == ((3, 3), "um", "mine")
