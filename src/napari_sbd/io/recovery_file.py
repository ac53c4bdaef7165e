"""A Recovery as one HDF5 file, ``*.sbd.h5``, and back. docs/file-format.md describes the layout."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import h5py

from napari_sbd.core.recovery import Recovery
from napari_sbd.io import tree
from napari_sbd.io.table import unit_of
from napari_sbd.io.whole import check_place, write_whole

FORMAT, VERSION = "napari-sbd recovery", 1
ENDING = ".sbd.h5"
DEFECTS, LAYERS = "defects", "layers"
HEADER = ("format", "version", "package", "package_version", "created")
SIGNATURE = b"\x89HDF\r\n\x1a\n"
# Behind what HDF5 reads: with a checksum of all before it, for HDF5's own do not cover texts. A program that
# changes the file cuts it off.
SEAL = b"napari-sbd sha256 "
OTHER_ENDINGS = (".sbd", ".h5", ".hdf5")

R = TypeVar("R", bound=Recovery)


def save(recovery: Recovery, path: str | os.PathLike[str], layers: Sequence[Mapping[str, Any]] = ()) -> Path:
    """Save a Recovery, with everything that is needed to show, judge and repeat it.

    Parameters
    ----------
    recovery : Recovery
        Or a subclass: all fields of the dataclass are stored.
    path : str or path-like
        The ending ``.sbd.h5`` is added where it is missing.
    layers : sequence of mapping
        How its layers look, as plain values.

    Returns
    -------
    Path
        The file, which is complete; an earlier one of its name is damaged in no case.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    place = with_ending(path)
    check_place(place)
    # HDF5 cannot be stopped half-way without damage: it writes to memory, which is then written as a whole.
    memory = io.BytesIO()
    with h5py.File(memory, "w", libver=("v110", "v110"), track_order=True) as file:
        header = (FORMAT, VERSION, "napari-sbd", _own_version(), datetime.now(UTC).isoformat("T", "seconds"))
        for name, value in zip(HEADER, header, strict=True):
            file.attrs[name] = value
        tree.put_fields(file, recovery)
        tree.put(file, DEFECTS, recovery.defects)
        for name in recovery.defects.columns:
            file[DEFECTS][tree.escaped(name)].attrs["unit"] = unit_of(name, recovery.observation.unit)
        tree.put(file, LAYERS, tuple(layers))
    content = memory.getbuffer()
    return write_whole(place, content, _seal_of(content))


def _seal_of(content: memoryview) -> bytes:
    return SEAL + hashlib.sha256(content).digest()


def _is_broken(content: bytes) -> bool:
    """Whether a file with a seal is no longer what was sealed."""
    end = len(content) - len(SEAL) - hashlib.sha256().digest_size
    found = content[end:]
    return found.startswith(SEAL) and found != _seal_of(memoryview(content)[:end])


def with_ending(path: str | os.PathLike[str]) -> Path:
    """A path with the ending of a saved Recovery.

    Examples
    --------
    >>> [with_ending(name).name for name in ("topo", "topo.h5", "topo 2.5 K", "topo.sbd.h5")]
    ['topo.sbd.h5', 'topo.sbd.h5', 'topo 2.5 K.sbd.h5', 'topo.sbd.h5']
    """
    place = Path(path)
    if place.name.lower().endswith(ENDING):
        return place
    stem = place.stem if place.suffix.lower() in OTHER_ENDINGS else place.name
    return place.with_name(stem + ENDING)


def load(path: str | os.PathLike[str], kind: type[R]) -> R:
    """Open a saved Recovery.

    Parameters
    ----------
    path : str or path-like
    kind : type
        The class that was saved.

    Raises
    ------
    OSError
        If there is no such file or it cannot be read.
    ValueError
        If it is no saved Recovery, of another version, or damaged; the message names file and remedy.
    """
    return load_with_layers(path, kind)[0]


def load_with_layers(path: str | os.PathLike[str], kind: type[R]) -> tuple[R, tuple[dict[str, Any], ...]]:
    """A saved Recovery, and how its layers looked; see `load`."""
    place = Path(path)
    content = _content(place)
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            _check_header(file, place)
            if _is_broken(content):
                raise tree.Damaged("its checksum is another")
            recovery = tree.get_fields(file, kind, tree.classes_in(kind), (*HEADER, DEFECTS, LAYERS))
            table, layers = tree.get(file, DEFECTS), tree.get(file, LAYERS)
        _check_shapes(recovery)
    except _Refused:
        raise
    except MemoryError:
        raise
    except tree.Unknown as error:
        raise ValueError(
            f"{place} {error}, which napari-sbd {_own_version()} does not know: it is of a newer version, "
            "update napari-sbd"
        ) from error
    # A damaged file makes h5py, NumPy and our own classes raise almost anything.
    except Exception as error:
        raise ValueError(f"{place} is damaged ({_one_line(error)}): open another copy of it") from error
    # The table is the one that was saved, also where a later version would make another of the same peaks.
    recovery.__dict__["defects"] = table
    return recovery, layers


class _Refused(ValueError):
    """The file is no saved Recovery, or of another version."""


def _content(place: Path) -> bytes:
    if place.is_dir():
        raise IsADirectoryError(f"{place} is a folder: choose a file *{ENDING} in it")
    try:
        with place.open("rb") as stream:
            start = stream.read(len(SIGNATURE))
            stream.seek(0)
            if start != SIGNATURE:
                what = "is empty" if not start else "is no saved recovery"
                raise _Refused(f"{place} {what}: choose a file *{ENDING} that recovery.save has written")
            return stream.read()
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {place}: check its name and folder") from None


def _check_header(file: h5py.File, place: Path) -> None:
    if file.attrs.get("format") != FORMAT:
        raise _Refused(
            f"{place} is an HDF5 file, but no saved recovery: choose a file *{ENDING} that recovery.save has "
            "written, and open images as layers"
        )
    version = int(file.attrs.get("version", 0))
    if version != VERSION:
        by = f"written by napari-sbd {file.attrs.get('package_version', 'of unknown version')}"
        remedy = "update napari-sbd" if version > VERSION else "save it anew with the version that wrote it"
        raise _Refused(
            f"{place} has version {version} of the file format, {by}; napari-sbd {_own_version()} reads "
            f"version {VERSION}: {remedy}"
        )


def _check_shapes(recovery: Recovery) -> None:
    seen, kernels = recovery.observation, recovery.kernels
    types, slices, rows, cols = kernels.shape
    frame = (seen.shape[0] + rows - 1, seen.shape[1] + cols - 1)
    wanted = {
        "mask": (seen.mask, (slices, *seen.shape)),
        "data": (seen.data, (slices, *seen.shape)),
        "extended_activations": (recovery.extended_activations, (types, *frame)),
        "bias": (recovery.bias, (slices,)),
    }
    for name, (array, shape) in wanted.items():
        if array.shape != shape:
            raise tree.Damaged(f"{name} has shape {array.shape} where the kernels ask for {shape}")
    if len(recovery.peaks) != types:
        raise tree.Damaged(f"peaks are of {len(recovery.peaks)} types, kernels of {types}")


def _own_version() -> str:
    try:
        return metadata.version("napari-sbd")
    except metadata.PackageNotFoundError:
        return "unknown"


def _one_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
