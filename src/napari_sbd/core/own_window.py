"""A window of its own for each type: around a small kernel, a window for a large one holds only noise."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np

from napari_sbd.core.descent import Iterate, Schedule
from napari_sbd.core.objective import Objective, Penalty, misfit
from napari_sbd.core.parameters import SMALLEST_WINDOW
from napari_sbd.core.steps import Snapshot, follow, frozen
from napari_sbd.core.symmetry import Orientation, Ties
from napari_sbd.core.tied import alternate, fit_tied
from napari_sbd.core.tied_moves import recentre_tied
from napari_sbd.core.verdict import residual_of
from napari_sbd.core.window import Pair

SHARES = (0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6)  # of the common window's side, that own windows have
PRICE = 1.3  # of a pixel: noise alone lowers the misfit by 1.0 to 1.3
SETTLE = Schedule(8, 1e-4)


def with_own_windows(
    objective: Objective, best: Iterate, penalty: Penalty
) -> Generator[Snapshot, None, tuple[Iterate, Penalty]]:
    """Where types differ much in size, the small ones cut to their own windows; pixels outside are zero.

    Parameters
    ----------
    objective : Objective
    best : Iterate
        Of several types.
    penalty : Penalty

    Returns
    -------
    best : Iterate
    penalty : Penalty
        Says with its ties which window each type has.
    """
    ties = penalty.ties or Ties(tuple(Orientation(kind) for kind in range(len(best.kernels))))
    window = objective.convolution.kernel_shape
    windows = _windows(objective, best, ties)
    if len(windows) < 2 or all(own == window for own in windows):
        return best, penalty
    ties = replace(ties, windows=windows)
    kernels, maps = best.kernels, best.maps
    for kind, own in enumerate(windows):
        if own != window:
            kernels, maps, _ = recentre_tied(kernels, maps, own, ties, only=kind)
    penalty = replace(penalty, ties=ties)
    begin = replace(best, kernels=kernels, maps=maps)
    steps = alternate(objective, kernels, maps, frozen(begin, penalty), SETTLE)
    cut = yield from follow(steps, "refine", penalty.lam, 0, begin)
    return cut, penalty


def _windows(objective: Objective, best: Iterate, ties: Ties) -> tuple[Pair, ...]:
    """The window of each type: the common one, or the smaller one that describes the image in least.

    A pixel has its price in misfit: what it lowers less is noise, and is cut.
    """
    window = objective.convolution.kernel_shape
    count, windows = int(objective.mask.sum()), []
    for kind in range(len(ties.first)):
        costs = {}
        for share in (1.0, *SHARES):
            rows, cols = (max(SMALLEST_WINDOW, int(share * k) | 1) if share < 1 else k for k in window)
            own = rows, cols
            costs[own] = count * np.log(_misfit(objective, best, ties, kind, own)) + PRICE * np.prod(own)
        windows.append(min(costs, key=lambda own: costs[own]))
    if window not in windows:
        # The common window was made for the largest.
        windows[int(np.argmax(np.prod(windows, axis=1)))] = window
    return tuple(windows)


def _misfit(objective: Objective, best: Iterate, ties: Ties, kind: int, own: Pair) -> float:
    """Misfit of the kernels that fit best with these maps, where one type is cut to a window."""
    window = objective.convolution.kernel_shape
    windows = [window] * len(ties.first)
    windows[kind] = own
    cut = replace(ties, windows=tuple(windows))
    kernels, maps, _ = recentre_tied(best.kernels, best.maps, own, cut, only=kind)
    fitted = fit_tied(objective, maps, cut, kernels)
    return max(misfit(residual_of(objective, fitted)), float(np.finfo(float).tiny))
