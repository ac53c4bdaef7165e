"""Further files of electron microscopes, `.emd`, `.ser` and `.mrc`, by RosettaSciIO.

It is under the GPL and therefore an extra; it is given only files whose sizes can be true.
"""

from __future__ import annotations

import logging
import math
import struct
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from napari_sbd.io.channel import NO_PIXEL_SIZE, Channel, pixel_size
from napari_sbd.io.errors import ReadError
from napari_sbd.io.hdf5 import datasets, is_hdf5, sane
from napari_sbd.io.raw import file_size, read_bytes
from napari_sbd.io.units import nanometres

EXTRA = 'pip install "napari-sbd[microscopy]"'
PLUGINS = {".emd": "emd", ".ser": "tia", ".mrc": "mrc"}
MRC_HEADER = 1024
MRC_ORDERS = {b"\x44": "<", b"\x11": ">"}
# Bytes of a pixel of each mode of real numbers.
MRC_BYTES = {0: 1, 1: 2, 2: 4, 6: 2, 12: 2}
DAMAGED = "copy it from the instrument again, or check what it is"


def read_by_rosetta(path: Path) -> tuple[Channel, ...]:
    """Images of a file that RosettaSciIO reads; see `napari_sbd.read`."""
    size = file_size(path)
    suffix = path.suffix.lower()
    try:
        plugin = import_module(f"rsciio.{PLUGINS[suffix]}")
    except ImportError as error:
        raise ReadError(path, "needs RosettaSciIO, which is not installed", EXTRA) from error
    if suffix in CHECKS:
        CHECKS[suffix](path)
    logging.getLogger("rsciio").setLevel(logging.CRITICAL)  # what matters comes as an error
    channels, left_out = [], []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for signal in plugin.file_reader(str(path), lazy=suffix != ".emd"):
                channel = _channel(path, signal, size, compressed=suffix == ".emd")
                if channel is None:
                    left_out.append("×".join(map(str, signal["data"].shape)))
                else:
                    channels.append(channel)
    except ReadError:
        raise
    except Exception as error:  # a damaged file raises anything there
        problem = f"{type(error).__name__}: {error}".splitlines()[0][:120]
        raise ReadError(path, f"is damaged or of another kind ({problem})", DAMAGED) from error
    if not channels:
        what = f" (only {', '.join(left_out)})" if left_out else ""
        raise ReadError(
            path, f"holds no image of real numbers with two or three axes{what}", "choose another"
        )
    return tuple(channels)


def _check_hdf5(path: Path) -> None:
    if not is_hdf5(path):
        raise ReadError(path, "is not an EMD file", DAMAGED)
    try:
        with h5py.File(path, "r") as file:
            datasets(path, file)
    except ReadError:
        raise
    except Exception as error:  # HDF5 reports damage by nearly any exception
        raise ReadError(path, f"is a damaged HDF5 file ({error})"[:160], DAMAGED) from error


def _check_mrc(path: Path) -> None:
    """Check its size: RosettaSciIO takes most of a minute to cut up an image whose size is a lie."""
    header = read_bytes(path, MRC_HEADER)
    if len(header) < MRC_HEADER:
        raise ReadError(path, "is cut off within its header", DAMAGED)
    order = MRC_ORDERS.get(header[212:213], "<")
    cols, rows, slices, mode = struct.unpack_from(f"{order}4i", header)
    (extension,) = struct.unpack_from(f"{order}i", header, 92)
    itemsize = MRC_BYTES.get(mode)
    if itemsize is None or min(cols, rows, slices) < 1 or extension < 0:
        raise ReadError(path, f"is not an MRC file ({cols}×{rows}×{slices} px of mode {mode})", DAMAGED)
    expected = MRC_HEADER + extension + itemsize * cols * rows * slices
    if expected != file_size(path):
        raise ReadError(
            path,
            f"is cut off or its header is damaged: {slices} images of {rows}×{cols} px need {expected:,} "
            f"bytes, it has {file_size(path):,}",
            DAMAGED,
        )


CHECKS = {".emd": _check_hdf5, ".mrc": _check_mrc}


def _channel(path: Path, signal: dict[str, Any], size: int, *, compressed: bool) -> Channel | None:
    data, axes = signal["data"], signal["axes"]
    if data.ndim not in (2, 3) or data.dtype.kind not in "fiub" or min(data.shape) < 1:
        return None
    # HDF5 was checked before: its images may be compressed.
    if not compressed and math.prod(data.shape) * data.dtype.itemsize > size:
        raise ReadError(path, f"announces {'×'.join(map(str, data.shape))} px, more than it holds", DAMAGED)
    values = np.ascontiguousarray(data, data.dtype.newbyteorder("="))
    sane(path, "the image", values)
    *_, rows, cols = (_step(axis) for axis in axes)
    spacing = pixel_size(rows, cols)
    energies, unit = _energies(axes[0], len(values)) if values.ndim == 3 else (None, "")
    general = signal.get("metadata", {}).get("General", {})
    return Channel(
        str(general.get("title") or path.stem),
        values,
        pixel_size_nm=spacing,
        energies=energies,
        energy_unit=unit,
        notes=() if spacing else (NO_PIXEL_SIZE,),
    )


def _step(axis: dict[str, Any]) -> float:
    """Length of a pixel in nm, NaN where the axis is no length."""
    length = nanometres(str(axis.get("units") or ""))
    return abs(float(axis.get("scale", np.nan))) * length if length is not None else np.nan


def _energies(axis: dict[str, Any], count: int) -> tuple[Any, str]:
    unit = str(axis.get("units") or "")
    if not unit or "scale" not in axis:
        return None, ""
    return float(axis.get("offset", 0.0)) + float(axis["scale"]) * np.arange(count), unit
