"""Defects that share one offset between pixels: the kernel moves by it, the defects on to the pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sbd.core.atoms import Atoms, atoms_of, fit_atoms
from napari_sbd.core.descent import Iterate
from napari_sbd.core.objective import Objective
from napari_sbd.core.sphere import project

Real = NDArray[np.floating]

COHERENT = 0.5  # length of the mean phase of the centres above which they share an offset
SMALLEST = 0.03  # px


def common_offset(centres: Real, amplitudes: Real) -> Real:
    """Offset (row, col) from the pixel grid that the centres share, in (-½, ½]; zero where they share none.

    Examples
    --------
    >>> common_offset(np.array([[1.25, 7.0], [4.25, 3.0], [9.25, 8.0]]), np.ones(3)).round(3).tolist()
    [0.25, 0.0]
    """
    weight = np.abs(amplitudes)
    if not weight.sum() > 0:
        return np.zeros(2)
    phase = weight @ np.exp(2j * np.pi * centres) / weight.sum()
    offset = np.where(np.abs(phase) > COHERENT, np.angle(phase) / (2 * np.pi), 0)
    return np.where(np.abs(offset) > SMALLEST, offset, 0)


def snap(objective: Objective, found: Iterate) -> Iterate:
    """Move each kernel by its defects' common offset and its defects on to the nearest pixels.

    A kernel between two pixels is as good an answer as one on a pixel, but defects that sit on pixels are
    then split over neighbours.
    """
    atoms = fit_atoms(objective, found.kernels, atoms_of(found))
    kernels, maps = found.kernels.copy(), found.maps.copy()
    for kind in range(len(kernels)):
        here = atoms.kinds == kind
        offset = common_offset(atoms.centres[here], atoms.amplitudes[here])
        if offset.any():
            kernels[kind] = [ndimage.shift(a, offset, order=5, mode="constant") for a in kernels[kind]]
            maps[kind] = _on_pixels(atoms, here, offset, maps[kind])
    return replace(found, kernels=project(kernels), maps=maps)


def _on_pixels(atoms: Atoms, here: NDArray[np.bool_], offset: Real, like: Real) -> Real:
    gathered = np.zeros_like(like)
    places = np.rint(atoms.centres[here] - offset).astype(int)
    inside = ((places >= 0) & (places < like.shape)).all(1)
    np.add.at(gathered, tuple(places[inside].T), atoms.amplitudes[here][inside])
    return gathered
