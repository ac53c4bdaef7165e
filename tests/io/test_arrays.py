"""MATLAB and NumPy files."""

import struct
import zipfile

import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat

import napari_sbd as sbd
from benchmarks.small_files import image, stack


@pytest.mark.parametrize("kind", ["mat", "mat packed", "npz"])
def test_energies_belong_to_stacks(kind, write):
    for channel in sbd.read(write(kind)[0]):
        if channel.data.ndim == 3:
            np.testing.assert_array_equal(channel.energies, np.arange(5) / 10)
            assert channel.energy_unit == "V"
        else:
            assert channel.energies is None


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?"])
def test_all_kinds_of_numbers_of_matlab(dtype, packed, tmp_path):
    values = (1e12 * image(1) % 100).astype(dtype)
    cell = np.empty((1, 2), object)
    cell[0, 0], cell[0, 1] = values, "text"
    path = tmp_path / "numbers.mat"
    savemat(path, {"a": values, "in": {"b": values, "c": cell}, "z": 1j * values}, do_compression=packed)
    found = {channel.name: channel.data for channel in sbd.read(path)}
    assert found.keys() == {"a", "in.b", "in.c.1"}
    truth = loadmat(path)["a"]
    for array in found.values():
        assert array.dtype == truth.dtype
        np.testing.assert_array_equal(array, truth)


def test_big_endian_matlab_files(tmp_path):
    def element(kind, content):
        return struct.pack(">II", kind, len(content)) + content + b"\0" * (-len(content) % 8)

    values = image(1)
    flags, size = struct.pack(">II", 6, 0), struct.pack(">ii", *values.shape)
    data = values.astype(">f8").tobytes(order="F")
    inner = element(6, flags) + element(5, size) + struct.pack(">HH4s", 1, 1, b"Z") + element(9, data)
    header = b"MATLAB 5.0".ljust(124) + struct.pack(">H", 0x0100) + b"MI"
    path = tmp_path / "old.mat"
    path.write_bytes(header + element(14, inner))
    [channel] = sbd.read(path)
    assert channel.name == "Z"
    np.testing.assert_array_equal(channel.data, values)


def test_the_real_map_is_as_scipy_reads_it(real):
    path = real("../nafeas/realdata.mat")
    [channel] = sbd.read(path)
    np.testing.assert_array_equal(channel.data, loadmat(path)["Y"])


def test_files_without_an_image_say_what_they_hold(tmp_path):
    path = tmp_path / "none.mat"
    savemat(path, {"name": "text", "x": np.arange(5)})
    with pytest.raises(sbd.ReadError, match=r"none\.mat holds no image \(x 1×5\)"):
        sbd.read(path)
    np.savez(path.with_suffix(".npz"), x=np.arange(5))
    with pytest.raises(sbd.ReadError, match="holds no image"):
        sbd.read(path.with_suffix(".npz"))
    for content in (np.array(["a", "b"]), np.array([{}, {}]), np.zeros(3, [("a", "f4")])):
        np.save(path.with_suffix(".npy"), content, allow_pickle=True)
        with pytest.raises(sbd.ReadError, match="not plain numbers"):
            sbd.read(path.with_suffix(".npy"))


@pytest.mark.parametrize("size", [0, -1, np.nan, np.array([1, 2, 3])])
def test_a_pixel_size_that_is_none(size, tmp_path):
    path = tmp_path / "wrong.npz"
    np.savez(path, Z=image(1), pixel_size_nm=size)
    with pytest.raises(sbd.ReadError, match="pixel_size_nm"):
        sbd.read(path)


def test_text_beside_the_image_does_no_harm(tmp_path):
    np.savez(tmp_path / "more.npz", Z=image(1), user="nobody", notes=np.array([{}], object))
    [channel] = sbd.read(tmp_path / "more.npz")
    assert channel.name == "Z"


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", ">i2", "u1", "f2"])
def test_numpy_arrays_of_any_order(order, dtype, tmp_path):
    values = np.asarray((1e12 * stack(1) % 100).astype(dtype), order=order)
    np.save(tmp_path / "stack.npy", values)
    [channel] = sbd.read(tmp_path / "stack.npy")
    assert channel.data.dtype.isnative
    assert channel.data.flags.c_contiguous
    np.testing.assert_array_equal(channel.data, values)


def test_headers_that_lie_cost_no_memory(tmp_path):
    path = tmp_path / "lie.npy"
    np.save(path, image(1))
    content = path.read_bytes()
    for lie, problem in ((b"(40, 99)", "is cut off"), (b"(40, 24)", "holds more")):
        path.write_bytes(content.replace(b"(40, 48)", lie))
        with pytest.raises(sbd.ReadError, match=problem):
            sbd.read(path)
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Z.npy", bytes(100 * 2**20))
    with pytest.raises(sbd.ReadError, match="announces"):
        sbd.read(path)
    path = tmp_path / "bomb.mat"
    with h5py.File(path, "w") as file:
        file.create_dataset("Z", (10**6, 10**6), "f8", chunks=(1000, 1000), compression="gzip")
    with pytest.raises(sbd.ReadError, match="announces"):
        sbd.read(path)


def test_hdf5_that_keeps_its_numbers_elsewhere_is_refused(tmp_path):
    path = tmp_path / "apart.mat"
    (tmp_path / "raw").write_bytes(bytes(8000))
    with h5py.File(path, "w") as file:
        file.create_dataset("Z", (20, 50), "f8", external=[(str(tmp_path / "raw"), 0, 8000)])
    with pytest.raises(sbd.ReadError, match="another file"):
        sbd.read(path)


def test_a_matlab_array_that_contradicts_its_class_is_refused(write):
    """An array whose class and whose numbers disagree."""
    path, _ = write("mat")
    content = bytearray(path.read_bytes())
    place = content.index(struct.pack("<III", 6, 8, 6)) + 8
    content[place] = 9  # as if its doubles were bytes
    path.write_bytes(content)
    with pytest.raises(sbd.ReadError, match="contradicts itself"):
        sbd.read(path)
