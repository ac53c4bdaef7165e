"""Preview of a recipe in the dock: image and Fourier transform, before and after."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.utils.colormaps import ensure_colormap
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from napari_sbd.prepare.look import Look, spectrum
from napari_sbd.widgets.fields import hint_label

Real = NDArray[np.floating]

SIDE = 160  # px on screen
GREY_LIMITS = (0.5, 99.5)  # percentiles
POWER_LIMITS = (40.0, 99.97)
MASKED = (235, 125, 40)  # colour of what does not count
PEAK = "#35d0ff"
MOST_PEAKS = 60  # that are ringed; hundreds would hide the picture
IMAGE_HELP = "The image {} these steps. Orange: masked, it does not count."
POWER_HELP = (
    "Fourier transform {} these steps, logarithmic, q = 0 in the middle. Sharp spots are a lattice, a bright "
    "vertical or horizontal streak is hum or jumps between lines. {}"
)
RINGED = "Blue rings: peaks that a step has found."


class PreparePreview(QWidget):
    """Two pictures of the image and two of its Fourier transform; hidden while empty."""

    def __init__(self) -> None:
        super().__init__()
        self.images, self.powers = (QLabel(), QLabel()), (QLabel(), QLabel())
        self.hint = hint_label()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 4, 0, 0)
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(2, 1)
        for column, when in enumerate(("before", "after")):
            image, power = self.images[column], self.powers[column]
            image.setToolTip(f"<p>{IMAGE_HELP.format(when)}</p>")
            power.setToolTip(f"<p>{POWER_HELP.format(when, '' if column else RINGED)}</p>")
            title = QLabel(when.capitalize())
            grid.addWidget(title, 0, column, Qt.AlignmentFlag.AlignHCenter)
            for row, picture in enumerate((image, power), 1):
                grid.addWidget(picture, row, column, Qt.AlignmentFlag.AlignCenter)
        grid.addWidget(self.hint, 3, 0, 1, 3)
        self.hide()

    def show_look(self, look: Look, aspect: float = 1.0) -> None:
        """Show what a recipe does.

        Parameters
        ----------
        look : Look
        aspect : float
            Height of a pixel over its width.
        """
        for label, image in zip(self.images, (look.before, look.after), strict=True):
            _paint(label, _grey(image), (image.shape[0] * aspect, image.shape[1]))
        before, after = spectrum(look.before), spectrum(look.after)
        limits = np.percentile(before, POWER_LIMITS)
        peaks = look.peaks[:MOST_PEAKS]
        for label, power, ringed in zip(self.powers, (before, after), (peaks, peaks[:0]), strict=True):
            # Of square pixels the transform is square, whatever the image's shape.
            _paint(label, _coloured(power, limits), (1.0, aspect), _places(ringed))
        rows, cols = look.before.shape
        parts = [f"The middle {rows} × {cols} px." if look.part else f"{rows} × {cols} px."]
        if np.isnan(look.after).any():
            parts.append(f"<span style='color: rgb{MASKED}'>■</span> masked")
        if len(look.peaks):
            parts.append(f"<span style='color: {PEAK}'>○</span> peaks found")
        self.hint.setText(" &nbsp; ".join(parts))
        self.show()


def _grey(image: Real) -> NDArray[np.uint8]:
    """Grey values as red, green and blue; what is NaN in its own colour."""
    seen = np.isfinite(image)
    low, high = np.percentile(image[seen], GREY_LIMITS) if seen.any() else (0.0, 1.0)
    values = np.clip((np.where(seen, image, low) - low) / ((high - low) or 1.0), 0, 1)
    colours = np.repeat(np.rint(255 * values).astype(np.uint8)[..., None], 3, axis=2)
    colours[~seen] = MASKED
    return colours


def _coloured(power: Real, limits: Any) -> NDArray[np.uint8]:
    low, high = limits
    values = np.clip((power - low) / ((high - low) or 1.0), 0, 1)
    # A table is far quicker than to ask the colormap for each pixel.
    table = ensure_colormap("inferno").map(np.linspace(0, 1, 256))[:, :3]
    colours: NDArray[np.uint8] = np.rint(255 * table).astype(np.uint8)
    return np.asarray(colours[np.rint(255 * values).astype(np.uint8)])


def _places(peaks: Real) -> Real:
    """Where peaks lie in the picture, as shares of its height and width; each with its mirror image."""
    both = np.concatenate([peaks, -peaks]).reshape(-1, 2)
    return np.asarray(0.5 + both)


def _paint(
    label: QLabel, colours: NDArray[np.uint8], size: tuple[float, float], rings: Real | None = None
) -> None:
    """Draw a picture in a label, `SIDE` pixels on screen along the longer side."""
    rows, cols = colours.shape[:2]
    image = QImage(np.ascontiguousarray(colours).tobytes(), cols, rows, 3 * cols, QImage.Format.Format_RGB888)
    ratio = label.devicePixelRatioF()
    scale = SIDE / max(size)
    height, width = (max(1, round(n * scale * ratio)) for n in size)
    small = image.scaled(
        width, height, Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.SmoothTransformation
    )
    pixels = QPixmap.fromImage(small)
    if rings is not None and len(rings):
        painter = QPainter(pixels)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor(PEAK), 1.2 * ratio))
        for row, col in rings:
            painter.drawEllipse(QPointF(col * width, row * height), 4.0 * ratio, 4.0 * ratio)
        painter.end()
    pixels.setDevicePixelRatio(ratio)
    label.setPixmap(pixels)
