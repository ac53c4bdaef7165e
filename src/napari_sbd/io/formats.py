"""Which reader reads which file, and `read`, which finds it by the file's suffix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from napari_sbd.io.channel import Channel
from napari_sbd.io.errors import ReadError


@dataclass(frozen=True)
class Format:
    """A kind of file: what it is called, and the function that reads it, imported when it is needed."""

    title: str
    module: str
    function: str

    def load(self) -> Callable[[Path], Any]:
        """The function."""
        reader: Callable[[Path], Any] = getattr(import_module(self.module), self.function)
        return reader


_HOME = "napari_sbd.io"
_ROSETTA = (f"{_HOME}.rosetta", "read_by_rosetta")
_MICROGRAPH = (f"{_HOME}.digital_micrograph", "read_digital_micrograph")
# Suffixes in lower case. The readers of one image or more; results have their own.
CHANNEL_FORMATS = {
    ".sxm": Format("Nanonis scan", f"{_HOME}.sxm", "read_sxm"),
    ".3ds": Format("Nanonis grid", f"{_HOME}.grid", "read_grid"),
    ".mat": Format("MATLAB", f"{_HOME}.mat", "read_mat"),
    ".npy": Format("NumPy", f"{_HOME}.numpy_file", "read_npy"),
    ".npz": Format("NumPy archive", f"{_HOME}.numpy_file", "read_npz"),
    ".gwy": Format("Gwyddion", f"{_HOME}.gwyddion", "read_gwyddion"),
    ".dm3": Format("Digital Micrograph", *_MICROGRAPH),
    ".dm4": Format("Digital Micrograph", *_MICROGRAPH),
    ".emd": Format("EMD (Velox, NCEM)", *_ROSETTA),
    ".ser": Format("TIA series", *_ROSETTA),
    ".mrc": Format("MRC", *_ROSETTA),
}


def read(path: str | PathLike[str]) -> tuple[Channel, ...]:
    """Read all images and stacks of a file, each with pixel size, unit and what the header says.

    Parameters
    ----------
    path : str or path
        A Nanonis scan (``.sxm``) or grid (``.3ds``), MATLAB (``.mat``), NumPy (``.npy``, ``.npz``), Gwyddion
        (``.gwy``), Digital Micrograph (``.dm3``, ``.dm4``), or, with the extra ``microscopy``, ``.emd``,
        ``.ser`` and ``.mrc``.

    Returns
    -------
    tuple of Channel
        The topograph first, if there is one; `napari_sbd.recover` takes any of them.

    Raises
    ------
    ReadError
        If the file is missing, cut off, damaged, of another kind, or holds no image. The message names the
        file, what is wrong and what helps. Nothing is read before its size is known to be true.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> file = Path(tempfile.mkdtemp()) / "scan.npz"
    >>> np.savez(file, Z=np.eye(64), pixel_size_nm=0.1)
    >>> [topo] = read(file)
    >>> topo.name, topo.data.shape, topo.pixel_size_nm
    ('Z', (64, 64), (0.1, 0.1))
    """
    where = Path(fspath(path)).expanduser()
    known = CHANNEL_FORMATS.get(where.suffix.lower())
    if known is None:
        raise ReadError(
            where,
            "is of a kind that is not read here",
            f"use {', '.join(CHANNEL_FORMATS)}; open pictures such as TIFF in napari",
        )
    try:
        # Damaged numbers may be such that comparing them warns.
        with np.errstate(all="ignore"):
            channels: tuple[Channel, ...] = known.load()(where)
            return tuple(sorted(channels, key=_last_looked_at))
    except MemoryError as error:
        raise ReadError(where, "does not fit into memory", "export a part of it") from error
    except OSError as error:
        raise ReadError(where, f"cannot be read ({error.strerror or error})", "check the disk") from error


def _last_looked_at(channel: Channel) -> tuple[bool, bool]:
    """Topographs first; what has no contrast last, such as the height of a scan at constant height."""
    seen = channel.data[np.isfinite(channel.data)] if channel.data.ndim == 2 else channel.data
    return not channel.is_topograph, not seen.size or bool(seen.min() == seen.max())
