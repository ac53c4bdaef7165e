"""Nanonis grid spectroscopy, `.3ds`: a text header, then one experiment after the other.

Each experiment is one point of the grid: its parameters, then each channel's sweep. Points come line by
line from the lower left corner of the grid's frame, whatever its angle. (In a file with the parameters X
and Y that can be seen: Y', along the frame, grows from line to line.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sbd.io.channel import FORWARD, Channel, pixel_size
from napari_sbd.io.errors import ReadError
from napari_sbd.io.raw import array_at, read_bytes

END = b":HEADER_END:"
NAMED = re.compile(r"(.*?)\s*\(([^()]*)\)")
DAMAGED = "copy it from the instrument again, or check that it is a Nanonis grid"
SAME_SWEEP = 1e-4
SAME_STEP = 0.05
PLACES = {"X (m)", "Y (m)"}


@dataclass(frozen=True)
class Layout:
    """What the header says about the sizes."""

    rows: int
    cols: int
    points: int
    channels: tuple[str, ...]
    parameters: tuple[str, ...]
    parameter_count: int

    @property
    def experiment(self) -> int:
        """Numbers of one point of the grid."""
        return self.parameter_count + self.points * len(self.channels)


def read_grid(path: Path) -> tuple[Channel, ...]:
    """Channels of a Nanonis grid; see `napari_sbd.read`."""
    content = read_bytes(path)
    header, start = _header(path, content)
    layout = _layout(path, header)
    data, notes = _experiments(path, content, start, layout)
    size, angle = _frame(path, header, layout)
    parameters = dict(zip(layout.parameters, np.moveaxis(data, -1, 0), strict=False))
    size = _check_positions(path, parameters, size)
    energies, energy_unit, sweep_notes = _sweep(header, parameters, layout)
    common: dict[str, Any] = {"pixel_size_nm": size, "angle": angle, "header": header}
    channels = []
    height = parameters.get("Z (m)")
    if height is not None:
        channels.append(Channel("Z", height.copy(), "m", direction=FORWARD, notes=notes, **common))
    for number, full_name in enumerate(layout.channels):
        first = layout.parameter_count + number * layout.points
        sweep = np.ascontiguousarray(np.moveaxis(data[..., first : first + layout.points], -1, 0))
        name, unit = _name(full_name)
        extra: dict[str, Any] = {"energies": energies, "energy_unit": energy_unit, **common}
        channels.append(Channel(name, sweep, unit, direction=FORWARD, notes=notes + sweep_notes, **extra))
    return tuple(channels)


def _header(path: Path, content: bytes) -> tuple[dict[str, str], int]:
    end = content.find(END)
    if end < 0 or b"=" not in content[: min(end, 200)]:
        raise ReadError(path, "is not a Nanonis grid, or its header is cut off", DAMAGED)
    newline = content.find(b"\n", end)
    if newline < 0 or content[end + len(END) : newline].strip():
        raise ReadError(path, "has no data after its header", DAMAGED)
    try:
        text = content[:end].decode("utf-8")
    except UnicodeDecodeError:
        text = content[:end].decode("latin-1")
    header = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals:
            header[key.strip()] = value.strip().strip('"')
    return header, newline + 1


def _layout(path: Path, header: dict[str, str]) -> Layout:
    cols, rows = _sizes(path, header, "Grid dim", r"\s*(\d+)\s*x\s*(\d+)\s*")
    (points,) = _sizes(path, header, "Points", r"\s*(\d+)\s*")
    channels = tuple(name for name in header.get("Channels", "").split(";") if name.strip())
    if not channels:
        raise ReadError(path, "names no channels in its header (Channels)", DAMAGED)
    lists = [header.get(f"{kind} parameters", "") for kind in ("Fixed", "Experiment")]
    parameters = tuple(name.strip() for names in lists for name in names.split(";") if name.strip())
    count = len(parameters)
    if "# Parameters (4 byte)" in header:
        (count,) = _sizes(path, header, "# Parameters (4 byte)", r"\s*(\d+)\s*", smallest=0)
    if count < len(parameters):
        raise ReadError(path, f"names {len(parameters)} parameters but announces {count}", DAMAGED)
    if "Experiment size (bytes)" in header:
        (size,) = _sizes(path, header, "Experiment size (bytes)", r"\s*(\d+)\s*")
        if size != 4 * points * len(channels):
            raise ReadError(
                path,
                f"contradicts itself: {len(channels)} channels of {points} points are not {size:,} bytes",
                DAMAGED,
            )
    # Where the lists are not complete, it cannot be known which parameter is which.
    return Layout(rows, cols, points, channels, parameters if count == len(parameters) else (), count)


def _sizes(path: Path, header: dict[str, str], key: str, pattern: str, smallest: int = 1) -> list[int]:
    found = re.fullmatch(pattern, header.get(key, ""), re.ASCII)
    sizes = [int(text[:19]) for text in found.groups()] if found else []
    if not sizes or min(sizes) < smallest:
        raise ReadError(path, f"has {key}={header.get(key, 'nothing')!r} in its header", DAMAGED)
    return sizes


def _experiments(
    path: Path, content: bytes, start: int, layout: Layout
) -> tuple[NDArray[np.floating], tuple[str, ...]]:
    """All numbers, (rows, cols, numbers of one point), row 0 at the top; NaN where nothing was measured."""
    total = layout.rows * layout.cols
    found, odd = divmod(len(content) - start, 4 * layout.experiment)
    if odd or found > total or not found:
        expected = 4 * total * layout.experiment
        state = "is cut off" if found < total else "holds more than its header says"
        raise ReadError(
            path,
            f"{state}: {layout.rows}×{layout.cols} points of {4 * layout.experiment:,} bytes are "
            f"{expected:,} bytes, there are {len(content) - start:,} after the header",
        )
    _check_size(path, layout, found)
    data = array_at(path, content, start, (found, layout.experiment), ">f4", "its grid")
    if found < total:
        rest = np.full((total - found, layout.experiment), np.nan, np.float32)
        data = np.concatenate([data, rest])
    # A grid that was stopped is padded with zeros by some versions: even where it is and what it sweeps.
    blank = ~np.any(data, axis=1)
    data[blank] = np.nan
    missing = int(np.isnan(data).all(axis=1).sum())
    notes = (f"unfinished: {missing} of {total} points were not measured",) if missing else ()
    return data.reshape(layout.rows, layout.cols, -1)[::-1], notes


def _check_size(path: Path, layout: Layout, found: int) -> None:
    """Check that a grid that was stopped has a line at least, and says where its points lie."""
    total = layout.rows * layout.cols
    if found < min(layout.cols, total):
        raise ReadError(
            path, f"is cut off: of {layout.rows}×{layout.cols} points only {found} are there, not one line"
        )
    if found < total and not set(layout.parameters) >= PLACES:
        raise ReadError(
            path, f"is cut off: of {total} points only {found} are there, and it does not say where they lie"
        )


def _frame(path: Path, header: dict[str, str], layout: Layout) -> tuple[tuple[float, float] | None, float]:
    """Pixel size in nm and angle in degrees; the grid's frame holds each point in the middle of a pixel."""
    text = header.get("Grid settings")
    if text is None:
        return None, 0.0
    try:
        _, _, width, height, angle = (float(number) for number in text.split(";"))
    except ValueError:
        raise ReadError(path, f"has Grid settings {text!r} in its header", DAMAGED) from None
    size = pixel_size(1e9 * height / layout.rows, 1e9 * width / layout.cols)
    if size is None or not np.isfinite(angle):
        raise ReadError(path, f"has Grid settings {text!r} in its header", DAMAGED)
    return size, angle


def _check_positions(
    path: Path, parameters: dict[str, NDArray[np.floating]], size: tuple[float, float] | None
) -> tuple[float, float] | None:
    """Pixel size that agrees with where the points were measured, if the file says where.

    Grid dimensions that are wrong would shear the image; here they are seen.
    """
    if not parameters.keys() >= PLACES:
        return size
    places = 1e9 * (parameters["X (m)"].astype(float) + 1j * parameters["Y (m)"].astype(float))
    along, down = np.diff(places, axis=1), np.diff(places[:, 0])
    along, down = along[np.isfinite(along)], down[np.isfinite(down)]
    if not along.size or not down.size:
        return size
    step = complex(np.median(along.real), np.median(along.imag))
    skew = np.median(np.abs((down * step.conjugate()).real))
    if not skew <= 0.5 * abs(step) ** 2:
        raise ReadError(path, "contradicts itself: its points do not lie in lines of Grid dim", DAMAGED)
    if size is None:
        return pixel_size(float(np.median(np.abs(down))), abs(step))
    # Of an unfinished grid, only its places tell whether the header has a row too many.
    tolerance = SAME_STEP if np.isfinite(places).all() else 0.5 / max(places.shape)
    found = np.array([np.median(np.abs(down)), abs(step)])
    for counts in (np.array(places.shape), np.array(places.shape) - 1):
        # Points in the middles of the pixels, as a rule; or from edge to edge of the frame.
        agreed = np.array(size) * places.shape / np.maximum(counts, 1)
        if (np.abs(agreed - found) <= tolerance * agreed).all():
            return pixel_size(*agreed)
    raise ReadError(
        path,
        f"contradicts itself: pixels of {size[1]:.4g}×{size[0]:.4g} nm by its header, "
        f"{found[1]:.4g}×{found[0]:.4g} nm by the places of its points",
        DAMAGED,
    )


def _sweep(
    header: dict[str, str], parameters: dict[str, NDArray[np.floating]], layout: Layout
) -> tuple[NDArray[np.floating] | None, str, tuple[str, ...]]:
    """Where each slice was measured: known where all points sweep the same way from start to end."""
    _, unit = _name(header.get("Sweep Signal", ""))
    mode = next((value for key, value in header.items() if key.lower().endswith("sweep mode")), "linear")
    start, end = parameters.get("Sweep Start"), parameters.get("Sweep End")
    if start is None or end is None:
        return None, unit, ("energies unknown: the file does not name start and end of the sweep",)
    if mode.lower() != "linear":
        return None, unit, (f"energies unknown: the sweep mode is {mode}",)
    low, high = start[np.isfinite(start)], end[np.isfinite(end)]
    if not low.size or not high.size:
        return None, unit, ("energies unknown: start and end of the sweep are not numbers",)
    first, last = float(low[0]), float(high[0])
    spread = max(float(np.ptp(low.astype(float))), float(np.ptp(high.astype(float))))
    if not spread <= SAME_SWEEP * max(abs(first), abs(last)):
        return None, unit, ("energies unknown: the sweep is not the same at all points",)
    # Stored in single precision: -0.22 comes as -0.2199999988.
    first, last = (float(f"{value:.7g}") for value in (first, last))
    return np.linspace(first, last, layout.points), unit, ()


def _name(full: str) -> tuple[str, str]:
    """Name and unit of ``Current [bwd] (A)``.

    Examples
    --------
    >>> _name("Current [bwd] (A)"), _name("Bias")
    (('Current [bwd]', 'A'), ('Bias', ''))
    """
    found = NAMED.fullmatch(full.strip())
    return (found[1], found[2]) if found else (full.strip(), "")
