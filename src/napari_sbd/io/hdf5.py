"""Arrays of an HDF5 file. Every size is checked against what is stored before anything is read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from napari_sbd.io.errors import ReadError
from napari_sbd.io.raw import check_growth, file_size

SIGNATURE = b"\x89HDF\r\n\x1a\n"
# MATLAB puts its own header in front.
SIGNATURE_PLACES = (0, 512, 1024, 2048)
MATLAB_NUMBERS = {"double", "single", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}
MOST_DATASETS = 10_000
LARGEST, LARGEST_WHOLE = 1e36, 2**60


def is_hdf5(path: Path) -> bool:
    """Whether a file begins as HDF5 files do, possibly behind another header."""
    file_size(path)
    with path.open("rb") as file:
        for place in SIGNATURE_PLACES:
            file.seek(place)
            if file.read(len(SIGNATURE)) == SIGNATURE:
                return True
    return False


def numeric_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All arrays of real numbers, by name; the names of groups come before theirs, with dots."""
    arrays: dict[str, NDArray[Any]] = {}
    try:
        with h5py.File(path, "r") as file:
            for name, dataset in datasets(path, file):
                if _has_numbers(dataset):
                    arrays[name.replace("/", ".")] = sane(path, name, np.asarray(dataset[()]))
    except ReadError:
        raise
    except Exception as error:  # HDF5 reports damage by nearly any exception
        raise ReadError(path, f"is a damaged HDF5 file ({_short(error)})") from error
    return arrays


def datasets(path: Path, file: h5py.File) -> list[tuple[str, h5py.Dataset]]:
    """Data sets with their names, each of a size that can be true. Links to other files are not followed."""
    found: list[tuple[str, h5py.Dataset]] = []

    def visit(name: str, item: Any) -> None:
        # MATLAB's own store of cells and references is no data of the user.
        if isinstance(item, h5py.Dataset) and not name.startswith("#"):
            _check(path, item)
            found.append((name, item))
            if len(found) > MOST_DATASETS:
                raise ReadError(path, f"holds more than {MOST_DATASETS:,} arrays", "save only the image")

    file.visititems(visit)
    return found


def _check(path: Path, dataset: h5py.Dataset) -> None:
    if dataset.is_virtual or dataset.external:
        raise ReadError(path, f"keeps {dataset.name} in another file", "save the image into one file")
    if dataset.shape is None:
        return
    plain = h5py.h5t.py_create(dataset.dtype, logical=True) == dataset.id.get_type()
    if dataset.dtype.kind in "fiu" and not plain:
        raise ReadError(path, f"is damaged: the numbers of {dataset.name} are of no known layout")
    stored, itemsize = int(dataset.id.get_storage_size()), dataset.dtype.itemsize
    size = math.prod(dataset.shape) * itemsize
    check_growth(path, size, stored)
    if dataset.chunks:
        check_growth(path, math.prod(dataset.chunks) * itemsize, stored)
        complete = _all_chunks(dataset)
    else:
        complete = stored == size
    image = dataset.ndim >= 2 and dataset.dtype.kind in "fiu"
    if image and not complete:
        raise ReadError(path, f"contradicts itself: {dataset.name} is not of the size {dataset.shape}")


def _all_chunks(dataset: h5py.Dataset) -> bool:
    """Whether each piece of an array is stored, once and at its place; HDF5 makes zeros of missing ones."""
    grid = list(zip(dataset.shape, dataset.chunks, strict=True))
    found = set()

    def visit(chunk: Any) -> None:
        place = chunk.chunk_offset
        if all(0 <= at < n and at % step == 0 for at, (n, step) in zip(place, grid, strict=True)):
            found.add(place)

    dataset.id.chunk_iter(visit)
    expected: int = math.prod(-(-n // step) for n, step in grid)
    return len(found) == expected


def _has_numbers(dataset: h5py.Dataset) -> bool:
    kind = dataset.attrs.get("MATLAB_class", b"double")
    kind = kind.decode("ascii", "replace") if isinstance(kind, bytes) else str(kind)
    empty = dataset.shape is None or bool(dataset.attrs.get("MATLAB_empty", 0))
    return dataset.dtype.kind in "fiu" and kind in MATLAB_NUMBERS and not empty


def sane(path: Path, name: str, values: NDArray[Any]) -> NDArray[Any]:
    """Numbers that can be measured: where the place of an array is damaged, its bytes make others."""
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    largest = max(float(finite.max(initial=0)), -float(finite.min(initial=0)))
    if largest > (LARGEST if values.dtype.kind == "f" else LARGEST_WHOLE):
        raise ReadError(path, f"is damaged: {name} holds {largest:.0e}")
    return values


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:120] if str(error) else type(error).__name__
