"""The tree of tags of a Digital Micrograph file, `.dm3` and `.dm4`.

Every length is checked against the end of the file; arrays are not read, only where they lie is noted. The
format as described by C. Boothroyd, *Digital Micrograph file format* (dm3 and dm4).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_sbd.io.errors import ReadError

GROUP, DATA = 20, 21
STRUCT, STRING, ARRAY = 15, 18, 20
TYPES = {
    2: "i2",
    3: "i4",
    4: "u2",
    5: "u4",
    6: "f4",
    7: "f8",
    8: "u1",
    9: "i1",
    10: "u1",
    11: "i8",
    12: "u8",
}
DEEPEST = 64
LARGEST_STRUCT = 1024
REMEDY = "save it again in Digital Micrograph"

Tags = dict[str, Any]


@dataclass(frozen=True)
class Stored:
    """Where an array lies; `dtype` is None where its elements are structures."""

    offset: int
    count: int
    dtype: str | None


@dataclass
class Parser:
    """Reads the tree from the buffer."""

    path: Path
    content: bytes
    version: int = 3
    order: str = "<"
    at: int = 0

    def parse(self) -> Tags:
        """All tags; unnamed ones are called by their number."""
        self.version = self.number("I")
        if self.version not in (3, 4):
            raise self.damage("is not a Digital Micrograph file of version 3 or 4")
        self.length()
        little = self.number("I")
        if little not in (0, 1):
            raise self.damage("has a damaged header")
        self.order = "<" if little else ">"
        return self.group(0)

    def group(self, depth: int) -> Tags:
        """Tags of one group."""
        if depth > DEEPEST:
            raise self.damage(f"nests more than {DEEPEST} deep")
        self.take(2)  # sorted, open: of no use here
        tags: Tags = {}
        # Each tag takes bytes, so that a count that lies ends at the end of the file.
        for number in range(self.length()):
            kind = self.number("B")
            name = self.take(self.number("H")).decode("latin-1") or str(number)
            if self.version == 4:
                self.length()
            if kind == GROUP:
                tags[name] = self.group(depth + 1)
            elif kind == DATA:
                tags[name] = self.value()
            else:
                raise self.damage(f"has a tag of unknown kind {kind}")
        return tags

    def value(self) -> Any:
        """The value of a tag: a number, or where its array lies."""
        if self.take(4) != b"%%%%":
            raise self.damage("has a damaged tag")
        count = self.length()
        if not 1 <= count <= LARGEST_STRUCT:
            raise self.damage("has a tag of a wrong size")
        kind, *info = (self.length() for _ in range(count))
        if kind in TYPES and not info:
            stored = np.dtype(self.order + TYPES[kind])
            return np.frombuffer(self.take(stored.itemsize), stored)[0].item()
        if kind == STRING and len(info) == 1:
            return self.stored(info[0], "u2")
        if kind == STRUCT:
            self.skip(self.struct_size(info))
            return None
        if kind == ARRAY and len(info) == 2 and info[0] in TYPES:
            return self.stored(info[1], TYPES[info[0]])
        if kind == ARRAY and len(info) > 2 and info[0] == STRUCT:
            start = self.at
            self.skip(self.struct_size(info[1:-1]) * info[-1])
            return Stored(start, info[-1], None)
        raise self.damage("has a tag of unknown type")

    def struct_size(self, info: list[int]) -> int:
        """Bytes of a structure: (name's length, number of fields, then name's length and type of each)."""
        kinds = info[3::2]
        if len(info) < 2 or len(kinds) != info[1] or any(kind not in TYPES for kind in kinds):
            raise self.damage("has a damaged structure")
        return sum(np.dtype(TYPES[kind]).itemsize for kind in kinds)

    def stored(self, count: int, kind: str) -> Stored:
        """Note an array and go on behind it."""
        dtype = np.dtype(self.order + kind)
        start = self.at
        self.skip(count * dtype.itemsize)
        return Stored(start, count, dtype.str)

    def length(self) -> int:
        """A length or count, of 4 bytes in version 3 and 8 in version 4."""
        return self.number("Q" if self.version == 4 else "I")

    def number(self, kind: str) -> int:
        """A whole number of the tree itself, which is big-endian."""
        (value,) = struct.unpack(f">{kind}", self.take(struct.calcsize(f">{kind}")))
        return int(value)

    def take(self, size: int) -> bytes:
        """The bytes that come next."""
        start = self.at
        self.skip(size)
        return self.content[start : self.at]

    def skip(self, size: int) -> None:
        """Go on behind so many bytes."""
        if self.at + size > len(self.content):
            raise self.damage("is cut off or damaged: a tag goes beyond the end of the file")
        self.at += size

    def damage(self, problem: str) -> ReadError:
        """The error for this file."""
        return ReadError(self.path, problem, REMEDY)
