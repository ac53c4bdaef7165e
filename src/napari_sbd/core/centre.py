"""Kernels in the middle of their windows: a shift is free, and a defect is where its signature's core lies.

The window of most energy need not be that: noise fills it, and a lopsided signature lies to one side.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sbd.core.alternation import fit_maps
from napari_sbd.core.atoms import Atoms, atoms_of, fit_atoms, likely_atoms
from napari_sbd.core.defects import core
from napari_sbd.core.descent import Iterate, Schedule
from napari_sbd.core.noise import median, robust_std, sampled
from napari_sbd.core.objective import Objective, Penalty, misfit
from napari_sbd.core.resize import seen_wide
from napari_sbd.core.sphere import project
from napari_sbd.core.stages import reweighting
from napari_sbd.core.steps import FORBIDDEN, Steps, follow, frozen
from napari_sbd.core.subpixel import BY_CHANCE, SMALLEST, mean_phase, moved_between, on_pixels
from napari_sbd.core.tied import alternate
from napari_sbd.core.verdict import residual_of
from napari_sbd.core.window import Pair, crop, middle_window, shift

Real = NDArray[np.floating]

MOVES = 2  # in whole pixels: what comes in on one side moves the core
NEAR = 5  # px, of the boxes around defects in which they are split over pixels again
WORSE = 1.01  # of the misfit, above which a move is taken back: no shift was free there
UNEVEN = 2.0  # times noise in a kernel's window: there is more of it where few defects show them
SETTLE = Schedule(8, 1e-4)
MAPS = Schedule(12, 1e-4)


def centred(objective: Objective, best: Iterate, penalty: Penalty, on_grid: bool = False) -> Steps:
    """Kernels whose cores lie in the middle of their windows, and maps that follow.

    By whole pixels, where the window then loses no more energy than noise has there. And between pixels,
    where the defects share no offset from the grid: they are split over pixels wherever the kernel lies.

    Parameters
    ----------
    objective : Objective
    best : Iterate
    penalty : Penalty
        Of the maps, which are solved anew for kernels moved between pixels.
    on_grid : bool
        Whether defects are known to lie on pixels.
    """
    for _ in range(MOVES):
        moved = _by_whole_pixels(objective, best)
        if moved is best:
            break
        steps = alternate(objective, moved.kernels, moved.maps, frozen(moved, penalty), SETTLE)
        best = yield from follow(steps, "refine", penalty.lam, 0, moved)
    if on_grid:
        return best
    moved = _between_pixels(objective, best)
    if moved is best:
        return best
    around = ndimage.maximum_filter(moved.maps != 0, (1, NEAR, NEAR))
    for weights in (None, reweighting):
        here = penalty if weights is None else weights(objective, moved, penalty)
        steps = fit_maps(objective, moved.kernels, moved.maps, _only(around, here), MAPS)
        moved = yield from follow(steps, "refine", penalty.lam, 0, moved)
    left = [misfit(residual_of(objective, it)) for it in (best, moved)]
    return moved if left[1] <= WORSE * left[0] else best


def _only(where: NDArray[np.bool_], penalty: Penalty) -> Penalty:
    """A penalty that lets activations be nowhere else: a move finds no new defects."""
    free = np.ones((), np.float32) if penalty.weights is None else penalty.weights
    return replace(penalty, weights=np.where(where, free, np.float32(FORBIDDEN)).astype(np.float32))


def _by_whole_pixels(objective: Objective, best: Iterate) -> Iterate:
    """Each kernel in the window around its core, as least squares show it; the same where none moves."""
    moves = [np.rint(core(kernel)[0]).astype(int) for kernel in best.kernels]
    if not np.any(moves) or not best.maps.any(axis=(1, 2)).all():
        return best
    window = objective.convolution.kernel_shape
    _, seen = seen_wide(objective, best)
    kernels, maps, moved = best.kernels.copy(), best.maps.copy(), False
    for kind, (row, col) in enumerate(moves):
        wide, lifted = seen.kernels[kind : kind + 1], seen.maps[kind : kind + 1]
        there = shift(wide, (-row, -col))
        if (row or col) and _held(wide, window) - _held(there, window) <= _noise(wide, window, (row, col)):
            inside, activations = crop(there, shift(lifted, (row, col)), window)
            kernels[kind], maps[kind], moved = inside[0], activations[0], True
    return Iterate(kernels, maps, np.inf) if moved else best


def _held(kernel: Real, window: Pair) -> float:
    """Energy in the middle window."""
    return float(np.square(kernel[middle_window(kernel, window)], dtype=float).sum())


def _noise(kernel: Real, window: Pair, move: Pair) -> float:
    """Energy of noise in the pixels that a move brings in, as the kernel has it outside the window."""
    outside = np.ones(kernel.shape, bool)
    outside[middle_window(kernel, window)] = False
    stay = [max(k - abs(by), 0) for k, by in zip(window, move, strict=True)]
    pixels = kernel.shape[-3] * (np.prod(window) - np.prod(stay))
    return float(UNEVEN * robust_std(kernel[outside]) ** 2 * pixels)


def _between_pixels(objective: Objective, best: Iterate) -> Iterate:
    """Kernels moved by the rest of a pixel where that is free; defects on the nearest pixels."""
    rests = np.array([core(kernel)[0] for kernel in best.kernels])
    rests = np.where(np.abs(rests) < 0.5, rests, 0)
    if (np.abs(rests) < SMALLEST).all():
        return best
    atoms, fitted = atoms_of(best), fit_atoms(objective, best.kernels, likely_atoms(best))
    noise = robust_std(sampled(residual_of(objective, best), objective.mask))
    kernels, maps, moved = best.kernels.copy(), best.maps.copy(), False
    for kind, rest in enumerate(rests):
        own = atoms.chosen(atoms.kinds == kind)
        rest = np.where(_free(fitted.chosen(fitted.kinds == kind), kernels[kind], noise), rest, 0)
        if (np.abs(rest) >= SMALLEST).any():
            kernels[kind] = moved_between(kernels[kind], -rest)
            maps[kind] = on_pixels(own, -rest, maps[kind])
            moved = True
    return replace(best, kernels=project(kernels), maps=maps) if moved else best


def _free(atoms: Atoms, kernel: Real, noise: float) -> NDArray[np.bool_]:
    """Along which axes defects lie anywhere between pixels, as far as the errors of their places can tell."""
    if not len(atoms.amplitudes):
        return np.zeros(2, bool)
    phase, number = mean_phase(atoms.centres, atoms.amplitudes)
    slopes = np.array([np.linalg.norm(np.gradient(kernel, axis=axis)) for axis in (-2, -1)])
    errors = noise / (median(np.abs(atoms.amplitudes)) * slopes)
    half = np.exp(-2 * (np.pi * errors) ** 2) / 2
    return np.asarray((np.abs(phase) < half) & (half > np.sqrt(BY_CHANCE / number)))
