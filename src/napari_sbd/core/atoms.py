"""Atoms: defects as points between pixels, fitted to the image by least squares for kernels that stay."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import special
from scipy.sparse.linalg import LinearOperator, cg

from napari_sbd.core.atom_gram import gram_with_slopes
from napari_sbd.core.descent import Iterate
from napari_sbd.core.objective import Objective, misfit
from napari_sbd.core.pair_blocks import PairBlocks
from napari_sbd.core.peaks import WEAKEST, Peaks, find_peaks, typical_amplitude
from napari_sbd.core.positive import solved_positive
from napari_sbd.core.sites import Sites
from napari_sbd.core.support_model import Gram

Real = NDArray[np.floating]

TAPS, KAISER = 8, 6.0  # of the windowed sinc that stands for a point between pixels
NEWTON_STEPS = 4
SLOWER, FASTER = 10.0, 3.0  # factors of the damping, after a step that failed and after one that did not
CG_STEPS, CG_TOLERANCE = 50, 1e-4
SMALLEST_DAMPING = 1e-4  # of the amplitudes
LONGEST_MOVE = 0.5  # px in one Newton step
FARTHEST_MOVE = 1.5  # px in all, for an atom that is to stay a defect
SETTLED, MOST = 0.02, 0.95  # px, within which steps end once so many atoms move no farther
NEARLY_ALL = 0.99  # the same of what is reported, where defects do not crowd
PAIRED = 7.0  # px² around an atom, in which another keeps both from settling
PAIRS = 0.015  # of the atoms with another so near, above which the damping stays: pairs would run away
FAR = 0.1  # px, by which so many atoms must have moved for the Hessian to be another
CROWD = 0.01  # atoms per place, above which nearly all overlap and few are cut
AT_ONCE = 256  # atoms whose patches are read together: they fit into the cache
DAMPING = 1e-2  # of the positions, against atoms that overlap almost wholly
ROOM = 0.5  # px, standard deviation of a defect from where its activations lie
ROUNDING = 1e-12
# Several judge one and the same iterate.
_KNOWN: WeakKeyDictionary[Iterate, Atoms] = WeakKeyDictionary()
_REFINED: WeakKeyDictionary[Iterate, tuple[Objective, list[Peaks]]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Atoms:
    """Points of an extended map: centres (n, 2) in its pixels, amplitudes (n,), and defect types (n,)."""

    centres: Real
    amplitudes: Real
    kinds: NDArray[np.intp]

    def maps(self, types: int, shape: tuple[int, int], dtype: np.dtype) -> Real:
        """Extended maps (types, rows, cols) of band-limited points."""
        return self.spread(Taps.at(self.centres, shape), types, shape, dtype)

    def spread(self, taps: Taps, types: int, shape: tuple[int, int], dtype: np.dtype) -> Real:
        """The same, with the taps of these points."""
        maps = np.zeros((types, *shape), dtype)
        values = (taps.weights * self.amplitudes[:, None, None]).astype(dtype)
        np.add.at(maps, (self.kinds[:, None, None], taps.rows[:, :, None], taps.cols[:, None, :]), values)
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
    if found not in _KNOWN:
        _KNOWN[found] = _atoms_of(found)
    return _KNOWN[found]


def _atoms_of(found: Iterate, alike: bool = False) -> Atoms:
    window = (found.kernels.shape[-2], found.kernels.shape[-1])
    peaks = [find_peaks(map_, window, alike) for map_ in found.maps]
    offset = np.array([k // 2 for k in window])
    return Atoms(
        np.concatenate([p.centres for p in peaks]) + offset,
        np.concatenate([p.amplitudes for p in peaks]),
        np.repeat(np.arange(len(peaks)), [len(p.centres) for p in peaks]),
    )


def likely_atoms(found: Iterate) -> Atoms:
    """The defects of an iterate's maps without those that are much too weak."""
    return _likely(atoms_of(found), len(found.maps))


def _likely(atoms: Atoms, types: int) -> Atoms:
    level = np.array([typical_amplitude(atoms.amplitudes[atoms.kinds == kind]) for kind in range(types)])
    size = np.abs(atoms.amplitudes)
    return atoms.chosen(size >= WEAKEST / 2 * level[atoms.kinds] if len(size) else size > 0)


def refined_peaks(objective: Objective, found: Iterate) -> list[Peaks]:
    """The defects of an iterate, by type, fitted to the image; what the fit throws off stays as it was.

    Weak activations take no part.
    """
    known = _REFINED.get(found)
    if known is None or known[0] is not objective:
        known = _REFINED[found] = objective, _refined_peaks(objective, found)
    return known[1]


def _refined_peaks(objective: Objective, found: Iterate) -> list[Peaks]:
    begin = _likely(_atoms_of(found, alike=True), len(found.maps))
    share = max(MOST, NEARLY_ALL - _paired(objective, begin))
    fitted = fit_atoms(objective, found.kernels, begin, share=share, room=ROOM)
    lost = np.linalg.norm(fitted.centres - begin.centres, axis=1) > FARTHEST_MOVE
    lost |= fitted.amplitudes * begin.amplitudes <= 0
    centres = np.where(lost[:, None], begin.centres, fitted.centres)
    amplitudes = np.where(lost, begin.amplitudes, fitted.amplitudes)
    return Atoms(centres, amplitudes, begin.kinds).peaks(found)


@dataclass(frozen=True)
class Taps:
    """Pixels of a map over which points between pixels spread, and how much of each goes there.

    `rows` and `cols` (n, taps) are clipped to the map, `weights` (n, taps, taps) zero outside; they are the
    products of `down` and `right` (n, taps). `base` (n, 2) is the first pixel, not clipped.
    """

    base: NDArray[np.intp]
    rows: NDArray[np.intp]
    cols: NDArray[np.intp]
    down: Real
    right: Real

    @classmethod
    def at(cls, centres: Real, shape: tuple[int, int]) -> Taps:
        """Those of windowed sincs.

        Examples
        --------
        >>> taps = Taps.at(np.array([[6.0, 7.0]]), (16, 16))
        >>> int(taps.rows[0, taps.down[0].argmax()]), int(taps.cols[0, taps.right[0].argmax()])
        (6, 7)
        """
        reach = np.arange(TAPS)
        base = np.floor(centres).astype(int) - TAPS // 2 + 1
        index = [base[:, axis, None] + reach for axis in range(2)]
        inside = [(index[axis] >= 0) & (index[axis] < shape[axis]) for axis in range(2)]
        down, right = (_sinc(index[axis] - centres[:, axis, None]) * inside[axis] for axis in range(2))
        rows, cols = (np.clip(index[axis], 0, shape[axis] - 1) for axis in range(2))
        return cls(base, rows, cols, down, right)

    def chosen(self, which: NDArray[np.intp]) -> Taps:
        """Those of the points with these numbers."""
        return Taps(self.base[which], self.rows[which], self.cols[which], self.down[which], self.right[which])

    @property
    def weights(self) -> Real:
        """Weight of each pixel, (n, taps, taps)."""
        return np.asarray(self.down[:, :, None] * self.right[:, None, :])


def _sinc(distance: Real) -> Real:
    inside = np.clip(1 - (distance / (TAPS / 2)) ** 2, 0, None)
    weights = np.sinc(distance) * special.i0(KAISER * np.sqrt(inside)) / special.i0(KAISER)
    # On a pixel the other taps are zero but for rounding, and maps of such atoms are sparse.
    return np.where(np.abs(weights) > ROUNDING, weights, 0)


def fit_atoms(
    objective: Objective,
    kernels: Real,
    atoms: Atoms,
    settled: float = SETTLED,
    share: float = MOST,
    room: float = np.inf,
) -> Atoms:
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
    settled : float
        Steps in px, up to which the next is not taken: it would be a seventh as long.
    share : float
        Of the atoms, that must have settled.
    room : float
        Standard deviation in px of where an atom may lie from where it begins: noise would take close ones
        anywhere.
    """
    if not len(atoms.centres):
        return atoms
    basis = np.concatenate([kernels, *(-np.gradient(kernels, axis=axis) for axis in (-2, -1))])
    basis = basis.astype(kernels.dtype)
    damping, best, here = 1.0, np.inf, atoms
    faster = 1.0 if _paired(objective, atoms) > PAIRS else FASTER
    slope: Real = np.zeros((3, len(atoms.kinds)))
    hessian = _hessian(objective, basis, atoms)
    tether = Tether(atoms.centres, room)
    for _ in range(NEWTON_STEPS):
        value, trial = _slope(objective, kernels, basis, here)
        tether = tether.knowing(2 * value / objective.counted)
        value, trial = value + tether.cost(here), trial + tether.slope(here)
        if value <= best:
            best, atoms, slope, damping = value, here, trial, damping / faster
        else:
            damping *= SLOWER
        step = _newton_step(hessian, tether.stiffness(atoms), slope, damping)
        moves = np.clip(step[1:] / _sizes(atoms), -LONGEST_MOVE, LONGEST_MOVE)
        here = Atoms(atoms.centres + moves.T, atoms.amplitudes + step[0], atoms.kinds)
        moved = np.quantile(np.abs(moves).max(0), share, method="higher")
        if moved < settled:
            # One of a pair that moves on may have run away.
            if np.isinf(settled) or np.abs(moves).max() <= FAR:
                return here
            break
        if moved > FAR:
            hessian = _hessian(objective, basis, here)
    taps = Taps.at(here.centres, objective.convolution.map_shape)
    last = misfit(_left(objective, kernels, here, taps)[1]) + tether.cost(here)
    return here if last <= best else atoms


@dataclass(frozen=True)
class Tether:
    """What holds atoms near where they began, (n, 2): a normal law of some width, in the unit of the misfit.

    Its pull is in proportion to the power of the noise: where there is none, it holds nothing.
    """

    begin: Real
    room: float
    noise: float = np.inf

    def knowing(self, noise: float) -> Tether:
        """The same for this power of the noise per pixel, if it is less than what was known."""
        return Tether(self.begin, self.room, min(noise, self.noise))

    def cost(self, atoms: Atoms) -> float:
        """What the way of all atoms costs."""
        return 0.5 * self.noise * float(np.square((atoms.centres - self.begin) / self.room).sum())

    def slope(self, atoms: Atoms) -> Real:
        """Its gradient in amplitude, and in displacement times amplitude, (3, n)."""
        moved = self.noise * (atoms.centres - self.begin).T / self.room**2
        return np.concatenate([np.zeros_like(moved[:1]), moved / _sizes(atoms)])

    def stiffness(self, atoms: Atoms) -> Real:
        """Its second derivatives, (3, n)."""
        held = self.noise / (self.room * _sizes(atoms)) ** 2
        return np.stack([np.zeros_like(held), held, held])


def _sizes(atoms: Atoms) -> Real:
    return np.asarray(np.where(np.abs(atoms.amplitudes) > 0, atoms.amplitudes, 1), float)


def _paired(objective: Objective, atoms: Atoms) -> float:
    """How many of the atoms have another beside them, at random places."""
    rows, cols = objective.convolution.map_shape
    return PAIRED * len(atoms.kinds) / (rows * cols)


def _hessian(objective: Objective, basis: Real, atoms: Atoms) -> tuple[Gram | PairBlocks, Real]:
    """Gram matrix of atoms between pixels and of their slopes, and its diagonal but for what the mask hides.

    In a crowd blocks of pairs, in a third of the time; else what the mask hides is exact.
    """
    types, shape = len(basis) // 3, objective.convolution.map_shape
    rows, cols = (
        np.clip(np.rint(atoms.centres[:, axis]).astype(int), 0, objective.convolution.map_shape[axis] - 1)
        for axis in range(2)
    )
    energies = np.sum(np.square(basis, dtype=float), axis=(1, 2, 3)).reshape(3, types)
    norms = energies[:, atoms.kinds].ravel()
    if len(atoms.kinds) > CROWD * shape[0] * shape[1]:
        roots = np.sqrt(objective.visible_share(basis[:types])[atoms.kinds, rows, cols])
        return PairBlocks(basis, atoms.centres, atoms.kinds, roots), norms
    model = objective.model_of(Sites(atoms.kinds, rows, cols), types)
    return gram_with_slopes(model, basis, atoms.centres - np.column_stack([rows, cols])), norms


def _newton_step(hessian: tuple[Gram | PairBlocks, Real], held: Real, slope: Real, damping: float) -> Real:
    """Change of amplitude, and amplitude times displacement along rows and columns, (3, n)."""
    gram, norms = hessian
    extra = damping * norms * np.repeat([SMALLEST_DAMPING, DAMPING, DAMPING], held.shape[1])
    return _solved(gram, extra + held.ravel(), norms, -slope.ravel()).reshape(held.shape)


def _slope(objective: Objective, kernels: Real, basis: Real, atoms: Atoms) -> tuple[float, Real]:
    """Misfit, and its gradient in amplitude and in displacement times amplitude, (3, n)."""
    types, taps = len(kernels), Taps.at(atoms.centres, objective.convolution.map_shape)
    around, inside = _left(objective, kernels, atoms, taps)
    slope = np.empty((3, len(atoms.kinds)))
    flat = basis.reshape(3, types, *basis.shape[1:])
    for kind in range(types):
        here = np.flatnonzero(atoms.kinds == kind)
        for first in range(0, len(here), AT_ONCE):
            some = here[first : first + AT_ONCE]
            slope[:, some] = _read(around, flat[:, kind], taps.chosen(some))
    return misfit(inside), slope


def _left(objective: Objective, kernels: Real, atoms: Atoms, taps: Taps) -> tuple[Real, Real]:
    """What atoms leave of the image, with room around it for all patches of all taps; and its inside."""
    model, data = objective.convolution, objective.data
    (rows, cols), margin = model.image_shape, [k - 1 + TAPS for k in model.kernel_shape]
    around = np.zeros((len(data), rows + 2 * margin[0], cols + 2 * margin[1]), data.dtype)
    inside = around[:, margin[0] : margin[0] + rows, margin[1] : margin[1] + cols]
    objective.left(kernels, atoms.spread(taps, len(kernels), model.map_shape, data.dtype), out=inside)
    return around, inside


def _read(around: Real, basis: Real, taps: Taps) -> Real:
    """Correlation of kernels (m, slices, k1, k2) with an image, read between pixels: (m, n)."""
    k1, k2 = basis.shape[2:]
    corner = np.clip(taps.base + TAPS, 0, np.array(around.shape[1:]) - [k1 + TAPS - 1, k2 + TAPS - 1])
    down, right = _banded(taps.down.astype(around.dtype), k1), _banded(taps.right.astype(around.dtype), k2)
    total: Real = np.zeros((len(basis), len(corner)))
    for number, image in enumerate(around):
        views = sliding_window_view(image, (k1 + TAPS - 1, k2 + TAPS - 1))
        read = down @ views[corner[:, 0], corner[:, 1]] @ right.swapaxes(1, 2)
        total += basis[:, number].reshape(len(basis), -1) @ read.reshape(len(corner), -1).T
    return total


def _banded(weights: Real, size: int) -> Real:
    """Matrices (n, size, size + taps - 1) that take sums over taps with these weights (n, taps)."""
    taps = weights.shape[1]
    matrices = np.zeros((len(weights), size, size + taps - 1), weights.dtype)
    rows = np.arange(size)
    for tap in range(taps):
        matrices[:, rows, rows + tap] = weights[:, tap, None]
    return matrices


def _solved(gram: Gram | PairBlocks, damping: Real, norms: Real, right: Real) -> Real:
    """Solve the damped normal equations."""
    if isinstance(gram, Gram) and gram.means is None:
        return _solved_full(np.asarray(gram.matrix, float), damping, norms, right)
    size, single = (len(right),) * 2, gram.matrix.dtype
    # Of two precisions the matrix would be converted at every product.
    normal = LinearOperator(size, matvec=lambda v: gram @ v.astype(single) + damping * v, dtype=float)
    scaling = LinearOperator(size, matvec=lambda v: v / norms, dtype=float)
    found, _ = cg(normal, right, rtol=CG_TOLERANCE, maxiter=CG_STEPS, M=scaling)
    return np.asarray(found)


def _solved_full(matrix: Real, damping: Real, norms: Real, right: Real) -> Real:
    """The same by factoring; what the mask hides is approximate, so the diagonal may need some more."""
    extra = 0.0
    for _ in range(6):
        normal = matrix.copy()
        normal[np.arange(len(right)), np.arange(len(right))] += damping + extra * norms
        found = solved_positive(normal, right)
        if found is not None:
            return found
        extra = max(10 * extra, DAMPING)
    return np.zeros_like(right)
