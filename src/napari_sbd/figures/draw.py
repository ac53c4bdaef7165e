"""What the figures show: kernels, the image with its defects, and QPI, all to scale."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from napari_sbd.core.recovery import Recovery
from napari_sbd.core.spectrum import spectrum
from napari_sbd.layers import DIVERGING, RING_COLOURS

Real = NDArray[np.floating]

SIDE = 2.3  # inches, of the picture of a kernel
BAR = 0.6  # inches, for its colour bar
MAP_SIDE = 5.0  # inches, of the longer side of the image
MOST_SLICES = 5  # of a stack that are shown, evenly chosen
RING_SHARE = 0.3  # of the kernel's window
PALE = 0.45  # opacity of a ring near the border
SEEN = (0.5, 99.5)  # per cent of the pixels between black and white


def overview(recovery: Recovery) -> Figure:
    """The image with its defects, and beside it each kernel with its Fourier transform."""
    types = recovery.types
    width, height = _size_of_map(recovery)
    # Of one type they stand below each other, so that the figure is filled.
    rows, columns = (2, 1) if types == 1 else (types, 2)
    beside = columns * (SIDE + BAR)
    size = (width + beside + 0.8, max(height, rows * (SIDE + 0.3)) + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    parts: Any = figure.subfigures(1, 2, width_ratios=[width + 0.6, beside])
    left, right = parts
    _draw_map(left.subplots(), recovery)
    axes = np.reshape(right.subplots(rows, columns), (types, 2))
    middle = recovery.kernels.shape[1] // 2
    for kind in range(types):
        _draw_kernel(axes[kind, 0], recovery, kind, middle)
        _draw_spectrum(axes[kind, 1], recovery, kind, middle)
    return figure


def kernels(recovery: Recovery) -> Figure:
    """Each kernel, of a stack in several slices; one colour scale for each type."""
    return _table_of(recovery, _draw_kernel, BAR)


def spectra(recovery: Recovery) -> Figure:
    """QPI: magnitude of each kernel's Fourier transform."""
    return _table_of(recovery, _draw_spectrum, 0.3)


def image_with_defects(recovery: Recovery) -> Figure:
    """The image and a ring round each defect."""
    width, height = _size_of_map(recovery)
    figure = Figure(figsize=(width + 0.6, height + 0.7), layout="constrained")
    _draw_map(figure.add_subplot(), recovery)
    return figure


def _table_of(recovery: Recovery, draw: Any, margin: float) -> Figure:
    """One row of pictures for each type, one column for each slice shown."""
    types, slices = recovery.shapes.shape[:2]
    shown = np.unique(np.linspace(0, slices - 1, min(slices, MOST_SLICES)).round().astype(int))
    size = (len(shown) * (SIDE + margin) + 0.5, types * (SIDE + 0.5))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(types, len(shown), squeeze=False)
    for kind in range(types):
        for column, number in enumerate(shown):
            draw(axes[kind, column], recovery, kind, int(number))
    return figure


def _draw_kernel(axes: Axes, recovery: Recovery, kind: int, number: int) -> None:
    kernel = recovery.shapes[kind]
    top = float(np.abs(kernel).max()) or 1.0
    colours = LinearSegmentedColormap.from_list("kernel", DIVERGING["colors"])  # type: ignore[arg-type]
    height, width = (n * p for n, p in zip(kernel.shape[1:], recovery.observation.pixel_size, strict=True))
    extent = (-width / 2, width / 2, height / 2, -height / 2)
    shown = axes.imshow(kernel[number], cmap=colours, vmin=-top, vmax=top, extent=extent)
    bar = axes.inset_axes((1.04, 0.0, 0.05, 1.0))
    axes.figure.colorbar(shown, cax=bar).ax.tick_params(labelsize=7)
    _label(axes, recovery, _title("Kernel", recovery, kind, number))


def _draw_spectrum(axes: Axes, recovery: Recovery, kind: int, number: int) -> None:
    magnitude, reach = spectrum(recovery.shapes[kind, number])
    rows, cols = (np.pi * reach / p for p in recovery.observation.pixel_size)
    axes.imshow(magnitude, cmap="inferno", vmin=0, extent=(-cols, cols, rows, -rows))
    unit = recovery.observation.unit
    of_q = "rad/px" if unit == "px" else f"{unit}$^{{-1}}$"
    axes.set_xlabel(f"$q_x$ ({of_q})")
    axes.set_ylabel(f"$q_y$ ({of_q})")
    axes.set_title(_title("QPI", recovery, kind, number), fontsize=9)


def _draw_map(axes: Axes, recovery: Recovery) -> None:
    seen = recovery.observation
    middle = len(seen.data) // 2
    image = np.where(seen.mask[middle], seen.data[middle], np.nan)
    low, high = np.nanpercentile(image, SEEN)
    rows, cols = seen.pixel_size
    # Pixel centres are at whole numbers, as in the table of defects.
    extent = (-0.5 * cols, (seen.shape[1] - 0.5) * cols, (seen.shape[0] - 0.5) * rows, -0.5 * rows)
    axes.imshow(image, cmap="gray", vmin=low, vmax=high, extent=extent)
    table, several = recovery.defects, recovery.types > 1
    diameter = RING_SHARE * np.sqrt(np.prod(recovery.window)) * np.sqrt(rows * cols)
    for kind in range(recovery.types):
        own = table[table["type"] == kind]
        colour = RING_COLOURS[kind % len(RING_COLOURS)]
        opacity = np.where(own["near_border"].to_numpy(bool), PALE, 1.0)
        _draw_rings(axes, own["col"] * cols, own["row"] * rows, diameter, colour, opacity)
        if several:
            axes.plot([], [], "o", mfc="none", mec=colour, label=f"type {kind + 1}: {len(own)}")
    if several:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=recovery.types, frameon=False)
    number = len(table)
    title = f"{_name(recovery)}: {number} defect{'' if number == 1 else 's'}"
    _label(axes, recovery, title if len(seen.data) == 1 else f"{title}, slice {middle}")


def _draw_rings(axes: Axes, x: Any, y: Any, diameter: float, colour: Any, opacity: Real) -> None:
    from matplotlib.collections import EllipseCollection

    size = np.full(len(opacity), diameter)
    colours = [(*colour, alpha) for alpha in opacity]
    rings = EllipseCollection(
        size,
        size,
        np.zeros(len(size)),
        units="xy",
        offsets=np.column_stack([x, y]),
        offset_transform=axes.transData,
        facecolors="none",
        edgecolors=colours,
        linewidths=1.0,
    )
    axes.add_collection(rings, autolim=False)


def _size_of_map(recovery: Recovery) -> tuple[float, float]:
    """Width and height in inches."""
    lengths = np.array(recovery.observation.shape) * recovery.observation.pixel_size
    height, width = MAP_SIDE * lengths / lengths.max()
    return float(max(width, 1.5)), float(max(height, 1.5))


def _label(axes: Axes, recovery: Recovery, title: str) -> None:
    unit = recovery.observation.unit
    axes.set_xlabel(f"x ({unit})")
    axes.set_ylabel(f"y ({unit})")
    axes.set_title(title, fontsize=9)


def _title(what: str, recovery: Recovery, kind: int, number: int) -> str:
    types, slices = recovery.shapes.shape[:2]
    of_type = f" {kind + 1}" if types > 1 else ""
    return f"{what}{of_type}" + (f", slice {number}" if slices > 1 else "")


def _name(recovery: Any) -> str:
    """Name of the image; a dollar sign begins no formula."""
    source = getattr(recovery, "source", None)
    return str(source.name if source is not None else "image").replace("$", r"\$")
