"""Atoms: defects as points between pixels, fitted to the image by least squares for kernels that stay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse
from scipy.sparse.linalg import LinearOperator, cg

from napari_sbd.core.defects import WEAKEST, Peaks, find_peaks, typical_amplitude
from napari_sbd.core.descent import Iterate
from napari_sbd.core.objective import Objective, misfit
from napari_sbd.core.sites import Sites
from napari_sbd.core.support_model import Gram, SupportModel

Real = NDArray[np.floating]

TAPS, KAISER = 8, 6.0  # of the windowed sinc that stands for a point between pixels
NEWTON_STEPS = 4
SLOWER, FASTER = 10.0, 3.0  # factors of the damping, after a step that failed and after one that did not
CG_STEPS, CG_TOLERANCE = 50, 1e-4
SMALLEST_DAMPING = 1e-4  # of the amplitudes
LONGEST_MOVE = 0.5  # px in one Newton step
FARTHEST_MOVE = 1.5  # px in all, for an atom that is to stay a defect
STILL = 3e-3  # px, a step below which the next would move nothing
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
    basis = basis.astype(kernels.dtype)
    damping, best, here = 1.0, np.inf, atoms
    slope: Real = np.zeros((3, len(atoms.kinds)))
    for _ in range(NEWTON_STEPS):
        value, trial = _slope(objective, kernels, basis, here)
        if value <= best:
            best, atoms, slope, damping = value, here, trial, damping / FASTER
        else:
            damping *= SLOWER
        step = _newton_step(objective, basis, atoms, slope, damping)
        size = np.where(np.abs(atoms.amplitudes) > 0, atoms.amplitudes, 1)
        moves = np.clip(step[1:] / size, -LONGEST_MOVE, LONGEST_MOVE)
        here = Atoms(atoms.centres + moves.T, atoms.amplitudes + step[0], atoms.kinds)
        if np.abs(moves).max() < STILL:
            return here
    return here if _slope(objective, kernels, basis, here)[0] <= best else atoms


def _newton_step(objective: Objective, basis: Real, atoms: Atoms, slope: Real, damping: float) -> Real:
    """Change of amplitude, and amplitude times displacement along rows and columns, (3, n).

    The Hessian is that of atoms between pixels, but for what the mask hides of them.
    """
    types, number = len(basis) // 3, len(atoms.kinds)
    rows, cols = (
        np.clip(np.rint(atoms.centres[:, axis]).astype(int), 0, objective.convolution.map_shape[axis] - 1)
        for axis in range(2)
    )
    part = np.repeat(np.arange(3), number) * types
    sites = Sites(part + np.tile(atoms.kinds, 3), np.tile(rows, 3), np.tile(cols, 3))
    offsets = np.tile(atoms.centres - np.column_stack([rows, cols]), (3, 1))
    gram = SupportModel(objective.field, sites, 3 * types).gram(basis, offsets)
    norms = np.sum(np.square(basis, dtype=float), axis=(1, 2, 3))[sites.kinds]
    extra = damping * norms * np.where(sites.kinds < types, SMALLEST_DAMPING, DAMPING)
    return _solved(gram, extra, norms, -slope.ravel()).reshape(3, number)


def _slope(objective: Objective, kernels: Real, basis: Real, atoms: Atoms) -> tuple[float, Real]:
    """Misfit, and its gradient in amplitude and in displacement times amplitude, (3, n)."""
    model, types = objective.convolution, len(kernels)
    spectra = model.map_spectra(atoms.maps(types, model.map_shape, objective.data.dtype))
    residual, _ = objective.residual(model.kernel_spectra(kernels), spectra)
    maps = model.correlate_kernels(model.kernel_spectra(basis), residual).reshape(3, types, -1)
    slope = np.empty((3, len(atoms.kinds)))
    for kind in range(types):
        here = atoms.kinds == kind
        slope[:, here] = (spreading(atoms.centres[here], model.map_shape).T @ maps[:, kind].T).T
    return misfit(residual), slope


def _solved(gram: Gram, damping: Real, norms: Real, right: Real) -> Real:
    """Solve the damped normal equations."""
    if gram.means is None:
        return _solved_full(np.asarray(gram.matrix, float), damping, norms, right)
    size = (len(right),) * 2
    normal = LinearOperator(size, matvec=lambda v: gram @ v + damping * v, dtype=float)
    scaling = LinearOperator(size, matvec=lambda v: v / norms, dtype=float)
    found, _ = cg(normal, right, rtol=CG_TOLERANCE, maxiter=CG_STEPS, M=scaling)
    return np.asarray(found)


def _solved_full(matrix: Real, damping: Real, norms: Real, right: Real) -> Real:
    """The same by factoring; what the mask hides is approximate, so the diagonal may need some more."""
    extra = 0.0
    for _ in range(6):
        try:
            factor = linalg.cho_factor(matrix + np.diag(damping + extra * norms), check_finite=False)
            return np.asarray(linalg.cho_solve(factor, right, check_finite=False))
        except linalg.LinAlgError:
            extra = max(10 * extra, DAMPING)
    return np.zeros_like(right)
