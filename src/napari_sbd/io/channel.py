"""Channel: one image, or one stack of energies, as a file holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.observation import Observation, observe
from napari_sbd.io.units import size_text

FORWARD, BACKWARD = "forward", "backward"
NO_PIXEL_SIZE = "no pixel size: the file gives none in a unit of length"


@dataclass(frozen=True, eq=False, repr=False)
class Channel:
    """One image, or one stack of images at several energies, as the instrument measured it.

    Row 0 is the top of the scan frame and column 0 its left, whichever way was scanned; the frame itself
    may lie rotated on the sample (`angle`). What was not measured is NaN.

    Parameters
    ----------
    name : str
        As the file calls it: ``"Z"``, ``"Current"``…
    data : array (rows, cols) or (slices, rows, cols)
        As stored, in `unit`; native byte order.
    unit : str
        Unit of the values, empty where the file names none.
    pixel_size_nm : tuple of float, optional
        Length of a pixel (along rows, along columns) in nm; None where the file names none.
    energies : array (slices,), optional
        Where in the sweep each slice was measured, in `energy_unit`.
    energy_unit : str
        ``"V"`` for a bias sweep.
    angle : float
        By how many degrees the scan frame is rotated, as the file says it (Nanonis: clockwise).
    direction : str
        ``"forward"``, ``"backward"`` (already mirrored back), or empty.
    header : mapping
        What the file says besides.
    notes : tuple of str
        What is worth knowing about this file: unfinished, no calibration…

    Examples
    --------
    >>> channel = Channel("Z", np.eye(4), "m", (0.1, 0.2))
    >>> channel.label, channel.observation().pixel_size
    ('Z', (0.1, 0.2))
    >>> channel
    <Channel Z: 4×4 px, 0.4×0.8 nm (0.1×0.2 nm/px), in m>
    """

    name: str
    data: NDArray[Any]
    unit: str = ""
    pixel_size_nm: tuple[float, float] | None = None
    energies: NDArray[np.floating] | None = None
    energy_unit: str = ""
    angle: float = 0.0
    direction: str = ""
    header: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Channel {self.label}: {self.summary}>"

    @property
    def label(self) -> str:
        """Name, and direction where that is backward."""
        return f"{self.name} {BACKWARD}" if self.direction == BACKWARD else self.name

    @property
    def summary(self) -> str:
        """Sizes, unit, energies, angle and notes in one line."""
        coloured = self.data.ndim == 3 and self.data.shape[-1] in (3, 4) and self.energies is None
        rows, cols = self.data.shape[:2] if coloured else self.data.shape[-2:]
        parts = [f"{rows}×{cols} px"]
        size = self.pixel_size_nm
        if size:
            whole = size_text(rows * size[0], cols * size[1], "nm", "×")
            pixel = f"{size[0]:.4g}" if size[0] == size[1] else f"{size[0]:.4g}×{size[1]:.4g}"
            parts.append(f"{whole} ({pixel} nm/px)")
        elif not self.notes:
            parts.append("no pixel size")
        if self.unit:
            parts.append(f"in {self.unit}")
        if self.energies is not None:
            first, last = self.energies[0], self.energies[-1]
            parts.append(f"{len(self.energies)} energies from {first:.4g} to {last:.4g} {self.energy_unit}")
        elif self.data.ndim == 3 and not coloured:
            parts.append(f"{len(self.data)} images")
        if self.angle:
            parts.append(f"rotated by {self.angle:g}°")
        return ", ".join((*parts, *self.notes))

    @property
    def is_topograph(self) -> bool:
        """Whether this is the height of the surface, measured forward; at constant height there is none."""
        height = self.data.ndim == 2 and self.unit == "m" and self.direction != BACKWARD
        return height and bool(np.nanmax(self.data, initial=-np.inf) > np.nanmin(self.data, initial=np.inf))

    def observation(self, mask: Any = None) -> Observation:
        """Observation of this channel; raises what `napari_sbd.observe` raises."""
        size = self.pixel_size_nm
        return observe(
            self.data, mask=mask, pixel_size=size or 1.0, unit="nm" if size else "px", name=self.label
        )


def pixel_size(rows: float, cols: float) -> tuple[float, float] | None:
    """Pixel size in nm, or None where it is none: zero, negative, NaN or infinite.

    Examples
    --------
    >>> pixel_size(0.1, 0.2), pixel_size(0, 1)
    ((0.1, 0.2), None)
    """
    good = np.isfinite([rows, cols]).all() and rows > 0 and cols > 0
    return (float(rows), float(cols)) if good else None
