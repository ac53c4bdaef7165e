"""Hum beneath defects: told from the defect by what neighbouring lines share.

A defect is as smooth across the lines as along them, hum is not. Where no pixel shows the hum alone, both are
Gaussian processes: the hum's own, narrowed by the rest of its line, and the defect's, whose length and height
the image decides (the most probable ones).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import linalg, ndimage
from scipy.spatial.distance import cdist

from napari_sbd.prepare.operation import Bool, Real
from napari_sbd.prepare.stopping import go_on

REACH = 64  # px on either side of a defect by which its line narrows the hum beneath it
LARGEST = 2500  # px solved together; larger defects are cut into bands
JUDGED, SAMPLE = 4, 400  # defects, the largest, on which the length is chosen, and px of each
LENGTHS = (1.5, 2.0, 3.0, 4.5, 7.0, 10.0, 15.0)  # px
HEIGHTS = tuple(2.0**n for n in range(-6, 13))  # variance of a defect over the hum's beneath it


@dataclass(frozen=True)
class _Gap:
    """A defect's pixels, what is left there, and the covariance of hum and noise, given the lines' rests."""

    at: tuple[np.ndarray, np.ndarray]
    rest: Real
    hum: Real
    white: float

    def part(self, most: int) -> _Gap:
        """Some of its columns, so many pixels at most; all its lines."""
        step = -(-len(self.rest) // most)
        kept = np.flatnonzero((self.at[1] - self.at[1].min()) % step == step // 2)
        return _Gap(
            (self.at[0][kept], self.at[1][kept]), self.rest[kept], self.hum[np.ix_(kept, kept)], self.white
        )

    def noise(self) -> Real:
        """Covariance of all that is no defect."""
        return np.asarray(self.hum + self.white * np.eye(len(self.rest)))

    def shape(self, length: float) -> Real:
        """Covariance of a defect of height 1 (Matérn, 5/2)."""
        points = np.stack(self.at, axis=1).astype(float)
        far = np.sqrt(5) * cdist(points, points) / length
        return np.asarray((1 + far + far**2 / 3) * np.exp(-far))

    def unit(self) -> float:
        """The hum's variance, in which heights are counted."""
        return float(np.trace(self.hum) / len(self.rest)) + self.white

    def evidence(self, length: float) -> tuple[float, float]:
        """Logarithm of the probability of what is left, and the height at which it is largest."""
        root = linalg.cholesky(self.noise(), lower=True)
        half = linalg.solve_triangular(root, self.shape(length), lower=True)
        values, vectors = linalg.eigh(linalg.solve_triangular(root, half.T, lower=True))
        seen = np.square(vectors.T @ linalg.solve_triangular(root, self.rest, lower=True))
        heights = self.unit() * np.array(HEIGHTS)
        spread = 1 + heights[:, None] * np.clip(values, 0, None)
        found = -0.5 * (seen / spread + np.log(spread)).sum(axis=1)
        best = int(np.argmax(found))
        return float(found[best]), float(heights[best])

    def explained(self, length: float, height: float) -> Real:
        """The hum's most probable share of what is left."""
        both = height * self.shape(length) + self.noise()
        return np.asarray(self.hum @ linalg.solve(both, self.rest, assume_a="pos"))


def hum_beneath(rest: Real, weights: Real, blobs: Bool, covariance: Real, white: float) -> Real:
    """Hum beneath defects that continuing it from both sides has left.

    Parameters
    ----------
    rest : array (rows, cols)
        Image less the hum as it is continued.
    weights : array (rows, cols)
        Of the pixels that show the hum alone.
    blobs : array of bool (rows, cols)
        True where a defect lies.
    covariance : array (cols, cols)
        Of the hum along a line.
    white : float
        Variance of the noise of a pixel.

    Returns
    -------
    array (rows, cols)
        0 away from defects.
    """
    found = np.zeros_like(rest)
    gaps = list(_gaps(rest, weights, blobs, covariance, white))
    if not gaps:
        return found
    largest = sorted(gaps, key=lambda gap: -len(gap.rest))[:JUDGED]
    parts = [gap.part(SAMPLE) for gap in largest]
    length = max(LENGTHS, key=lambda each: sum(part.evidence(each)[0] for part in parts))
    for gap in gaps:
        go_on()
        found[gap.at] = gap.explained(length, gap.part(SAMPLE).evidence(length)[1])
    return found


def _gaps(rest: Real, weights: Real, blobs: Bool, covariance: Real, white: float) -> Iterator[_Gap]:
    labels, _ = ndimage.label(blobs, np.ones((3, 3), bool))
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        rows, cols = np.nonzero(labels[box] == number)
        rows, cols = rows + box[0].start, cols + box[1].start
        bands = -(-len(rows) // LARGEST)
        edges = np.unique(np.searchsorted(rows, np.linspace(rows[0], rows[-1] + 1, bands + 1).round()))
        for begin, end in pairwise(edges):
            at = rows[begin:end], cols[begin:end]
            yield _Gap(at, rest[at], _narrowed(at, weights, covariance, white), white)


def _narrowed(at: tuple[np.ndarray, np.ndarray], weights: Real, covariance: Real, white: float) -> Real:
    """Covariance of the hum at these pixels, given the rests of their lines; each line for itself."""
    rows, cols = at
    found = np.zeros((len(rows), len(rows)))
    for row in np.unique(rows):
        own = np.flatnonzero(rows == row)
        hidden = cols[own]
        near = np.arange(max(0, hidden[0] - REACH), min(len(covariance), hidden[-1] + 1 + REACH))
        seen = near[weights[row, near] > 0]
        left = covariance[np.ix_(hidden, hidden)]
        if len(seen):
            across = covariance[np.ix_(seen, hidden)]
            known = covariance[np.ix_(seen, seen)] + np.diag(white / weights[row, seen])
            left = left - across.T @ linalg.solve(known, across, assume_a="pos")
        found[np.ix_(own, own)] = left
    return found
