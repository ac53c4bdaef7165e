"""Harmonics with slowly varying amplitudes, fitted to an image by robust least squares.

Each harmonic is a plane wave times a polynomial of low degree. Both are products of a factor along the rows
and one along the columns, so that the fit runs over all pixels by products of small matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from napari_sbd.prepare.operation import Bool, Real, biweight
from napari_sbd.prepare.stopping import go_on

Complex = NDArray[np.complexfloating]
Degrees = tuple[int, int]

REJECTED = 4.0  # deviations beyond which a pixel does not count (Tukey's biweight)
ROUNDS = 8  # of weights
INNER = 3  # steps of conjugate gradients at the same weights
SETTLED = 1e-4  # change of the coefficients after which weights change no more
RIDGE = 1e-7
STRONG = 16  # waves, the first, whose amplitudes vary by the full degrees
FAINT = 2  # degree of the others at most


@dataclass(frozen=True)
class Displacement:
    """How far each row (rows, 2) and each column (cols, 2) is displaced, in px along both axes."""

    rows: Real
    cols: Real

    @classmethod
    def none(cls, shape: tuple[int, int]) -> Displacement:
        """No displacement."""
        return cls(np.zeros((shape[0], 2)), np.zeros((shape[1], 2)))

    def plus(self, other: Displacement) -> Displacement:
        """Sum of two displacements."""
        return Displacement(self.rows + other.rows, self.cols + other.cols)


class Harmonics:
    """A background polynomial and harmonics with polynomial amplitudes, ready to be fitted.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    frequencies : array (n, 2)
        In cycles per pixel along rows and columns.
    degrees, background : tuple of int
        Degree along rows and columns of the amplitudes, and of the background. Only the first waves, which
        should be the strongest, have the full degree.
    moved : Displacement, optional
        Of rows and columns.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        frequencies: Real,
        degrees: Degrees,
        background: Degrees,
        moved: Displacement | None = None,
    ) -> None:
        moved = moved or Displacement.none(shape)
        self.shape = shape
        waves = np.concatenate([np.zeros((1, 2)), frequencies])
        most = [max(pair) for pair in zip(degrees, background, strict=True)]
        along = (moved.rows, moved.cols)
        row, col = (
            _factors(waves[:, axis], waves @ along[axis].T, n, most[axis]) for axis, n in enumerate(shape)
        )
        wave, i, j = _terms(len(waves), degrees, background)
        self.flat = wave == 0
        # Only the factors that some term uses, each once.
        keys = [k * (m + 1) + n for m, k, n in ((most[0], wave, i), (most[1], wave, j))]
        used = [np.unique(key, return_inverse=True) for key in keys]
        self._row, self._col = row[used[0][0]], col[used[1][0]]
        # Real and imaginary parts as factors of their own: images are real.
        self._parts = np.concatenate([self._row.real, self._row.imag])
        self._at = used[0][1], used[1][1]
        go_on()
        self._factor = linalg.cho_factor(self._gram())

    def _gram(self) -> Real:
        """Scalar products of all real columns: the real parts of the terms, then the imaginary ones."""
        a, b = self._at
        row, col = self._row.astype(complex), self._col.astype(complex)
        apart = (row @ row.conj().T)[np.ix_(a, a)] * (col @ col.conj().T)[np.ix_(b, b)]
        along = (row @ row.T)[np.ix_(a, a)] * (col @ col.T)[np.ix_(b, b)]
        gram = 0.5 * np.block(
            [[(apart + along).real, (apart - along).imag], [-(along + apart).imag, (apart - along).real]]
        )
        # The background has no imaginary part.
        none = np.concatenate([np.zeros(len(a), bool), self.flat])
        gram[none] = gram[:, none] = 0.0
        gram[none, none] = 1.0
        gram[np.diag_indices_from(gram)] += RIDGE * np.trace(gram) / len(gram)
        return np.asarray(gram)

    def adjoint(self, image: Real) -> Real:
        """Scalar products of an image with all columns."""
        real, imaginary = np.split(self._parts @ image.astype(np.float32), 2)
        half = real + 1j * imaginary
        terms = np.einsum("tc,tc->t", half[self._at[0]], self._col[self._at[1]])
        return np.concatenate([terms.real, np.where(self.flat, 0.0, -terms.imag)]).astype(float)

    def image(self, coefficients: Real, flat: bool = True, waves: bool = True) -> Real:
        """Image of these coefficients; without the background or the waves, if so wanted."""
        real, imaginary = np.split(coefficients, 2)
        wanted = np.where(self.flat, flat, waves)
        values = ((real + 1j * imaginary) * wanted).astype(np.complex64)
        # Terms come sorted by their row factor.
        starts = np.flatnonzero(np.diff(self._at[0], prepend=-1))
        half = np.add.reduceat(values[:, None] * self._col[self._at[1]], starts, axis=0)
        return np.asarray(self._parts.T @ np.concatenate([half.real, -half.imag]), float)

    def start(self, image: Real) -> Real:
        """Coefficients of plain least squares."""
        return np.asarray(linalg.cho_solve(self._factor, self.adjoint(image)))

    def fit(
        self, image: Real, mask: Bool, rounds: int = ROUNDS, start: Real | None = None
    ) -> tuple[Real, Real]:
        """Coefficients of the robust fit, and the weights of the pixels; `start` holds coefficients, too."""
        unit = float(np.abs(image[mask]).max()) or 1.0
        seen = image / unit
        found = self.start(np.where(mask, seen, seen[mask].mean())) if start is None else start / unit
        weights = mask.astype(float)
        for number in range(rounds):
            go_on()
            rest = seen - self.image(found)
            weights = biweight(rest, mask, REJECTED * (1.5 if number == 0 and start is None else 1.0))
            step = self._solved(weights, self.adjoint(weights * rest))
            found = found + step
            if np.linalg.norm(step) <= SETTLED * np.linalg.norm(found):
                break
        weights = biweight(seen - self.image(found), mask, REJECTED)
        return found * unit, weights

    def _solved(self, weights: Real, right: Real) -> Real:
        """Solution of the weighted normal equations, by a few steps of preconditioned conjugate gradients."""
        found = np.zeros_like(right)
        rest = right
        away = linalg.cho_solve(self._factor, rest)
        towards = away
        slope = float(rest @ away)
        for _ in range(INNER):
            if slope <= 0:
                break
            image = self.adjoint(weights * self.image(towards))
            bend = float(towards @ image)
            if bend <= 0:
                break
            step = slope / bend
            found = found + step * towards
            rest = rest - step * image
            away = linalg.cho_solve(self._factor, rest)
            slope, before = float(rest @ away), slope
            towards = away + slope / before * towards
        return found


def displacement(rest: Real, lattice: Real, weights: Real) -> Displacement:
    """Further displacement of each row and each column that explains the rest best, half a pixel at most."""
    from scipy import ndimage

    slopes = np.gradient(lattice)
    found = []
    for axis, smooth in ((1, 0.0), (0, 2.0)):
        sums = [[(weights * a * b).sum(axis) for b in slopes] for a in slopes]
        right = np.array([(weights * a * rest).sum(axis) for a in slopes])
        normal = np.moveaxis(np.array(sums), -1, 0)
        normal += (0.05 * np.trace(normal, axis1=1, axis2=2).mean() + 1e-300) * np.eye(2)
        step = np.clip(np.linalg.solve(normal, right.T[..., None])[..., 0], -0.5, 0.5)
        found.append(ndimage.gaussian_filter1d(step, smooth, axis=0) if smooth else step)
    return Displacement(*found)


def _factors(frequencies: Real, moved: Real, n: int, degree: int) -> Complex:
    """Factors (waves × degrees, n) along one axis: Legendre polynomials times waves."""
    place = np.arange(n)
    slow = np.polynomial.legendre.legvander(2 * place / (n - 1) - 1, degree).T
    wave = np.exp(2j * np.pi * (frequencies[:, None] * place + moved))
    return np.asarray((wave[:, None] * slow).reshape(-1, n), np.complex64)


def _terms(waves: int, degrees: Degrees, background: Degrees) -> tuple[NDArray[np.intp], ...]:
    """Wave and degrees along rows and columns of every term; wave 0 is the background."""
    faint = (min(FAINT, degrees[0]), min(FAINT, degrees[1]))
    terms = [(0, i, j) for i, j in _pairs(background)]
    for wave in range(1, waves):
        terms += [(wave, i, j) for i, j in _pairs(degrees if wave <= STRONG else faint)]
    wave, i, j = np.array(terms).T
    return wave, i, j


def _pairs(degrees: Degrees) -> list[Degrees]:
    """Pairs of degrees whose shares of the largest add up to 1 at most."""
    ranges = (range(d + 1) for d in degrees)
    return [
        (i, j) for i, j in product(*ranges) if i / max(1, degrees[0]) + j / max(1, degrees[1]) <= 1 + 1e-9
    ]
