"""The table of defects as CSV, with units in its header."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd

from napari_sbd.io.whole import ending_in, write_whole

PIXELS = ("row", "col", "image_row", "image_col")
LENGTHS = ("x", "y")


def save_csv(table: pd.DataFrame, path: str | os.PathLike[str], unit: str = "px") -> Path:
    """Save a table of defects as CSV, UTF-8, every number with all its digits.

    Parameters
    ----------
    table : pandas.DataFrame
    path : str or path-like
        The ending ``.csv`` is added where there is none.
    unit : str
        Unit of length.

    Returns
    -------
    Path
    """
    headed = table.set_axis([header(name, unit) for name in table.columns], axis=1)
    return write_whole(
        ending_in(path, ".csv", ".txt"), headed.to_csv(index=False, lineterminator="\n").encode()
    )


def header(column: str, unit: str) -> str:
    """What the header of a CSV calls a column of the table.

    Examples
    --------
    >>> [header(name, "nm") for name in ("type", "row", "x_nm", "amplitude")]
    ['type', 'row (px)', 'x (nm)', 'amplitude']
    """
    found = unit_of(column, unit)
    return f"{column.removesuffix(f'_{unit}')} ({found})" if found else column


def unit_of(column: str, unit: str) -> str:
    """Unit of a column of the table of defects, empty where it is a number or in the image's own unit.

    Parameters
    ----------
    column : str
    unit : str
        Unit of length.
    """
    if column in PIXELS:
        return "px"
    return unit if column in [f"{name}_{unit}" for name in LENGTHS] else ""
