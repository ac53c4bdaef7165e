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
ROUNDS = 12  # steps of conjugate gradients, each with new weights
SETTLED = 3e-4  # change of the coefficients after which no more follow
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
    alike : Harmonics, optional
        The same, less or more displaced: what its fits are started by serves these, too.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        frequencies: Real,
        degrees: Degrees,
        background: Degrees,
        moved: Displacement | None = None,
        alike: Harmonics | None = None,
    ) -> None:
        moved = moved or Displacement.none(shape)
        self.shape = shape
        waves = np.concatenate([np.zeros((1, 2)), frequencies])
        most = [max(pair) for pair in zip(degrees, background, strict=True)]
        along = (moved.rows, moved.cols)
        factors = [
            _factors(waves[:, axis], waves @ along[axis].T, n, most[axis]) for axis, n in enumerate(shape)
        ]
        wave, *powers = _terms(len(waves), degrees, background)
        # Only the factors that some term uses, each once.
        keys = [wave * (m + 1) + power for m, power in zip(most, powers, strict=True)]
        used = [np.unique(key, return_inverse=True) for key in keys]
        # Products run along the axis with fewer factors first; terms come sorted by these.
        self._turned = len(used[1][0]) < len(used[0][0])
        axes = (1, 0) if self._turned else (0, 1)
        order = np.argsort(keys[axes[0]], kind="stable")
        self.flat = wave[order] == 0
        self._outer, self._inner = (factors[axis][used[axis][0]] for axis in axes)
        self._at = tuple(used[axis][1][order] for axis in axes)
        self._starts = np.flatnonzero(np.diff(self._at[0], prepend=-1))
        # Real and imaginary parts as factors of their own: images are real.
        self._parts = np.concatenate([self._outer.real, self._outer.imag])
        go_on()
        self._factor: tuple[Real, bool] = linalg.cho_factor(self._gram()) if alike is None else alike._factor

    def _gram(self) -> Real:
        """Scalar products of all real columns: the real parts of the terms, then the imaginary ones."""
        a, b = self._at
        outer, inner = self._outer.astype(complex), self._inner.astype(complex)
        apart = (outer @ outer.conj().T)[np.ix_(a, a)] * (inner @ inner.conj().T)[np.ix_(b, b)]
        along = (outer @ outer.T)[np.ix_(a, a)] * (inner @ inner.T)[np.ix_(b, b)]
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
        single = (image.T if self._turned else image).astype(np.float32, copy=False)
        real, imaginary = np.split(self._parts @ single, 2)
        half = real + 1j * imaginary
        terms = np.einsum("tc,tc->t", half[self._at[0]], self._inner[self._at[1]])
        return np.concatenate([terms.real, np.where(self.flat, 0.0, -terms.imag)]).astype(float)

    def image(self, coefficients: Real, flat: bool = True, waves: bool = True) -> Real:
        """Image of these coefficients; without the background or the waves, if so wanted."""
        real, imaginary = np.split(coefficients, 2)
        wanted = np.where(self.flat, flat, waves)
        values = ((real + 1j * imaginary) * wanted).astype(np.complex64)
        half = np.add.reduceat(values[:, None] * self._inner[self._at[1]], self._starts, axis=0)
        both = np.concatenate([half.real, -half.imag])
        return np.asarray(both.T @ self._parts if self._turned else self._parts.T @ both)

    def start(self, image: Real) -> Real:
        """Coefficients of plain least squares."""
        return np.asarray(linalg.cho_solve(self._factor, self.adjoint(image)))

    def fit(
        self, image: Real, mask: Bool, rounds: int = ROUNDS, start: Real | None = None
    ) -> tuple[Real, Real, Real]:
        """Coefficients of the robust fit, what it leaves, and the pixels' weights; `start` is coefficients.

        Conjugate gradients, preconditioned by the fit without weights; the weights follow at each step.
        """
        unit = float(np.abs(image[mask]).max()) or 1.0
        seen = (image / unit).astype(np.float32)
        found = self.start(np.where(mask, seen, seen[mask].mean())) if start is None else start / unit
        rest = seen - self.image(found)
        weights = biweight(rest, mask, REJECTED * (1.5 if start is None else 1.0))
        towards, pull, before = np.zeros_like(found), np.zeros_like(found), 0.0
        for _ in range(rounds):
            go_on()
            last, pull = pull, self.adjoint(weights * rest)
            away = linalg.cho_solve(self._factor, pull)
            turn = max(0.0, float(away @ (pull - last)) / before) if before > 0 else 0.0
            towards, before = away + turn * towards, float(away @ pull)
            wave = self.image(towards)
            bend = float(np.vdot(weights * wave, wave))
            if not bend > 0:
                break
            step = float(pull @ towards) / bend
            found = found + step * towards
            wave *= np.float32(step)
            rest -= wave
            weights = biweight(rest, mask, REJECTED)
            if abs(step) * np.linalg.norm(towards) <= SETTLED * np.linalg.norm(found):
                break
        return found * unit, rest.astype(float) * unit, weights


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
