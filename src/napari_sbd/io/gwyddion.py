"""Gwyddion files, `.gwy`: one tree of named values.

Read here and not by ``gwyfile`` (0.3.0): that one trusts every count in the file and loops over it, and
cannot tell a cut off array from a whole one. The format is that of Gwyddion's user guide, *Gwyddion
native format*.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_sbd.io.channel import NO_PIXEL_SIZE, Channel, pixel_size
from napari_sbd.io.errors import ReadError
from napari_sbd.io.raw import array_at, read_bytes
from napari_sbd.io.units import nanometres

MAGIC = b"GWYP"
SCALARS = {"b": "<B", "c": "<B", "i": "<i", "q": "<q", "d": "<d"}
ARRAYS = {"C": "<u1", "I": "<i4", "Q": "<i8", "D": "<f8"}
FIELD_KEY = re.compile(r"/(\d+)/data")
BRICK_KEY = re.compile(r"/brick/(\d+)")
DEEPEST = 32
REMEDY = "save it again in Gwyddion"

Values = dict[str, Any]


@dataclass(frozen=True)
class Numbers:
    """Where an array lies; it is read only where it is wanted."""

    offset: int
    count: int
    dtype: str


@dataclass
class Parser:
    """Reads the tree; every length is checked against the end of what encloses it."""

    path: Path
    content: bytes
    at: int = 0

    def tree(self, stop: int, depth: int = 0) -> Values:
        """Values of one object, whose type is under the empty name."""
        if depth > DEEPEST:
            raise self.damage(f"nests more than {DEEPEST} deep")
        kind = self.text(stop)
        (size,) = struct.unpack("<I", self.take(4, stop))
        end = self.at + size
        if end > stop:
            raise self.damage(f"is cut off: {size:,} bytes of {kind[:40]!r} are announced")
        values: Values = {"": kind}
        while self.at < end:
            name = self.text(end)
            values[name] = self.value(end, depth)
        return values

    def value(self, stop: int, depth: int) -> Any:
        """The value that comes next."""
        code = self.take(1, stop).decode("latin-1")
        if code == "o":
            return self.tree(stop, depth + 1)
        if code == "s":
            return self.text(stop)
        if code in SCALARS:
            layout = SCALARS[code]
            return struct.unpack(layout, self.take(struct.calcsize(layout), stop))[0]
        if code not in (*ARRAYS, "S", "O"):
            raise self.damage(f"has a value of unknown type {code!r}")
        (count,) = struct.unpack("<I", self.take(4, stop))
        if code in ARRAYS:
            start = self.at
            self.take(count * np.dtype(ARRAYS[code]).itemsize, stop, keep=False)
            return Numbers(start, count, ARRAYS[code])
        # Each takes a byte at least, so that a count that lies ends at the end of the file.
        read = self.text if code == "S" else lambda end: self.tree(end, depth + 1)
        return [read(stop) for _ in range(count)]

    def text(self, stop: int) -> str:
        """Text up to the zero that ends it."""
        end = self.content.find(b"\0", self.at, stop)
        if end < 0:
            raise self.damage("is cut off within a text")
        raw = self.content[self.at : end]
        self.at = end + 1
        return raw.decode("utf-8", "replace")

    def take(self, size: int, stop: int, *, keep: bool = True) -> bytes:
        """The bytes that come next."""
        start, end = self.at, self.at + size
        if end > stop:
            raise self.damage("is cut off or damaged: a value goes beyond its end")
        self.at = end
        return self.content[start:end] if keep else b""

    def damage(self, problem: str) -> ReadError:
        """The error for this file."""
        return ReadError(self.path, problem, REMEDY)


def read_gwyddion(path: Path) -> tuple[Channel, ...]:
    """Data fields (images) and bricks (stacks) of a Gwyddion file; see `napari_sbd.read`."""
    content = read_bytes(path)
    if not content.startswith(MAGIC):
        raise ReadError(path, "is not a Gwyddion file", "check what it is, or save it again in Gwyddion")
    parser = Parser(path, content, len(MAGIC))
    values = parser.tree(len(content))
    if parser.at != len(content):
        raise ReadError(path, "holds more than its header says", REMEDY)
    channels = []
    for key, value in values.items():
        image, brick = FIELD_KEY.fullmatch(key), BRICK_KEY.fullmatch(key)
        if image and _is(value, "GwyDataField"):
            channels.append(_channel(path, content, value, values, f"/{image[1]}"))
        elif brick and _is(value, "GwyBrick"):
            channels.append(_channel(path, content, value, values, key))
    if not channels:
        raise ReadError(path, "holds no image", "save one as a channel in Gwyddion")
    return tuple(channels)


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, dict) and value.get("") == kind


def _channel(path: Path, content: bytes, field: Values, values: Values, place: str) -> Channel:
    stacked = field[""] == "GwyBrick"
    axes = ("zres", "yres", "xres") if stacked else ("yres", "xres")
    shape = [n for axis in axes if isinstance(n := field.get(axis), int) and n > 0]
    stored = field.get("data")
    if not isinstance(stored, Numbers) or len(shape) != len(axes):
        raise ReadError(path, f"has an image without size or data ({place})", REMEDY)
    if stored.count != math.prod(shape):
        raise ReadError(
            path, f"contradicts itself: {'×'.join(map(str, shape))} pixels, {stored.count:,} numbers", REMEDY
        )
    data = array_at(path, content, stored.offset, shape, stored.dtype)
    title = values.get(f"{place}/data/title") or values.get(f"{place}/title")
    meta = values.get(f"{place}/meta")
    energies, energy_unit = _energies(field) if stacked else (None, "")
    size = _pixel_size(field)
    return Channel(
        title.strip() if isinstance(title, str) and title.strip() else f"channel {place.rpartition('/')[2]}",
        data,
        _unit(field, "si_unit_w" if stacked else "si_unit_z"),
        size,
        energies,
        energy_unit,
        header={k: v for k, v in meta.items() if k and isinstance(v, str)} if isinstance(meta, dict) else {},
        notes=() if size else (NO_PIXEL_SIZE,),
    )


def _unit(field: Mapping[str, Any], key: str) -> str:
    unit = field.get(key)
    text = unit.get("unitstr", "") if isinstance(unit, dict) else ""
    return text if isinstance(text, str) else ""


def _real(field: Mapping[str, Any], key: str) -> float:
    value = field.get(key, 0.0)
    return float(value) if isinstance(value, int | float) else 0.0


def _pixel_size(field: Mapping[str, Any]) -> tuple[float, float] | None:
    length = nanometres(_unit(field, "si_unit_xy" if field[""] == "GwyDataField" else "si_unit_x"))
    if length is None:
        return None
    rows, cols = (length * _real(field, f"{axis}real") / field[f"{axis}res"] for axis in "yx")
    return pixel_size(rows, cols)


def _energies(field: Mapping[str, Any]) -> tuple[Any, str]:
    extent, count = _real(field, "zreal"), field["zres"]
    if not extent:
        return None, ""
    step = extent / count
    return _real(field, "zoff") + step * (np.arange(count) + 0.5), _unit(field, "si_unit_z")
