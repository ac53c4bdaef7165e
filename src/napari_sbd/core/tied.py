"""The descent with tied kernels: all orientations of a shape are fitted as one.

Maps and kernels by turns, as in the engine; the kernel step is the minimum of ψ in the shapes on their
spheres, with their kernels as linear images of them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, cg

from napari_sbd.core.alternation import alternate as free
from napari_sbd.core.alternation import crowded, fit_maps
from napari_sbd.core.descent import Iterate, Schedule
from napari_sbd.core.kernel_fit import MOST_STEPS, TOLERANCE, normal_equations
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.sphere import norms, project
from napari_sbd.core.sphere_quadratic import minimise_on_sphere
from napari_sbd.core.symmetry import Ties

Real = NDArray[np.floating]

ONE = Schedule(1)  # step in the maps from one kernel step to the next
SOME = Schedule(10, 1e-3)  # the same where so many places are active that a step is not exact


def alternate(
    objective: Objective,
    kernels: Real,
    maps: Real,
    penalty: Penalty,
    schedule: Schedule,
    screened: bool = False,
) -> Iterator[Iterate]:
    """Minimise ψ in maps and kernels by turns, from these on; kernels stay tied as the penalty says."""
    if penalty.ties is None:
        return free(objective, kernels, maps, penalty, schedule, screened)
    return _alternate(objective, kernels, maps, penalty, schedule, penalty.ties)


def _alternate(
    objective: Objective, kernels: Real, maps: Real, penalty: Penalty, schedule: Schedule, ties: Ties
) -> Iterator[Iterate]:
    here = Iterate(ties.tied(kernels), maps, np.inf)
    for _ in range(schedule.steps):
        steps = SOME if crowded(int(np.count_nonzero(here.maps)), here.maps) else ONE
        *_, here = fit_maps(objective, here.kernels, here.maps, penalty, steps)
        if not here.maps.any():
            yield here
            return
        before = here.kernels
        here = tied_kernels(objective, here, ties)
        yield here
        moved = np.linalg.norm((here.kernels - before).reshape(len(before), -1), axis=1).max()
        if moved < schedule.tolerance:
            return


def tied_kernels(objective: Objective, found: Iterate, ties: Ties) -> Iterate:
    """The best shapes for maps that stay, type after type, and their kernels; all of unit norm."""
    normal, linear = normal_equations(objective, found.maps)
    kernels, dtype = found.kernels.astype(float), found.kernels.dtype
    shapes = ties.shapes(kernels)
    factors = 1 / norms(ties.spread(shapes))

    def product(shapes: Real) -> Real:
        seen = factors * ties.spread(shapes)
        return np.asarray(ties.gather(factors * np.reshape(normal(seen.ravel()), seen.shape)))

    pull = ties.gather(factors * linear)
    for kind in range(len(shapes)):
        alone = np.zeros_like(shapes)

        def of_one(flat: Real, kind: int = kind, alone: Real = alone) -> Real:
            alone[kind] = flat.reshape(alone.shape[1:])
            return np.asarray(product(alone)[kind].ravel())

        others = shapes.copy()
        others[kind] = 0
        right = (pull - product(others))[kind].ravel() if len(shapes) > 1 else pull[kind].ravel()
        if found.maps[ties.types == kind].any() and np.any(right):
            flat, _ = minimise_on_sphere(of_one, right, shapes[kind].ravel())
            shapes[kind] = flat.reshape(shapes.shape[1:])
    seen = factors * ties.spread(shapes)
    size = norms(seen)
    maps = found.maps * size.reshape(-1, 1, 1).astype(found.maps.dtype)
    return Iterate((seen / size).astype(dtype), maps, found.objective)


def fit_tied(objective: Objective, maps: Real, ties: Ties, like: Real) -> Iterate:
    """Shapes by least squares for maps that are known, as `fit_kernels`; kernels `like` tell their norms."""
    normal, linear = normal_equations(objective, maps)
    factors = 1 / norms(ties.spread(ties.shapes(like.astype(float))))
    shape = (len(ties.first), *like.shape[1:])

    def product(flat: Real) -> Real:
        seen = factors * ties.spread(flat.reshape(shape))
        return ties.gather(factors * np.reshape(normal(seen.ravel()), seen.shape)).ravel()

    right = ties.gather(factors * linear.astype(float)).ravel()
    operator = LinearOperator((right.size, right.size), matvec=product, dtype=np.float64)
    flat, _ = cg(operator, right, rtol=TOLERANCE, maxiter=MOST_STEPS)
    seen = factors * ties.spread(flat.reshape(shape))
    scaled = maps * norms(seen).reshape(-1, 1, 1).astype(maps.dtype)
    return Iterate(project(seen).astype(maps.dtype), scaled, np.inf)
