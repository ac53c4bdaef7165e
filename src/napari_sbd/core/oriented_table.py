"""The table of defects where types have orientations."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import spatial

from napari_sbd.core.peaks import REACH
from napari_sbd.core.symmetry import Ties

COLUMNS = ("orientation", "mirrored")


def oriented_table(table: pd.DataFrame, ties: Ties) -> pd.DataFrame:
    """A table of candidates by type and orientation instead of by kernel.

    A defect has one orientation: of two at one place the weaker is odd.

    Parameters
    ----------
    table : pandas.DataFrame
        See `napari_sbd.core.defects.candidate_table`; `type` is the number of the kernel.
    ties : Ties

    Returns
    -------
    pandas.DataFrame
        With the columns `orientation` (degrees, counter-clockwise as seen with rows downwards) and, where
        shapes may be mirrored, `mirrored` (left to right, before it is turned).

    Examples
    --------
    >>> from napari_sbd.core.symmetry import group_of
    >>> columns = {"type": [0, 1], "row": 5.0, "col": 9.0, "amplitude": [1.0, 3.0], "snr": 9.0, "odd": False}
    >>> oriented_table(pd.DataFrame(columns), group_of("c2"))[["type", "orientation", "odd"]].values.tolist()
    [[0, 180.0, False], [0, 0.0, True]]
    """
    kernel = table["type"].to_numpy(int)
    ways = [ties.orientations[number] for number in kernel]
    found = table.assign(type=ties.types[kernel], odd=table["odd"] | _doubled(table, ties.types[kernel]))
    column = list(table.columns).index("snr") + 1
    if any(how.mirrored for how in ties.orientations):
        found.insert(column, "mirrored", np.array([how.mirrored for how in ways], bool))
    found.insert(column, "orientation", np.array([how.angle for how in ways], float))
    order = np.lexsort([-found["amplitude"].abs().to_numpy(float), found["type"].to_numpy(int)])
    return found.iloc[order].reset_index(drop=True)


def _doubled(table: pd.DataFrame, types: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which rows are the weaker of two orientations of one type at one place."""
    doubled = np.zeros(len(table), bool)
    if not len(table):
        return doubled
    kernel, size = table["type"].to_numpy(int), table["amplitude"].abs().to_numpy(float)
    tree = spatial.KDTree(table[["row", "col"]].to_numpy(float))
    first, second = tree.query_pairs(REACH, output_type="ndarray").T
    same = (types[first] == types[second]) & (kernel[first] != kernel[second])
    first, second = first[same], second[same]
    doubled[np.where(size[first] < size[second], first, second)] = True
    return doubled
