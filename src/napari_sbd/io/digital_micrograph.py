"""Images and spectrum images of Digital Micrograph files, `.dm3` and `.dm4`.

Read here and not by RosettaSciIO: it is under the GPL, and one damaged count makes it loop for minutes.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sbd.io.channel import NO_PIXEL_SIZE, Channel, pixel_size
from napari_sbd.io.dm_tags import REMEDY, Parser, Stored, Tags
from napari_sbd.io.errors import ReadError
from napari_sbd.io.raw import array_at, read_bytes
from napari_sbd.io.units import nanometres

# DataType of an image of real numbers; others are complex or coloured.
REAL_TYPES = {
    1: "i2",
    2: "f4",
    6: "u1",
    7: "i4",
    9: "i1",
    10: "u2",
    11: "u4",
    12: "f8",
    14: "u1",
    39: "i8",
    40: "u8",
}
SHOWN_TAGS = ("Microscope Info", "Session Info")
LONGEST_TEXT = 10_000


def read_digital_micrograph(path: Path) -> tuple[Channel, ...]:
    """Images of a Digital Micrograph file but its thumbnail; see `napari_sbd.read`."""
    content = read_bytes(path)
    parser = Parser(path, content)
    tags = parser.parse()
    images = tags.get("ImageList")
    if not isinstance(images, dict) or not images:
        raise ReadError(path, "holds no image", REMEDY)
    thumbnails = _thumbnails(tags)
    channels = [
        channel
        for number, image in enumerate(images.values())
        if number not in thumbnails and (channel := _channel(path, content, parser, image)) is not None
    ]
    if not channels:
        raise ReadError(
            path,
            "holds no image of real numbers with two or three axes",
            "save its real part, modulus or grey values as an image of its own",
        )
    return tuple(channels)


def _thumbnails(tags: Tags) -> set[Any]:
    listed = tags.get("Thumbnails")
    groups = listed.values() if isinstance(listed, dict) else ()
    return {group.get("ImageIndex") for group in groups if isinstance(group, dict)}


def _channel(path: Path, content: bytes, parser: Parser, image: Any) -> Channel | None:
    """Channel of an entry of the list of images, None where it is none of real numbers."""
    data = _inner(image, "ImageData")
    sizes = list(_inner(data, "Dimensions").values())
    stored = data.get("Data")
    kind = REAL_TYPES.get(data.get("DataType", -1))
    if kind is None or not isinstance(stored, Stored) or stored.dtype is None:
        return None
    if not all(isinstance(n, int) and n > 0 for n in sizes):
        raise ReadError(path, f"has an image of size {sizes[:8]}", REMEDY)
    shape = tuple(reversed(sizes))
    dtype = np.dtype(parser.order + kind)
    if len(shape) not in (2, 3):
        return None
    if stored.count != math.prod(shape) or np.dtype(stored.dtype) != dtype:
        raise ReadError(
            path, f"contradicts itself: {'×'.join(map(str, shape))} pixels, {stored.count:,} numbers", REMEDY
        )
    values = array_at(path, content, stored.offset, shape, dtype)
    scales = list(_inner(data, "Calibrations", "Dimension").values())
    size, notes = _pixel_size(content, scales)
    energies, energy_unit = _energies(content, scales, shape)
    return Channel(
        _text(content, _inner(image).get("Name")) or path.stem,
        values,
        _text(content, _inner(data, "Calibrations", "Brightness").get("Units")),
        size,
        energies,
        energy_unit,
        header=_header(content, _inner(image, "ImageTags")),
        notes=notes,
    )


def _inner(tags: Any, *names: str) -> Tags:
    """A group inside; empty where there is none."""
    for name in names:
        tags = tags.get(name) if isinstance(tags, dict) else None
    return tags if isinstance(tags, dict) else {}


def _text(content: bytes, stored: Any) -> str:
    """A text, which is an array of two-byte characters."""
    if not isinstance(stored, Stored) or stored.dtype is None or stored.count > LONGEST_TEXT:
        return ""
    if np.dtype(stored.dtype).itemsize != 2:
        return ""
    raw: NDArray[Any] = np.frombuffer(content, stored.dtype, stored.count, stored.offset)
    return raw.astype("<u2").tobytes().decode("utf-16-le", "replace").strip("\0 ")


def _calibration(content: bytes, scale: Any) -> tuple[float, float, str]:
    """Origin in pixels, length of a pixel, and unit."""
    tags = _inner(scale)
    origin, step = (tags.get(name) for name in ("Origin", "Scale"))
    if isinstance(origin, int | float) and isinstance(step, int | float):
        return float(origin), float(step), _text(content, tags.get("Units"))
    return 0.0, 1.0, ""


def _pixel_size(content: bytes, scales: list[Any]) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    steps = []
    for scale in scales[1::-1]:  # columns come first
        _, step, unit = _calibration(content, scale)
        length = nanometres(unit)
        steps.append(abs(step) * length if length is not None else np.nan)
    size = pixel_size(*steps) if len(steps) == 2 else None
    return size, () if size else (NO_PIXEL_SIZE,)


def _energies(
    content: bytes, scales: list[Any], shape: tuple[int, ...]
) -> tuple[NDArray[np.floating] | None, str]:
    """Where the slices lie: in a spectrum image the energy loss."""
    if len(shape) != 3 or len(scales) != 3:
        return None, ""
    origin, step, unit = _calibration(content, scales[2])
    if not unit or not np.isfinite([origin, step]).all():
        return None, ""
    return (np.arange(shape[0]) - origin) * step, unit


def _header(content: bytes, tags: Tags) -> dict[str, Any]:
    """The microscope's settings as plain values."""
    header = {}
    for group in SHOWN_TAGS:
        for name, value in _inner(tags, group).items():
            plain = _text(content, value) if isinstance(value, Stored) else value
            if isinstance(plain, int | float | str) and plain != "":
                header[f"{group}: {name}"] = plain
    return header
