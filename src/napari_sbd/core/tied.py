"""The descent with tied kernels: all orientations of a shape are fitted as one.

Maps and kernels by turns, as in the engine; the kernel step is the minimum of ψ in the shapes on their
spheres, with their kernels as linear images of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse.linalg import LinearOperator, cg

from napari_sbd.core.alternation import alternate as free
from napari_sbd.core.alternation import crowded, fit_maps
from napari_sbd.core.atoms import Atoms, atoms_of, fit_atoms
from napari_sbd.core.defects import WEAKEST, typical_amplitude
from napari_sbd.core.descent import Iterate, Schedule
from napari_sbd.core.kernel_fit import MOST_STEPS, TOLERANCE, normal_equations
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.quality import best_shift, signed_similarity
from napari_sbd.core.sphere import norms, project
from napari_sbd.core.sphere_quadratic import minimise_on_sphere
from napari_sbd.core.subpixel import common_offset, on_pixels
from napari_sbd.core.symmetry import ALIKE, Ties, similarity_of
from napari_sbd.core.window import Pair, richest_window, shift

Real = NDArray[np.floating]

ONE = Schedule(1)  # step in the maps from one kernel step to the next
FARTHEST = 3  # px, that a shape is moved so that its defects come on to the pixels
NEARER = 0.5  # of the cost, for which it is moved farther
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
        if (
            float(np.linalg.norm((here.kernels - before).reshape(len(before), -1), axis=1).max())
            < schedule.tolerance
        ):
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


def recentre_tied(
    kernels: Real, maps: Real, shape: Pair, ties: Ties, only: int | None = None
) -> tuple[Real, Real, bool]:
    """Move each shape so that its window of largest energy is the middle one, as `recentre` does kernels."""
    shapes, maps, moved = ties.shapes(kernels).copy(), maps.copy(), False
    middle = [(n - k) // 2 for n, k in zip(kernels.shape[-2:], shape, strict=True)]
    for kind, form in enumerate(shapes):
        corner = richest_window(np.square(form, dtype=float).sum(0), shape)
        move = (middle[0] - corner[0], middle[1] - corner[1])
        if any(move) and only in (None, kind):
            shapes[kind] = shift(form, move)
            for number in ties.members(kind):
                down, right = np.rint(ties.moved(number, move)).astype(int)
                maps[number] = shift(maps[number], (-int(down), -int(right)))
            moved = True
    return ties.of_shapes(shapes), maps, moved


def one_of_alike(found: Iterate, penalty: Penalty) -> tuple[Iterate, Penalty]:
    """Without orientations in which a shape looks as in another: their activations go to that one."""
    ties, similarity = penalty.ties, similarity_of(not penalty.nonnegative)
    if ties is None:
        return found, penalty
    maps, kept = found.maps.copy(), np.ones(len(found.maps), bool)
    for number in range(1, len(maps)):
        for other in np.flatnonzero(kept[:number] & (ties.types[:number] == ties.types[number])):
            one, its = found.kernels[number], found.kernels[other]
            if similarity(one, its) >= ALIKE:
                sign = np.sign(signed_similarity(one, its))
                maps[other] += sign * shift(maps[number], best_shift(one, its))
                kept[number] = False
                break
    if kept.all():
        return found, penalty
    return Iterate(found.kernels[kept], maps[kept], found.objective), replace(penalty, ties=ties.chosen(kept))


def snap_tied(objective: Objective, found: Iterate, ties: Ties) -> Iterate:
    """Move each shape such that the defects of all its orientations come on to the pixels, as `snap` does.

    Turning a shape about another point than the one that its defects have on the pixels puts those that are
    turned between them: of whole pixels, the shape is moved by those that explain the offsets of all.
    """
    atoms = _strong_atoms(found, ties)
    if crowded(len(atoms.kinds), found.maps):
        return found
    fitted = fit_atoms(objective, found.kernels, atoms)
    shapes, maps, changed = ties.shapes(found.kernels).copy(), found.maps.copy(), False
    groups = [fitted.kinds == number for number in range(len(found.maps))]
    offsets = np.array([common_offset(fitted.centres[g], fitted.amplitudes[g]) for g in groups])
    for kind, first in enumerate(ties.first):
        members = ties.members(kind)
        move = _common_move(offsets, members, first, ties, [int(g.sum()) for g in groups])
        if move.any():
            shapes[kind] = [ndimage.shift(a, move, order=5, mode="constant") for a in shapes[kind]]
            for number in members:
                own, moved = fitted.chosen(groups[number]), ties.moved(number, move)
                maps[number] = on_pixels(own, moved, maps[number])
            changed = True
    return replace(found, kernels=ties.of_shapes(shapes), maps=maps) if changed else found


def _strong_atoms(found: Iterate, ties: Ties) -> Atoms:
    """The defects that are not weak against the typical one of their type, in whatever orientation."""
    atoms = atoms_of(found)
    size, types = np.abs(atoms.amplitudes), ties.types[atoms.kinds]
    strong = np.zeros(len(size), bool)
    for kind in np.unique(types):
        here = types == kind
        strong[here] = size[here] >= WEAKEST * typical_amplitude(size[here])
    return atoms.chosen(strong)


def _common_move(offsets: Real, members: list[int], first: int, ties: Ties, counts: list[int]) -> Real:
    """The move of a shape that brings the defects of its orientations nearest to the pixels."""
    best, least = np.zeros(2), np.inf
    steps = sorted(
        product(range(-FARTHEST, FARTHEST + 1), repeat=2), key=lambda step: np.hypot(step[0], step[1])
    )
    for step in steps:
        move = offsets[first] + step
        rests = [offsets[n] - ties.moved(n, move) for n in members]
        cost = sum(
            counts[n] * float(np.sum((r - np.rint(r)) ** 2)) for n, r in zip(members, rests, strict=True)
        )
        if cost < NEARER * least:
            best, least = move, cost
    return best
