"""Correlations of a residual that follow amplitudes while kernels stay, without another look at the image."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from napari_sbd.core.objective import Objective
from napari_sbd.core.sites import Sites
from napari_sbd.core.support_model import correlations
from napari_sbd.core.tiles import Active

Real = NDArray[np.floating]

SLIGHT = 1e-4  # of the largest amplitude: changes below leave correlations as they are


class HeldSlopes:
    """Correlation of kernels with what amplitudes leave of the image, for every place of the extended maps.

    An amplitude that changes by d takes `d · R` off the correlations around it, R those of the kernels with
    its atom.

    Parameters
    ----------
    objective : Objective
    kernels : array (types, slices, k1, k2)
    active : Active
        Amplitudes to begin with.

    Attributes
    ----------
    values : array (types, n1 + k1 - 1, n2 + k2 - 1)
    """

    def __init__(self, objective: Objective, kernels: Real, active: Active) -> None:
        self.objective, self.kernels, self.active = objective, kernels, active
        self.values = np.empty((len(kernels), *objective.convolution.map_shape), kernels.dtype)
        for tile, _, slope in objective.slopes(kernels, active):
            self.values[:, tile.rows, tile.cols] = slope
        self._table = correlations(kernels)
        self._means = np.zeros(kernels.shape[1])

    def follow(self, active: Active) -> None:
        """Go over to other amplitudes."""
        change = _change(self.active, active, self.values.shape)
        self.active = active
        if not len(change.values):
            return
        sites = Sites(change.kinds, change.rows, change.cols)
        cut = self.objective.field.cut(sites)
        (k1, k2), (rows, cols) = self.kernels.shape[2:], self.values.shape[1:]
        places = zip(sites.kinds.tolist(), sites.rows.tolist(), sites.cols.tolist(), strict=True)
        for (kind, row, col), amount, hidden in zip(places, change.values, cut.tolist(), strict=True):
            table = self._with_cut(kind, row, col) if hidden else self._table[:, kind]
            top, left = max(0, row - k1 + 1), max(0, col - k2 + 1)
            bottom, right = min(rows, row + k1), min(cols, col + k2)
            down, across = top - row + k1 - 1, left - col + k2 - 1
            self.values[:, top:bottom, left:right] -= (
                amount * table[:, down : down + bottom - top, across : across + right - left]
            )
        self._follow_bias(sites, change.values)

    def _with_cut(self, kind: int, row: int, col: int) -> Real:
        """Correlations of all kernels with an atom of which pixels do not count."""
        views = sliding_window_view(self.objective.field.outside, self.kernels.shape[2:], axis=(1, 2))
        atom = np.where(views[:, row, col], 0, self.kernels[kind])
        return correlations(self.kernels, atom[None])[:, 0]

    def _follow_bias(self, sites: Sites, change: Real) -> None:
        """Take over what the change does to the bias, which is the residual's mean."""
        field = self.objective.field
        self._means += change.astype(float) @ field.seen_sums(self.kernels, sites) / field.count
        shown = self.kernels * self._means[None, :, None, None].astype(change.dtype)
        if np.abs(shown).sum((1, 2, 3)).max() <= SLIGHT * np.abs(self.active.values).max(initial=0):
            return
        self._means[:] = 0
        for tile, part in self.objective.seen_sums(shown):
            self.values[:, tile.rows, tile.cols] += part


def _change(before: Active, after: Active, shape: tuple[int, ...]) -> Active:
    """What is to be added to amplitudes for others."""
    labels = [np.ravel_multi_index((a.kinds, a.rows, a.cols), shape) for a in (before, after)]
    places, numbers = np.unique(np.concatenate(labels), return_inverse=True)
    values = np.bincount(numbers, np.concatenate([-before.values, after.values]), len(places))
    much = np.abs(values) > SLIGHT * np.abs(after.values).max(initial=0)
    kinds, rows, cols = np.unravel_index(places[much], shape)
    return Active(kinds, rows, cols, values[much].astype(after.values.dtype))
