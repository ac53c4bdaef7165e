"""Defects that share one offset between pixels: the kernel moves by it, the defects on to the pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, spatial

from napari_sbd.core.atoms import Atoms, atoms_of, fit_atoms
from napari_sbd.core.beyond import left_around, patches, stand_apart
from napari_sbd.core.descent import Iterate
from napari_sbd.core.kernel_fit import fit_kernels
from napari_sbd.core.objective import Objective
from napari_sbd.core.sphere import norms, project
from napari_sbd.core.window import shift

Real = NDArray[np.floating]

COHERENT = 0.5  # length of the mean phase of the centres above which they share an offset
BY_CHANCE = 3.0  # n of the probability exp(-n), above which it is taken for chance
HEAVIEST = 1.3  # weight over the median's, for what may be several defects
SMALLEST = 0.03  # px
# Length of the mean phase, share of the amplitudes that tells it, and offset over the smallest one, by which
# defects surely lie on pixels.
ALL_ALIKE, MOST, SURELY = 0.9, 0.7, 0.4
SYMMETRIC = 0.95  # similarity to itself, turned by 180°
NEARLY, BETWEEN = 0.85, 0.3  # the same with noise, and px off a pixel from which a core may be on either
ALONE = 3  # px from the next activation along rows or columns, from which one is a defect by itself
TURNS = 2
ONE_STEP = np.inf  # px: it tells whether there is an offset at all


def common_offset(centres: Real, amplitudes: Real) -> Real:
    """Offset (row, col) from the pixel grid that the centres share, in (-½, ½]; zero where they share none.

    Phases at random have a mean of length `√(n / N)` with probability exp(-n).

    Examples
    --------
    >>> common_offset(np.array([[1.25, 7.0], [4.25, 3.0], [9.25, 8.0]]), np.ones(3)).round(3).tolist()
    [0.25, 0.0]
    """
    if not np.abs(amplitudes).sum() > 0:
        return np.zeros(2)
    phase, number = mean_phase(centres, amplitudes)
    coherent = np.abs(phase) > min(COHERENT, np.sqrt(BY_CHANCE / number))
    offset = np.where(coherent, np.angle(phase) / (2 * np.pi), 0)
    return np.where(np.abs(offset) > SMALLEST, offset, 0)


def mean_phase(centres: Real, amplitudes: Real) -> tuple[NDArray[np.complexfloating], float]:
    """Mean phase of centres on the pixel grid along rows and cols, and of how many equal ones it is.

    Examples
    --------
    >>> phase, number = mean_phase(np.array([[1.0, 7.0], [4.0, 3.5]]), np.ones(2))
    >>> np.abs(phase).round(3).tolist(), float(number)
    ([1.0, 0.0], 2.0)
    """
    weight = np.abs(amplitudes)
    weight = np.minimum(weight, HEAVIEST * np.median(weight))
    phase = weight @ np.exp(2j * np.pi * centres) / weight.sum()
    return phase, float(weight.sum() ** 2 / (weight**2).sum())


def snap(objective: Objective, found: Iterate) -> Iterate:
    """Move each kernel by its defects' common offset and its defects on to the nearest pixels.

    A kernel between two pixels is as good an answer as one on a pixel, but defects that sit on pixels are
    then split over neighbours.
    """
    if _lie_on_pixels(objective, found):
        return found
    fitted = fit_atoms(objective, found.kernels, atoms_of(found), ONE_STEP)
    if not any(offset.any() for offset in _offsets(fitted, len(found.kernels))):
        return found
    fitted = fit_atoms(objective, found.kernels, fitted)
    offsets = _offsets(fitted, len(found.kernels))
    return _on_the_grid(found, found.kernels, fitted, offsets, only_moved=True)


def with_cores_on_pixels(objective: Objective, found: Iterate) -> Iterate:
    """Symmetric kernels with their cores on the nearest pixels, and their defects moved the other way.

    Where defects share no offset from the pixels, a kernel anywhere between two pixels is as good an answer.
    """
    offsets = [_core_offset(kernel) for kernel in found.kernels]
    if not any(offset.any() for offset in offsets):
        return found
    fitted = fit_atoms(objective, found.kernels, atoms_of(found))
    return _on_the_grid(found, found.kernels, fitted, offsets, only_moved=True)


def _lie_on_pixels(objective: Objective, found: Iterate) -> bool:
    """Whether defects surely lie on pixels, by those alone on theirs, each moved as if no other were there.

    That takes a tenth of the time of a fit of all together; where they overlap, it cannot be told.
    """
    if not stand_apart(objective, found):
        return False
    sites = found.sites
    places, sizes = np.column_stack([sites.rows, sites.cols]), np.abs(sites.read(found.maps))
    next_ = spatial.KDTree(places).query(places, [2], p=np.inf, distance_upper_bound=ALONE)[0]
    alone, views = np.isinf(np.asarray(next_)[:, 0]), left_around(objective, found, (0, 0))
    for kind, kernel in enumerate(found.kernels):
        here = sites.kinds == kind
        own = sites.chosen(here & alone)
        if not sizes[here & alone].sum() > MOST * sizes[here].sum():
            return False
        basis = np.stack([kernel, *(-np.gradient(kernel, axis=axis) for axis in (-2, -1))]).reshape(3, -1)
        step = np.linalg.solve(basis @ basis.T, -basis @ patches(views, own).T)
        amplitudes = own.read(found.maps)
        moves = np.clip(step[1:] / amplitudes, -0.5, 0.5)
        phase, _ = mean_phase(moves.T, amplitudes)
        off = np.abs(np.angle(phase)) / (2 * np.pi)
        if (np.abs(phase) < ALL_ALIKE).any() or (off > SURELY * SMALLEST).any():
            return False
    return True


def moved_between(kernel: Real, offset: Real) -> Real:
    """A kernel (slices, k1, k2) moved by fractions of a pixel along rows and columns, by splines."""
    return np.array([ndimage.shift(a, offset, order=5, mode="constant") for a in kernel])


def in_the_middle(objective: Objective, found: Iterate) -> Iterate:
    """Symmetric kernels with their cores on the middle pixel of their windows, and maps that follow.

    Where the search ended is chance, between pixels and by some pixels; a window that lies off the core by
    some cuts a signature that fills it.
    """
    maps = found.maps.copy()
    for kind, kernel in enumerate(found.kernels):
        centre = _core(kernel)
        if centre is not None:
            row, col = np.rint(centre).astype(int)
            maps[kind] = shift(maps[kind], (row, col))
    if maps.any(axis=(1, 2)).all() and not np.array_equal(maps, found.maps):
        found = fit_kernels(objective, maps)
    return replace(
        found, kernels=_placed(found.kernels, lambda centre: np.where(np.abs(centre) < 1, centre, 0))
    )


def cores_on_pixels(kernels: Real, most: float = 0.5) -> Real:
    """Symmetric kernels (types, slices, k1, k2) moved by at most so many px, their cores on to pixels.

    A signature that looks the same turned by 180° has its core on a pixel if its defects lie on pixels.
    """
    return _placed(kernels, lambda centre: np.where(np.abs(_rest(centre)) <= most, _rest(centre), 0))


def kernels_beside(kernels: Real) -> list[Real]:
    """A nearly symmetric kernel (1, slices, k1, k2) half a pixel to either side of where it lies between two.

    Along both axes where it lies between pixels along both; none where its core is near a pixel.

    Examples
    --------
    >>> rows, cols = np.mgrid[-10:11, -10:11]
    >>> between = np.exp(-((rows - 2) ** 2 + (cols + 0.5) ** 2) / 8.0)[None, None]
    >>> [turned_centre(kernel[0])[0].round(1).tolist() for kernel in kernels_beside(between)]
    [[2.0, -1.0], [2.0, 0.0]]
    """
    centre, alike = turned_centre(kernels[0])
    between = np.abs(_rest(centre)) > BETWEEN
    if alike < NEARLY or not between.any():
        return []
    sides = product(*[(-0.5, 0.5) if apart else (0.0,) for apart in between])
    return [project(moved_between(kernels[0], np.array(side))[None]) for side in sides]


def _placed(kernels: Real, rest: Callable[[Real], Real]) -> Real:
    """Symmetric kernels moved back by what `rest` says of their centres."""
    placed = kernels.copy()
    for kind, kernel in enumerate(kernels):
        centre = _core(kernel)
        if centre is not None and (np.abs(rest(centre)) > SMALLEST).any():
            placed[kind] = moved_between(kernel, -rest(centre))
    return project(placed)


def _core(kernel: Real) -> Real | None:
    """Core of a kernel (slices, k1, k2) that looks the same turned by 180°; None of another."""
    centre, alike = turned_centre(kernel)
    return centre if alike >= SYMMETRIC else None


def _rest(centre: Real) -> Real:
    """How far a core lies off the nearest pixel."""
    return np.asarray(centre - np.rint(centre))


def turned_centre(kernel: Real) -> tuple[Real, float]:
    """Centre about which a kernel (slices, k1, k2) is most alike itself turned by 180°, and how much it is.

    It is counted from the window's middle, to parts of a pixel; more exact than the centre of energy, which
    noise and what the window cuts off move.

    Examples
    --------
    >>> rows, cols = np.mgrid[-10:11, -10:11]
    >>> centre, alike = turned_centre(np.exp(-((rows - 2) ** 2 + (cols + 0.3) ** 2) / 8.0)[None])
    >>> centre.round(1).tolist(), round(alike, 1)
    ([2.0, -0.3], 1.0)
    """
    shape = [fft.next_fast_len(2 * k + 1, real=True) for k in kernel.shape[1:]]
    spectra = fft.rfft2(kernel.astype(float), shape)
    likeness = fft.irfft2((spectra**2).sum(0), shape) / max(np.square(kernel, dtype=float).sum(), 1e-30)
    row, col = np.unravel_index(int(likeness.argmax()), likeness.shape)
    top, parts = float(likeness[row, col]), np.zeros(2)
    # A parabola along each axis.
    for axis, (before, after) in enumerate(
        (likeness[[row - 1, row + 1], col], likeness[row, [col - 1, col + 1]])
    ):
        parts[axis] = 0.5 * (before - after) / min(before - 2 * top + after, -1e-30)
        top -= 0.25 * (before - after) * parts[axis]
    middle = np.array([(k - 1) // 2 for k in kernel.shape[1:]])
    return (np.array([row, col]) + parts) / 2 - middle, float(top)


def resolved(objective: Objective, found: Iterate) -> Iterate:
    """Fit kernels and centres between pixels by turns, then bring them on to the pixels.

    Defects whose pixels are off by one at random blur a kernel; between pixels they need not be.
    """
    atoms, kernels = atoms_of(found), found.kernels
    model, types = objective.convolution, len(found.kernels)
    for _ in range(TURNS):
        atoms = fit_atoms(objective, kernels, atoms)
        maps = atoms.maps(types, model.map_shape, found.maps.dtype)
        if not maps.any(axis=(1, 2)).all():
            return found
        fitted = fit_kernels(objective, maps)
        kernels = fitted.kernels
        scale = norms(fitted.maps).ravel() / norms(maps).ravel()
        atoms = replace(atoms, amplitudes=atoms.amplitudes * scale[atoms.kinds])
    return _on_the_grid(found, kernels, atoms, _offsets(atoms, types), only_moved=False)


def _on_the_grid(
    found: Iterate, kernels: Real, atoms: Atoms, offsets: list[Real], only_moved: bool
) -> Iterate:
    """Kernels moved by their types' offsets, and maps of all types or of those moved."""
    kernels, maps = kernels.copy(), found.maps.copy()
    for kind, offset in enumerate(offsets):
        here = atoms.kinds == kind
        if offset.any():
            kernels[kind] = moved_between(kernels[kind], offset)
        if offset.any() or not only_moved:
            maps[kind] = on_pixels(atoms.chosen(here), offset, maps[kind])
    return replace(found, kernels=project(kernels), maps=maps)


def _core_offset(kernel: Real) -> Real:
    """Offset by which a kernel (slices, k1, k2) moves for its core to come on to a pixel."""
    centre = _core(kernel)
    if centre is None:
        return np.zeros(2)
    return np.where(np.abs(_rest(centre)) > SMALLEST, -_rest(centre), 0)


def _offsets(atoms: Atoms, types: int) -> list[Real]:
    """Common offset of each type's defects."""
    groups = [atoms.kinds == kind for kind in range(types)]
    return [common_offset(atoms.centres[here], atoms.amplitudes[here]) for here in groups]


def on_pixels(atoms: Atoms, offset: Real, like: Real) -> Real:
    """One type's map in which the atoms, moved back by an offset, sit on the nearest pixels."""
    gathered = np.zeros_like(like)
    places = np.rint(atoms.centres - offset).astype(int)
    inside = ((places >= 0) & (places < like.shape)).all(1)
    np.add.at(gathered, tuple(places[inside].T), atoms.amplitudes[inside])
    return gathered
