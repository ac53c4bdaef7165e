"""Atoms: defects as points between pixels, fitted to the image by least squares for kernels that stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from napari_sbd.core.defects import WEAKEST, Peaks, find_peaks, typical_amplitude
from napari_sbd.core.descent import Iterate
from napari_sbd.core.objective import Objective

Real = NDArray[np.floating]

TAPS, KAISER = 8, 6.0  # of the windowed sinc that stands for a point between pixels
NEWTON_STEPS = 3
CG_STEPS = 25
LONGEST_MOVE = 0.5  # px in one Newton step
FARTHEST_MOVE = 1.5  # px in all, for an atom that is to stay a defect
DAMPING = 1e-2  # of the positions, against atoms that overlap almost wholly


@dataclass(frozen=True)
class Atoms:
    """Points of an extended map: centres (n, 2) in its pixels, amplitudes (n,), and defect types (n,)."""

    centres: Real
    amplitudes: Real
    kinds: NDArray[np.intp]

    def maps(self, types: int, shape: tuple[int, int], dtype: np.dtype) -> Real:
        """Extended maps (types, rows, cols) of band-limited points."""
        maps = np.zeros((types, *shape), dtype)
        for kind in range(types):
            here = self.kinds == kind
            spread = spreading(self.centres[here], shape)
            maps[kind] = (spread @ self.amplitudes[here]).reshape(shape)
        return maps

    def chosen(self, which: NDArray[np.bool_]) -> Atoms:
        """The atoms where `which` is true."""
        return Atoms(self.centres[which], self.amplitudes[which], self.kinds[which])

    def peaks(self, found: Iterate) -> list[Peaks]:
        """By type, centres in pixels of the frame."""
        offset = [k // 2 for k in found.kernels.shape[-2:]]
        groups = [self.kinds == kind for kind in range(len(found.maps))]
        return [Peaks(self.centres[here] - offset, self.amplitudes[here]) for here in groups]


def atoms_of(found: Iterate) -> Atoms:
    """The defects of an iterate's maps, see `find_peaks`; centres in pixels of the extended maps."""
    window = (found.kernels.shape[-2], found.kernels.shape[-1])
    peaks = [find_peaks(map_, window) for map_ in found.maps]
    offset = np.array([k // 2 for k in window])
    return Atoms(
        np.concatenate([p.centres for p in peaks]) + offset,
        np.concatenate([p.amplitudes for p in peaks]),
        np.repeat(np.arange(len(peaks)), [len(p.centres) for p in peaks]),
    )


def refined_peaks(objective: Objective, found: Iterate) -> list[Peaks]:
    """The defects of an iterate, by type, fitted to the image; what the fit throws off stays as it was.

    Weak activations take no part.
    """
    begin = atoms_of(found)
    level = np.array([typical_amplitude(begin.amplitudes[begin.kinds == k]) for k in range(len(found.maps))])
    size = np.abs(begin.amplitudes)
    begin = begin.chosen(size >= WEAKEST / 2 * level[begin.kinds] if len(size) else size > 0)
    fitted = fit_atoms(objective, found.kernels, begin)
    lost = np.linalg.norm(fitted.centres - begin.centres, axis=1) > FARTHEST_MOVE
    lost |= fitted.amplitudes * begin.amplitudes <= 0
    centres = np.where(lost[:, None], begin.centres, fitted.centres)
    amplitudes = np.where(lost, begin.amplitudes, fitted.amplitudes)
    return Atoms(centres, amplitudes, begin.kinds).peaks(found)


def spreading(centres: Real, shape: tuple[int, int]) -> sparse.csr_matrix:
    """Matrix (pixels, n) that lays points between pixels on a map as windowed sincs; transposed, it reads.

    Examples
    --------
    >>> spread = spreading(np.array([[6.0, 7.0]]), (16, 16))
    >>> np.argwhere(spread.toarray().reshape(16, 16) > 0.5).tolist()
    [[6, 7]]
    """
    reach = np.arange(TAPS) - TAPS // 2 + 1
    base = np.floor(centres).astype(int)
    index = [base[:, axis, None] + reach for axis in range(2)]
    weight = [_sinc(index[axis] - centres[:, axis, None]) for axis in range(2)]
    inside = [(index[axis] >= 0) & (index[axis] < shape[axis]) for axis in range(2)]
    values = (weight[0] * inside[0])[:, :, None] * (weight[1] * inside[1])[:, None, :]
    rows, cols = (np.clip(index[axis], 0, shape[axis] - 1) for axis in range(2))
    pixels = rows[:, :, None] * shape[1] + cols[:, None, :]
    numbers = np.broadcast_to(np.arange(len(centres))[:, None, None], pixels.shape)
    entries = (values.ravel(), (pixels.ravel(), numbers.ravel()))
    return sparse.csr_matrix(entries, shape=(shape[0] * shape[1], len(centres)))


def _sinc(distance: Real) -> Real:
    inside = np.clip(1 - (distance / (TAPS / 2)) ** 2, 0, None)
    return np.asarray(np.sinc(distance) * np.i0(KAISER * np.sqrt(inside)) / np.i0(KAISER))


def fit_atoms(objective: Objective, kernels: Real, atoms: Atoms) -> Atoms:
    """Move atoms and change their amplitudes until they explain the image best, by Gauss-Newton steps.

    Each step is a linear least squares in amplitude and displacement of all atoms together: a kernel
    shifted by d is `a - d · ∇a`.

    Parameters
    ----------
    objective : Objective
        Image, mask and window.
    kernels : array (types, slices, k1, k2)
    atoms : Atoms
        Where to begin, within about a pixel.
    """
    if not len(atoms.centres):
        return atoms
    basis = np.concatenate([kernels, *(-np.gradient(kernels, axis=axis) for axis in (-2, -1))])
    for _ in range(NEWTON_STEPS):
        step = _newton_step(objective, kernels, basis.astype(kernels.dtype), atoms)
        size = np.where(np.abs(atoms.amplitudes) > 0, atoms.amplitudes, 1)
        moves = np.clip(step[1:] / size, -LONGEST_MOVE, LONGEST_MOVE)
        atoms = Atoms(atoms.centres + moves.T, atoms.amplitudes + step[0], atoms.kinds)
    return atoms


def _newton_step(objective: Objective, kernels: Real, basis: Real, atoms: Atoms) -> Real:
    """Change of amplitude, and amplitude times displacement along rows and columns, (3, n)."""
    model, types = objective.convolution, len(kernels)
    shape, dtype = model.map_shape, objective.data.dtype
    kernel_spectra, basis_spectra = model.kernel_spectra(kernels), model.kernel_spectra(basis)
    spreads = [spreading(atoms.centres[atoms.kinds == kind], shape) for kind in range(types)]
    order = np.argsort(atoms.kinds, kind="stable")
    bounds = np.cumsum([0, *(s.shape[1] for s in spreads)])
    norms = np.sum(np.square(basis, dtype=float), axis=(1, 2, 3)).reshape(3, types)
    scale = np.sqrt(np.repeat(norms, np.diff(bounds), axis=1))

    def read(residual: Real) -> Real:
        maps = model.correlate_kernels(basis_spectra, residual).reshape(3, types, -1)
        parts = [np.stack([spreads[k].T @ maps[q, k] for q in range(3)]) for k in range(types)]
        return np.asarray(np.concatenate(parts, axis=1) / scale)

    def write(values: Real) -> Real:
        maps = np.empty((3, types, shape[0] * shape[1]), dtype)
        for k in range(types):
            for q in range(3):
                maps[q, k] = spreads[k] @ (values[q] / scale[q])[bounds[k] : bounds[k + 1]]
        seen = model.predict(basis_spectra, model.map_spectra(maps.reshape(3 * types, *shape)))
        image: Real = objective.weighted(seen)[0]
        return image

    residual, _ = objective.residual(kernel_spectra, model.map_spectra(atoms.maps(types, shape, dtype)))
    damping = np.array([0, DAMPING, DAMPING])[:, None]
    solution = _conjugate_gradients(lambda v: read(write(v)) + damping * v, -read(residual)) / scale
    step: Real = np.empty(solution.shape)
    step[:, order] = solution
    return step


def _conjugate_gradients(normal: Callable[[Real], Real], right: Real) -> Real:
    solution, residual = np.zeros_like(right), right.copy()
    direction, power = residual.copy(), float(np.vdot(residual, residual))
    target = 1e-6 * power
    for _ in range(CG_STEPS):
        if power <= target:
            break
        image = normal(direction)
        length = power / float(np.vdot(direction, image))
        solution += length * direction
        residual -= length * image
        power, last = float(np.vdot(residual, residual)), power
        direction = residual + power / last * direction
    return np.asarray(solution)
