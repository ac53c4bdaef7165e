"""Nanonis scans, `.sxm`: a text header, then every channel, forward and backward, line by line as scanned."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sbd.io.channel import BACKWARD, FORWARD, Channel, pixel_size
from napari_sbd.io.errors import ReadError
from napari_sbd.io.raw import array_at, read_bytes

END = b":SCANIT_END:"
DATA_MARK = b"\x1a\x04"
KEY = re.compile(r":(.+):")
BYTE_ORDERS = {"MSBFIRST": ">f4", "LSBFIRST": "<f4"}
DIRECTIONS = {"both": (FORWARD, BACKWARD), "forward": (FORWARD,), "backward": (BACKWARD,)}
DAMAGED = "copy it from the instrument again, or check that it is a Nanonis scan"


@dataclass(frozen=True)
class Stored:
    """One image in the order in which the file holds them."""

    name: str
    unit: str
    direction: str


def read_sxm(path: Path) -> tuple[Channel, ...]:
    """Channels of a Nanonis scan; see `napari_sbd.read`."""
    content = read_bytes(path)
    header, start = _header(path, content)
    cols, rows = _sizes(path, header, "SCAN_PIXELS")
    images = _stored(path, header)
    found, expected = len(content) - start, 4 * len(images) * rows * cols
    if found != expected:
        state = "is cut off" if found < expected else "holds more than its header says"
        raise ReadError(
            path,
            f"{state}: {len(images)} images of {rows}×{cols} px are {expected:,} bytes, "
            f"there are {found:,} after the header",
        )
    data = array_at(path, content, start, (len(images), rows, cols), _dtype(path, header))
    upward = _upward(path, header)
    data, notes = _unmeasured(data)
    angle = _numbers(path, header, "SCAN_ANGLE", 1)[0] if "SCAN_ANGLE" in header else 0.0
    width, height = _numbers(path, header, "SCAN_RANGE", 2)
    size = pixel_size(1e9 * height / rows, 1e9 * width / cols)
    if size is None:
        raise ReadError(path, f"has a scan range of {width:g} × {height:g} m", DAMAGED)
    return tuple(
        Channel(
            image.name,
            _upright(values, upward, image.direction),
            image.unit,
            size,
            angle=angle,
            direction=image.direction,
            header=header,
            notes=notes,
        )
        for image, values in zip(images, data, strict=True)
    )


def _header(path: Path, content: bytes) -> tuple[dict[str, str], int]:
    """Header, and where the data begin."""
    end = content.find(END)
    if not content.startswith(b":NANONIS_VERSION:") or end < 0:
        raise ReadError(path, "is not a Nanonis scan, or its header is cut off", DAMAGED)
    after = end + len(END)
    mark = content.find(DATA_MARK, after)
    if mark < 0 or content[after:mark].strip():
        raise ReadError(path, "has no data after its header", DAMAGED)
    header: dict[str, str] = {}
    key = ""
    for line in _text(content[:end]).splitlines():
        named = KEY.fullmatch(line)
        if named:
            key = named[1]
            header[key] = ""
        elif key:
            header[key] = f"{header[key]}\n{line}" if header[key] else line
    return {name: value.rstrip() for name, value in header.items()}, mark + len(DATA_MARK)


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _field(path: Path, header: dict[str, str], key: str) -> str:
    if not header.get(key, "").strip():
        raise ReadError(path, f"lacks {key} in its header", DAMAGED)
    return header[key].strip()


def _numbers(path: Path, header: dict[str, str], key: str, count: int) -> list[float]:
    """Numbers of a header field."""
    text = _field(path, header, key)
    try:
        numbers = [float(word) for word in text.split()]
    except ValueError:
        numbers = []
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise ReadError(path, f"has {key} {text!r} in its header", DAMAGED)
    return numbers


def _sizes(path: Path, header: dict[str, str], key: str) -> tuple[int, int]:
    """Two positive whole numbers of a header field."""
    first, second = _numbers(path, header, key, 2)
    if min(first, second) < 1 or not (first.is_integer() and second.is_integer()):
        raise ReadError(path, f"has {key} {_field(path, header, key)!r} in its header", DAMAGED)
    return int(first), int(second)


def _dtype(path: Path, header: dict[str, str]) -> str:
    kind, _, order = _field(path, header, "SCANIT_TYPE").partition(" ")
    if kind != "FLOAT" or order.strip() not in BYTE_ORDERS:
        raise ReadError(
            path, f"stores {kind} {order.strip()}, not FLOAT", "save it with the default settings"
        )
    return BYTE_ORDERS[order.strip()]


def _upward(path: Path, header: dict[str, str]) -> bool:
    direction = _field(path, header, "SCAN_DIR")
    if direction not in ("up", "down"):
        raise ReadError(path, f"was scanned {direction!r}, neither up nor down", DAMAGED)
    return direction == "up"


def _stored(path: Path, header: dict[str, str]) -> list[Stored]:
    """Images in the order of the file, from the table DATA_INFO."""
    titles, *lines = [line.split("\t") for line in header.get("DATA_INFO", "").splitlines() or [""]]
    names = [title.strip() for title in titles]
    if not {"Name", "Unit", "Direction"} <= set(names):
        raise ReadError(path, "lacks the table of its channels (DATA_INFO)", DAMAGED)
    images = []
    for cells in lines:
        if not any(cell.strip() for cell in cells):
            continue
        row = dict(zip(names, (cell.strip() for cell in cells), strict=False))
        directions = DIRECTIONS.get(row.get("Direction", ""))
        if directions is None or not row["Name"]:
            raise ReadError(path, f"has an unreadable line in its table of channels: {row}", DAMAGED)
        name = row["Name"].replace("_", " ")  # as Nanonis shows it
        images += [Stored(name, row["Unit"], way) for way in directions]
    if not images:
        raise ReadError(path, "holds no channel", DAMAGED)
    return images


def _unmeasured(data: NDArray[np.floating]) -> tuple[NDArray[np.floating], tuple[str, ...]]:
    """Lines that were not scanned any more become NaN; some versions write zeros there."""
    lines = data.swapaxes(0, 1).reshape(data.shape[1], -1)
    blank = ~np.any(lines, axis=1)  # NaN counts as something
    measured = np.flatnonzero(~blank)
    if measured.size:
        data[:, measured[-1] + 1 :] = np.nan
    missing = int(np.isnan(data).all(axis=(0, 2)).sum())
    if not missing:
        return data, ()
    return data, (f"unfinished: {missing} of {data.shape[1]} lines were not scanned",)


def _upright(image: NDArray[np.floating], upward: bool, direction: str) -> NDArray[np.floating]:
    """Row 0 at the top, column 0 at the left."""
    rows = slice(None, None, -1 if upward else 1)
    cols = slice(None, None, -1 if direction == BACKWARD else 1)
    return np.ascontiguousarray(image[rows, cols])
