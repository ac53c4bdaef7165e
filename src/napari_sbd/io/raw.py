"""Bytes of a file that may be damaged: nothing is allocated before it is known that the file holds it."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_sbd.io.errors import AGAIN, ReadError

# What is stored with compression may not grow beyond any measure: neither a scan nor a spectrum shrinks
# to a hundredth, a header that lies does.
MOST_GROWTH = 100
ALWAYS_ALLOWED = 32 * 2**20
PIECE = 2**20


def file_size(path: Path) -> int:
    """Size of a file that can be opened and is not empty, in bytes."""
    try:
        if not path.is_file():
            raise ReadError(path, "is not a file" if path.exists() else "does not exist", "check the path")
        with path.open("rb"):
            size = path.stat().st_size
    except OSError as error:
        raise ReadError(path, f"cannot be opened ({error.strerror})", "check the path and rights") from error
    if size == 0:
        raise ReadError(path, "is empty")
    return size


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """Contents of a file, or their beginning."""
    file_size(path)
    with path.open("rb") as file:
        return file.read() if most is None else file.read(most)


def array_at(
    path: Path, buffer: bytes, offset: int, shape: Sequence[int], dtype: DTypeLike, what: str = "its image"
) -> NDArray[Any]:
    """A copy, in the machine's byte order, of an array that lies in a buffer; checked before it is made.

    Raises
    ------
    ReadError
        If the buffer ends before the array does.
    """
    stored = np.dtype(dtype)
    count = math.prod(shape)
    needed = count * stored.itemsize
    if offset < 0 or min(shape, default=0) < 0 or offset + needed > len(buffer):
        raise ReadError(
            path,
            f"is cut off or its header is damaged: {what} of {'×'.join(map(str, shape))} needs "
            f"{needed:,} bytes, {max(0, len(buffer) - offset):,} are there",
        )
    flat = np.frombuffer(buffer, stored, count, offset)
    return flat.reshape(shape).astype(stored.newbyteorder("="))


def check_growth(path: Path, size: int, stored: int) -> None:
    """Raise ReadError if something stored with compression claims a size that cannot be true."""
    if size > max(ALWAYS_ALLOWED, MOST_GROWTH * stored):
        raise ReadError(
            path, f"announces {size:,} bytes, of which only {stored:,} (compressed) are there", AGAIN
        )


def inflate(path: Path, packed: bytes) -> bytes:
    """Decompress a whole zlib stream; its checksum must be right."""
    unpacker = zlib.decompressobj()
    parts, size, rest = [], 0, packed
    try:
        while not unpacker.eof:
            part = unpacker.decompress(rest, PIECE)
            rest = unpacker.unconsumed_tail
            if not part and not rest and not unpacker.eof:
                raise ReadError(path, "is cut off inside its compressed data")
            parts.append(part)
            size += len(part)
            check_growth(path, size, len(packed))
    except zlib.error as error:
        raise ReadError(path, f"is damaged inside its compressed data ({error})") from error
    return b"".join(parts)
