"""Frame: where the pixels of a prepared image lie in the image as it was given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_sbd.layers.source import Matrix, Source

Real = NDArray[np.floating]


@dataclass(frozen=True)
class Frame:
    """Where the pixels of a prepared image lie in the image as it was given.

    Parameters
    ----------
    matrix : nested tuple of float
        Takes (row, col, 1) of the prepared image's pixels to those of the image given.
    pixel_size : tuple of float
        Length of a pixel of the image given, along rows and columns.

    Examples
    --------
    >>> frame = Frame(((2.0, 0.0, 10.5), (0.0, 2.0, 0.5), (0.0, 0.0, 1.0)), (0.1, 0.1))
    >>> frame.original([[1, 3]]).tolist(), frame.prepared([[12.5, 6.5]]).tolist()
    ([[12.5, 6.5]], [[1.0, 3.0]])
    """

    matrix: Matrix
    pixel_size: tuple[float, float] = (1.0, 1.0)

    def original(self, points: Any) -> Real:
        """Positions (…, 2) of the prepared image, in pixels, as positions in the image given."""
        return _moved(np.array(self.matrix), points)

    def prepared(self, points: Any) -> Real:
        """Positions (…, 2) of the image given, in pixels, as positions in the prepared one."""
        return _moved(np.linalg.inv(self.matrix), points)

    def placed(self, table: pd.DataFrame, unit: str) -> pd.DataFrame:
        """A table of defects whose lengths count from the first pixel of the image given.

        Columns `image_row` and `image_col` are added: positions in that image, in its pixels.
        """
        places = self.original(table[["row", "col"]].to_numpy(float))
        begin = self.original([0.0, 0.0]) * self.pixel_size
        new = table.copy()
        for axis, name in enumerate(("y", "x")):
            new[f"{name}_{unit}"] += begin[axis]
        after = list(new.columns).index(f"x_{unit}")
        for axis, name in enumerate(("image_row", "image_col")):
            new.insert(after + 1 + axis, name, places[:, axis])
        return new


def straight_source(source: Source, frame: Frame, pixel_size: tuple[float, float]) -> Source:
    """Source of a prepared image laid out in its own geometry, its first pixel where it lies in the image.

    Parameters
    ----------
    source : Source
        Of the image as it was given.
    frame : Frame
    pixel_size : tuple of float
        Length of a pixel of the prepared image.
    """
    ratios = np.divide(pixel_size, frame.pixel_size)
    begin = source.placed(tuple(frame.original([0.0, 0.0])))["translate"]
    scale = tuple((np.array(source.scale) * ratios).tolist())
    size = tuple(float(n) for n in pixel_size) if source.unit == "px" or source.true_size else None
    true_size = None if size is None else (size[0], size[1])
    return replace(source, scale=scale, translate=begin, true_size=true_size)


def overlaid_source(source: Source, frame: Frame, pixel_size: tuple[float, float]) -> Source:
    """Source of a prepared image laid over the image given, so that each pixel lies where it was.

    Parameters as of `straight_source`, which it equals unless the geometry was changed.
    """
    straight = straight_source(source, frame, pixel_size)
    wanted = source.matrix @ np.array(frame.matrix)
    if np.allclose(straight.matrix, wanted, rtol=0, atol=1e-9 * float(np.abs(wanted).max())):
        return straight
    affine = wanted @ np.linalg.inv(np.linalg.inv(straight.affine) @ straight.matrix)
    nested = tuple(tuple(row) for row in affine.tolist())
    return replace(straight, affine=nested, true_size=(float(pixel_size[0]), float(pixel_size[1])))


def _moved(matrix: Real, points: Any) -> Real:
    given = np.asarray(points, float)
    return np.asarray(given @ matrix[:2, :2].T + matrix[:2, 2])
