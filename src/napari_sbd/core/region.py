"""The region of a large image in which the kernel is sought before the whole image is used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.objective import Objective
from napari_sbd.core.start import salience
from napari_sbd.core.window import richest_window

Real = NDArray[np.floating]

SMALLEST_SIDE = 256  # px
WINDOWS_A_SIDE = 8


@dataclass(frozen=True)
class Region:
    """Corner (row, col) and shape of a rectangle of the frame."""

    corner: tuple[int, int]
    shape: tuple[int, int]

    def cut(self, objective: Objective) -> Objective:
        """The objective of the region alone."""
        rows, cols = (slice(c, c + n) for c, n in zip(self.corner, self.shape, strict=True))
        inside = (slice(None), rows, cols)
        return Objective(objective.data[inside], objective.mask[inside], objective.convolution.kernel_shape)

    def embed(self, maps: Real, map_shape: tuple[int, int]) -> Real:
        """Lay the region's extended maps on those of the whole frame, zero elsewhere."""
        whole = np.zeros((len(maps), *map_shape), maps.dtype)
        rows, cols = (slice(c, c + n) for c, n in zip(self.corner, maps.shape[1:], strict=True))
        whole[:, rows, cols] = maps
        return whole


def search_region(objective: Objective) -> Region:
    """The richest rectangle of at most 256 px or eight windows a side; the whole frame if it is no larger."""
    shape = objective.convolution.image_shape
    window = objective.convolution.kernel_shape
    sides = tuple(min(n, max(SMALLEST_SIDE, WINDOWS_A_SIDE * k)) for n, k in zip(shape, window, strict=True))
    sides = (sides[0], sides[1])
    if sides == shape:
        return Region((0, 0), shape)
    energy = np.sqrt(salience(objective.data, objective.mask, window))
    return Region(richest_window(energy, sides), sides)
