"""Lines that show the orientation of each defect, from its centre outward."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Real = NDArray[np.floating]

MIRRORED_PALENESS = 0.6
LONGEST = 1.0  # of a ring's diameter


def lines(table: pd.DataFrame, diameter: float, pixel_size: tuple[float, float]) -> Real:
    """Lines (n, 2, 2), each begin and length (row, col): to the right for 0°, counter-clockwise from there.

    Parameters
    ----------
    table : pandas.DataFrame
        Of defects, with their orientation.
    diameter : float
        Of a ring, in pixels.
    pixel_size : tuple of float

    Examples
    --------
    >>> table = pd.DataFrame({"row": [5.0], "col": [7.0], "orientation": [90.0]})
    >>> lines(table, 4.0, (1.0, 1.0)).round(9).tolist()
    [[[5.0, 7.0], [-4.0, 0.0]]]
    """
    angle = np.deg2rad(table["orientation"].to_numpy(float))
    reach = LONGEST * diameter * np.sqrt(pixel_size[0] * pixel_size[1]) / np.array(pixel_size)
    along = np.column_stack([-np.sin(angle), np.cos(angle)]) * reach
    return np.stack([table[["row", "col"]].to_numpy(float), along], axis=1)


def line_attributes(table: pd.DataFrame, colours: Real, width: float) -> dict[str, Any]:
    """Attributes of a vectors layer of lines in the colours (n, 4) of their rings, paler where mirrored."""
    colours = colours.copy()
    if "mirrored" in table:
        pale = table["mirrored"].to_numpy(bool)
        colours[pale, :3] += MIRRORED_PALENESS * (1 - colours[pale, :3])
    return {
        "features": table.copy(),
        "ndim": 2,
        "edge_color": colours if len(table) else "white",
        "edge_width": width,
        "length": 1.0,
        "vector_style": "line",
    }


def update_lines(layer: Any, data: Real, attributes: dict[str, Any]) -> None:
    """Show other lines in a vectors layer."""
    layer.data = data
    layer.features = attributes["features"]
    if len(data):
        layer.edge_color = attributes["edge_color"]
    layer.refresh()
