"""What needs too much memory is refused before work begins; what is on disk is read once, in pieces."""

import dask.array
import numpy as np
import pytest

from napari_sbd.core import memory, reading
from napari_sbd.core.observation import observe
from napari_sbd.core.recover import iter_recover, recover
from napari_sbd.simulate import ldos_kernel, random_field


@pytest.fixture
def image():
    return random_field(ldos_kernel(9), (48, 52), 4e-3, snr_db=20, seed=1).image


def test_an_image_that_does_not_fit_is_refused_with_need_and_remedy(image, monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 30_000_000)
    with pytest.raises(memory.TooLarge, match=r"48×52 px need about \d+ MB .* 30 MB are free: crop"):
        iter_recover(image, kernel_size=9)
    with pytest.raises(memory.TooLarge, match=r"in 5 slices .* take fewer slices"):
        recover(np.stack([image] * 5), kernel_size=9)


def test_more_slices_types_and_crowds_need_more():
    plain = memory.needed(1, (512, 512), types=1)
    assert plain < memory.needed(1, (512, 512), types=3) < memory.needed(20, (512, 512), types=3)
    assert memory.needed(1, (512, 512), types=1, crowded=True) > plain
    assert memory.problem(1, (16, 16)) == ""


class Watched:
    """A lazy array that counts what is read of it."""

    def __init__(self, data, chunks):
        self.data, self.chunks = data, chunks
        self.shape, self.dtype, self.read, self.largest = data.shape, data.dtype, 0, 0

    def __getitem__(self, part):
        piece = self.data[part]
        self.read += piece.size
        self.largest = max(self.largest, piece.size)
        return piece


@pytest.mark.parametrize("chunks", [(20, 30), None])
def test_each_pixel_is_read_once_in_pieces_of_single_precision(image, chunks, monkeypatch):
    monkeypatch.setattr(reading, "LARGE", 1000)
    monkeypatch.setattr(reading, "PIECE", 520)
    lazy = Watched(image, chunks)
    seen = observe(lazy)
    assert lazy.read == image.size
    assert lazy.largest <= 600
    assert seen.data.dtype == np.float32
    np.testing.assert_array_equal(seen.data[0], image.astype(np.float32))


@pytest.mark.parametrize("kind", ["dask", "memmap", "float32"])
def test_arrays_on_disk_and_in_single_precision_give_the_same_result(image, kind, tmp_path, monkeypatch):
    whole = image.astype(np.float32)
    expected = recover(whole, kernel_size=9)
    monkeypatch.setattr(reading, "LARGE", 1000)
    if kind == "dask":
        given = dask.array.from_array(whole, chunks=(17, 52))
    elif kind == "memmap":
        np.save(tmp_path / "image.npy", whole)
        given = np.load(tmp_path / "image.npy", mmap_mode="r")
    else:
        given = whole
    found = recover(given, kernel_size=9)
    assert found.observation.data.dtype == np.float32
    np.testing.assert_allclose(found.kernels, expected.kernels, atol=1e-5)
    assert len(found.defects) == len(expected.defects)


def test_stacks_of_dask_keep_their_slices(image):
    stack = dask.array.from_array(np.stack([image, 2 * image]), chunks=(1, 24, 52))
    np.testing.assert_array_equal(observe(stack).data, np.stack([image, 2 * image]))


def test_small_images_stay_in_double_precision(image):
    assert observe(image.astype(np.float32)).data.dtype == np.float64
