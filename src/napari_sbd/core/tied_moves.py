"""Moves of tied kernels: to the window's middle, on to the pixels, and of orientations that look alike."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.alternation import crowded
from napari_sbd.core.atoms import Atoms, atoms_of, fit_atoms
from napari_sbd.core.descent import Iterate
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.peaks import WEAKEST, typical_amplitude
from napari_sbd.core.quality import best_shift, signed_similarity
from napari_sbd.core.subpixel import common_offset, moved_between, on_pixels
from napari_sbd.core.symmetry import ALIKE, Ties, similarity_of
from napari_sbd.core.window import Pair, richest_window, shift

Real = NDArray[np.floating]

FARTHEST = 3  # px, that a shape is moved so that its defects come on to the pixels
NEARER = 0.5  # of the cost, for which it is moved farther


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
            shapes[kind] = moved_between(shapes[kind], move)
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
