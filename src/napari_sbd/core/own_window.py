"""A window of its own for each type: around a small kernel, a window for a large one holds only noise."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np

from napari_sbd.core.descent import Iterate, Schedule
from napari_sbd.core.kernel_size import support
from napari_sbd.core.noise import grain, robust_std
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.steps import Snapshot, follow, frozen
from napari_sbd.core.symmetry import Orientation, Ties
from napari_sbd.core.tied import alternate, recentre_tied
from napari_sbd.core.verdict import residual_of
from napari_sbd.core.window import Pair

MUCH_SMALLER = 0.7  # of the common window's side, up to which a type gets a window of its own
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
    """The window that holds each type's shape, where it is much smaller; else the common one."""
    window = objective.convolution.kernel_shape
    rest = residual_of(objective, best)
    spread, extent = robust_std(rest[objective.mask]), grain(rest, objective.mask)
    windows = []
    for kind, shape in enumerate(ties.shapes(best.kernels)):
        size = float(np.linalg.norm(best.maps[ties.types == kind]))
        own = support(shape, spread / size, extent) if size > 0 else window
        small = all(k <= MUCH_SMALLER * whole for k, whole in zip(own, window, strict=True))
        windows.append(own if small else window)
    return tuple(windows)
