"""NumPy files, `.npy` and `.npz`, of plain numbers only."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

from numpy.lib import format as npy
from numpy.typing import NDArray

from napari_sbd.io.channel import Channel
from napari_sbd.io.errors import ReadError
from napari_sbd.io.named_arrays import channels_of
from napari_sbd.io.raw import array_at, check_growth, file_size, read_bytes

ONLY_NUMBERS = "save an array of plain numbers with numpy.save or numpy.savez"
LONGEST_HEADER = 10_000


def read_npy(path: Path) -> tuple[Channel, ...]:
    """The array of an `.npy` file; see `napari_sbd.read`."""
    array = _array(path, read_bytes(path), path.name)
    if array is None:
        raise ReadError(path, "holds objects or text, not plain numbers", ONLY_NUMBERS)
    return channels_of(path, {path.stem: array}, slices_last=False)


def read_npz(path: Path) -> tuple[Channel, ...]:
    """Arrays of an `.npz` file; see `napari_sbd.read`."""
    file_size(path)
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if not entry.filename.endswith(".npy"):
                    continue
                check_growth(path, entry.file_size, entry.compress_size)
                # Reading checks the sum that the archive keeps of its contents.
                array = _array(path, archive.read(entry), entry.filename)
                if array is not None:
                    arrays[entry.filename.removesuffix(".npy")] = array
    except ReadError:
        raise
    except Exception as error:  # a damaged archive raises nearly anything
        raise ReadError(path, f"is no NumPy archive, or a damaged one ({error})", ONLY_NUMBERS) from error
    return channels_of(path, arrays, slices_last=False)


def _array(path: Path, content: bytes, what: str) -> NDArray[Any] | None:
    """Array of the bytes of an `.npy` file, which must hold what its header says; None of no numbers."""
    stream = io.BytesIO(content)
    try:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(stream, LONGEST_HEADER)
    except Exception as error:  # the header is Python source: a damaged one raises nearly anything
        raise ReadError(path, f"is no NumPy file, or a damaged one ({error})", ONLY_NUMBERS) from error
    if dtype.kind not in "fiubc":
        return None
    offset = stream.tell()
    array = array_at(path, content, offset, shape[::-1] if fortran else shape, dtype, what)
    if offset + array.nbytes != len(content):
        raise ReadError(path, f"holds more than its header says, {'×'.join(map(str, shape))} of {dtype}")
    return array.T if fortran else array
