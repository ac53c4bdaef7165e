"""Preview of the kernels in the dock: each enlarged, and beside it its Fourier transform."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import numpy as np
from napari.utils.colormaps import Colormap, ensure_colormap
from numpy.typing import NDArray
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor, QImage, QPixmap
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget
from scipy import ndimage

from napari_sbd.core.spectrum import spectrum
from napari_sbd.layers import DIVERGING, RING_COLOURS, Source
from napari_sbd.widgets.fields import hint_label

Real = NDArray[np.floating]

SIDE, SMALL_SIDE = 164, 108  # px on screen, of a single kernel and of one of several
KERNEL_HELP = "The recovered kernel: what one defect looks like. Blue is negative, white zero, red positive."
QPI_HELP = (
    "Quasiparticle interference: magnitude of the kernel's Fourier transform, q = 0 in the middle. "
    "q = 2π/λ of the wavelength λ; the picture ends at the value below."
)


class KernelPreview(QWidget):
    """One row for each kernel: the kernel and its Fourier transform, with their sizes; hidden while empty."""

    def __init__(self) -> None:
        super().__init__()
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(12)
        self._grid.setVerticalSpacing(4)
        self._grid.setColumnStretch(2, 1)
        self.rows: list[KernelRow] = []
        self.hide()

    def show_kernels(self, kernels: Real, source: Source, number: int | None = None) -> None:
        """Show kernels (types, slices, k1, k2); of a stack, this slice or the one in the middle."""
        at = kernels.shape[1] // 2 if number is None else number
        while len(self.rows) < len(kernels):
            self.rows.append(KernelRow(self._grid, len(self.rows)))
        for row in self.rows:
            row.show(kernels, source, at)
        self.show()

    def clear(self) -> None:
        """Hide what was shown."""
        self.hide()


class KernelRow:
    """Pictures of one kernel; their captions stand below, or beside where there are several kernels."""

    def __init__(self, grid: QGridLayout, number: int) -> None:
        self.number = number
        self.kernel, self.qpi = QLabel(), QLabel()
        self.caption, self.qpi_caption, self.beside = hint_label(), hint_label(), hint_label()
        texts = {self.kernel: KERNEL_HELP, self.caption: KERNEL_HELP, self.beside: KERNEL_HELP}
        for label, text in (texts | {self.qpi: QPI_HELP, self.qpi_caption: QPI_HELP}).items():
            label.setToolTip(f"<p>{text}</p>")
        top = Qt.AlignmentFlag.AlignTop
        for column, picture in enumerate((self.kernel, self.qpi)):
            grid.addWidget(picture, 2 * number, column, Qt.AlignmentFlag.AlignCenter)
        grid.addWidget(self.beside, 2 * number, 2, Qt.AlignmentFlag.AlignVCenter)
        grid.addWidget(self.caption, 2 * number + 1, 0, top)
        grid.addWidget(self.qpi_caption, 2 * number + 1, 1, top)

    def show(self, kernels: Real, source: Source, at: int) -> None:
        """Show the kernel of this row's number, or nothing if there are fewer."""
        shown, several = self.number < len(kernels), len(kernels) > 1
        for label in (self.kernel, self.qpi):
            label.setVisible(shown)
        for label in (self.caption, self.qpi_caption):
            label.setVisible(shown and not several)
        self.beside.setVisible(shown and several)
        if not shown:
            return
        kernel = kernels[self.number]
        middle, side = kernel[at], SMALL_SIDE if several else SIDE
        top = float(np.abs(kernel).max()) or 1.0
        size = middle.shape[0] * source.pixel_size[0], middle.shape[1] * source.pixel_size[1]
        _paint(self.kernel, (middle / top + 1) / 2, _colours("kernel"), size, side)
        magnitude, reach = spectrum(middle)
        limits = np.pi * reach / source.pixel_size[0], np.pi * reach / source.pixel_size[1]
        _paint(self.qpi, magnitude / (magnitude.max() or 1.0), _colours("spectrum"), limits, side)
        first, second = _kernel_caption(kernel, size, source, at), _qpi_caption(limits, source.unit)
        self.caption.setText(f"Kernel<br>{first}")
        self.qpi_caption.setText(second)
        colour = QColor.fromRgbF(*RING_COLOURS[self.number % len(RING_COLOURS)]).name()
        ring = f"<span style='color: {colour}'>●</span>"
        self.beside.setText(f"{ring} Kernel {self.number + 1}<br>{first}<br><br>{second}")


def _kernel_caption(kernel: Real, size: tuple[float, float], source: Source, at: int) -> str:
    slices, rows, cols = kernel.shape
    unit = source.unit
    lines = [f"{rows} × {cols} px"]
    if unit != "px":
        lines.append(f"{size[0]:.3g} × {size[1]:.3g} {unit}")
    if slices > 1:
        lines.append(f"slice {at} of 0 to {slices - 1}")
    if len(source.energies) == slices > 1:
        lines.append(f"at {source.energies[at]:.3g} {source.energy_unit}".replace("-", "−"))
    return "<br>".join(lines)


def _qpi_caption(limits: tuple[float, float], unit: str) -> str:
    ends = dict.fromkeys(f"{limit:.2g}" for limit in limits)
    return f"QPI<br>|q| ≤ {', '.join(ends)} {'rad/px' if unit == 'px' else f'{unit}⁻¹'}"


@cache
def _colours(what: str) -> Any:
    """Colours (256, 3) for values from 0 to 1."""
    colours = Colormap(**DIVERGING) if what == "kernel" else ensure_colormap("inferno")
    return np.rint(255 * colours.map(np.linspace(0, 1, 256))[:, :3]).astype(np.uint8)


@lru_cache(maxsize=16)
def _enlarging(size: int, times: int) -> Real:
    """Matrix (times · size, size) of an enlargement by cubic splines, along one axis."""
    return np.asarray(ndimage.zoom(np.eye(size), (times, 1), order=3, mode="nearest", grid_mode=True))


def _paint(label: QLabel, values: Real, colours: Any, aspect: tuple[float, ...], side: int) -> None:
    """Draw values from 0 to 1 in a label, `side` pixels on screen along the longer side."""
    scale = side / max(aspect)
    ratio = label.devicePixelRatioF()
    width, height = (max(1, round(n * scale)) for n in (aspect[1], aspect[0]))
    wanted = QSize(round(width * ratio), round(height * ratio))
    times = -(-max(wanted.width(), wanted.height()) // min(values.shape))
    if times > 1:
        values = _enlarging(values.shape[0], times) @ values @ _enlarging(values.shape[1], times).T
    pixels = np.ascontiguousarray(colours[np.rint(255 * np.clip(values, 0, 1)).astype(int)])
    rows, cols = values.shape
    image = QImage(pixels.tobytes(), cols, rows, 3 * cols, QImage.Format.Format_RGB888)
    smooth = Qt.TransformationMode.SmoothTransformation
    image = image.scaled(wanted, Qt.AspectRatioMode.IgnoreAspectRatio, smooth)
    image.setDevicePixelRatio(ratio)
    label.setPixmap(QPixmap.fromImage(image))
