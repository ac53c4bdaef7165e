"""The region of a large image in which the kernel is sought before the whole image is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.objective import Objective
from napari_sbd.core.start import QUIET_PERCENTILE, coarse_energy
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
        return Objective(
            self.seen(objective.data),
            self.seen(objective.mask),
            objective.convolution.kernel_shape,
            objective.device,
        )

    def seen(self, array: NDArray[Any]) -> NDArray[Any]:
        """What of an array (slices, rows, cols) lies inside."""
        rows, cols = (slice(c, c + n) for c, n in zip(self.corner, self.shape, strict=True))
        return array[:, rows, cols]

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
    energy, step = coarse_energy(objective.data, objective.mask, window)
    quiet = np.percentile(energy, QUIET_PERCENTILE)
    coarse = (sides[0] // step, sides[1] // step)
    corner = richest_window(np.sqrt(np.maximum(energy - quiet, 0)), coarse)
    row, col = (min(c * step, n - side) for c, n, side in zip(corner, shape, sides, strict=True))
    return Region((row, col), sides)
