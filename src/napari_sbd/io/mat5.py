"""MATLAB files of version 5 to 7.

Read here and not by ``scipy.io.loadmat``: on files with a few bytes damaged that one ends the whole
program (a segmentation fault in SciPy 1.17.1). The format is MathWorks' *MAT-File Format* (R2024a).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sbd.io.errors import ReadError
from napari_sbd.io.raw import array_at, inflate

HEADER = 128
ORDERS = {b"IM": "<", b"MI": ">"}
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
MATRIX, COMPRESSED = 14, 15
CELL, STRUCT = 1, 2
CLASSES = {
    6: "f8",
    7: "f4",
    8: "i1",
    9: "u1",
    10: "i2",
    11: "u2",
    12: "i4",
    13: "u4",
    14: "i8",
    15: "u8",
}
COMPLEX = 0x0800
DEEPEST = 16
MOST_AXES = 16


@dataclass(frozen=True)
class Element:
    """A piece of the file: its type, and where its contents lie."""

    kind: int
    start: int
    stop: int


@dataclass(frozen=True)
class Buffer:
    """Bytes with their byte order, and the file they come from."""

    path: Path
    content: bytes
    order: str

    def elements(self, start: int, stop: int) -> Iterator[Element]:
        """Pieces between two places, which they must fill."""
        while stop - start >= 8:
            element, start = self._element(start, stop)
            yield element
        if start < stop and any(self.content[start:stop]):
            raise self.damage("ends within an array")

    def _element(self, start: int, stop: int) -> tuple[Element, int]:
        kind, size = struct.unpack_from(f"{self.order}II", self.content, start)
        if kind >> 16:  # a small one: size, type and contents in 8 bytes
            kind, size = kind & 0xFFFF, kind >> 16
            if size > 4:
                raise self.damage("has an element of a wrong size")
            return Element(kind, start + 4, start + 4 + size), start + 8
        end = start + 8 + size
        if end > stop:
            raise self.damage(
                f"is cut off: an array of {size:,} bytes is announced, {stop - start - 8:,} follow"
            )
        following = end if kind == COMPRESSED else min(stop, end + -end % 8)
        return Element(kind, start + 8, end), following

    def numbers(self, element: Element) -> NDArray[Any]:
        """Numbers of a piece, as stored."""
        stored = NUMBERS.get(element.kind)
        if stored is None:
            raise self.damage(f"has an element of unknown type {element.kind}")
        dtype = np.dtype(self.order + stored)
        count, rest = divmod(element.stop - element.start, dtype.itemsize)
        if rest:
            raise self.damage("has an element of a wrong size")
        return array_at(self.path, self.content, element.start, (count,), dtype)

    def damage(self, problem: str) -> ReadError:
        """The error for this file."""
        return ReadError(self.path, problem, "save it again in MATLAB with -v7 or -v7.3")


def is_mat5(header: bytes) -> bool:
    """Whether a file begins as MATLAB's versions 5 to 7 do."""
    order = ORDERS.get(header[126:128])
    return order is not None and struct.unpack_from(f"{order}H", header, 124)[0] == 0x0100


def read_arrays(path: Path, content: bytes) -> dict[str, NDArray[Any]]:
    """All full arrays of real numbers, by name; those in structures and cells as ``outer.inner``."""
    buffer = Buffer(path, content, ORDERS[content[126:128]])
    found: dict[str, NDArray[Any]] = {}
    for element in buffer.elements(HEADER, len(content)):
        inner, piece = buffer, element
        if element.kind == COMPRESSED:
            unpacked = inflate(path, content[element.start : element.stop])
            inner = Buffer(path, unpacked, buffer.order)
            piece = next(inner.elements(0, len(unpacked)), Element(0, 0, 0))
        if piece.kind != MATRIX:
            raise buffer.damage(f"has an element of unknown type {piece.kind}")
        _matrix(inner, piece, "", found, 0)
    return found


def _matrix(buffer: Buffer, whole: Element, outer: str, found: dict[str, NDArray[Any]], depth: int) -> None:
    """Add the numbers of an array, or of those inside it."""
    if depth > DEEPEST:
        raise buffer.damage(f"nests arrays more than {DEEPEST} deep")
    pieces = buffer.elements(whole.start, whole.stop)
    flags = next(pieces, None)
    if flags is None:  # an empty cell
        return
    flag = int(buffer.numbers(flags)[0]) if flags.stop - flags.start == 8 else 0
    kind = flag & 0xFF
    if kind not in (CELL, STRUCT, *CLASSES):
        return
    shape_piece, name_piece = next(pieces, None), next(pieces, None)
    if shape_piece is None or name_piece is None:
        raise buffer.damage("has an array without size and name")
    shape = tuple(int(n) for n in buffer.numbers(shape_piece))
    if not 2 <= len(shape) <= MOST_AXES or min(shape) < 0:
        raise buffer.damage(f"has an array of size {shape[:MOST_AXES]}")
    name = bytes(buffer.content[name_piece.start : name_piece.stop]).decode("latin-1").rstrip("\0")
    full = ".".join(part for part in (outer, name) if part) or "array"
    if kind == STRUCT:
        _fields(buffer, list(pieces), full, found, depth)
    elif kind == CELL:
        _cells(buffer, pieces, full, found, depth)
    else:
        values = _numbers(buffer, pieces, shape, CLASSES[kind])
        imaginary = next(pieces, None) is not None
        if imaginary != bool(flag & COMPLEX):
            raise buffer.damage("contradicts itself: an array is complex and is not")
        if not imaginary:
            found[_free(full, found)] = values


def _numbers(buffer: Buffer, pieces: Iterator[Element], shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    piece = next(pieces, None)
    stored = buffer.numbers(piece) if piece is not None else np.empty(0)
    if stored.size != math.prod(shape):
        raise buffer.damage(f"has an array of {'×'.join(map(str, shape))} with {stored.size:,} numbers")
    # MATLAB keeps whole numbers in fewer bytes; the class says what they are.
    meant = np.dtype(dtype)
    if stored.dtype != meant and not (stored.dtype.kind in "iu" and stored.itemsize < meant.itemsize):
        raise buffer.damage(f"contradicts itself: an array of {meant} is stored as {stored.dtype}")
    return stored.astype(meant, copy=False).reshape(shape, order="F")


def _fields(
    buffer: Buffer, pieces: list[Element], outer: str, found: dict[str, NDArray[Any]], depth: int
) -> None:
    if len(pieces) < 2:
        raise buffer.damage("has a structure without fields")
    length = int(buffer.numbers(pieces[0])[0]) if pieces[0].stop - pieces[0].start == 4 else 0
    raw = buffer.content[pieces[1].start : pieces[1].stop]
    if length < 1 or len(raw) % length:
        raise buffer.damage("has a structure with damaged names")
    names = [
        raw[n : n + length].split(b"\0")[0].decode("latin-1") or "field" for n in range(0, len(raw), length)
    ]
    for number, piece in enumerate(pieces[2:]):
        name = names[number % len(names)] if names else "field"
        _matrix(buffer, piece, f"{outer}.{name}", found, depth + 1)


def _cells(
    buffer: Buffer, pieces: Iterator[Element], outer: str, found: dict[str, NDArray[Any]], depth: int
) -> None:
    for number, piece in enumerate(pieces):
        _matrix(buffer, piece, f"{outer}.{number + 1}", found, depth + 1)


def _free(name: str, found: dict[str, NDArray[Any]]) -> str:
    """The name, with a number where several elements of a structure array have it."""
    return f"{name} [{len(found) + 1}]" if name in found else name
