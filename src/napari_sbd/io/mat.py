"""MATLAB files, `.mat`: version 7.3 is HDF5, versions 5 to 7 a format of their own."""

from __future__ import annotations

from pathlib import Path

from napari_sbd.io.channel import Channel
from napari_sbd.io.errors import ReadError
from napari_sbd.io.hdf5 import is_hdf5, numeric_arrays
from napari_sbd.io.mat5 import HEADER, is_mat5, read_arrays
from napari_sbd.io.named_arrays import channels_of
from napari_sbd.io.raw import read_bytes


def read_mat(path: Path) -> tuple[Channel, ...]:
    """Arrays of a MATLAB file; see `napari_sbd.read`.

    Of a structure or cell array, those inside have names such as ``scan.Z``. A stack is (rows, cols, slices)
    in MATLAB, and becomes (slices, rows, cols) here.
    """
    if is_hdf5(path):
        # MATLAB writes its axes in reverse.
        arrays = {name: array.T for name, array in numeric_arrays(path).items()}
        return channels_of(path, arrays, slices_last=True)
    if not is_mat5(read_bytes(path, HEADER)):
        raise ReadError(
            path,
            "is not a MATLAB file, or its header is damaged",
            "save it again in MATLAB with -v7 or -v7.3",
        )
    return channels_of(path, read_arrays(path, read_bytes(path)), slices_last=True)
