"""Orientations: one shape turned and mirrored by a point group, as linear maps between kernels.

An orientation is a linear map of the shape's pixels, so that a shape's kernels for all its orientations are
linear in the shape, and their fit is one least-squares problem. Where a turn takes pixels to pixels, the map
is a permutation; elsewhere it reads the shape between pixels by windowed sincs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from napari_sbd.core.atoms import Taps
from napari_sbd.core.peaks import Peaks
from napari_sbd.core.quality import kernel_similarity, signed_similarity
from napari_sbd.core.sphere import project

Real = NDArray[np.floating]
Pair = tuple[int, int]
Lengths = tuple[float, float]

ALIKE = 0.9  # similarity of two orientations of a shape, above which they are one
ON_PIXELS = 1e-6  # px, within which a turned pixel lies on another
HELD = 64  # matrices that are kept
NEGLIGIBLE = 1e-9  # weight of a pixel
TURNS = {"none": 1, "m": 1, "c2": 2, "c3": 3, "c4": 4, "c6": 6, "c2v": 2, "c3v": 3, "c4v": 4, "c6v": 6}


@dataclass(frozen=True)
class Orientation:
    """How the shape of a defect type lies in one of the model's kernels.

    Parameters
    ----------
    type : int
        The defect type, from 0.
    angle : float
        Degrees by which its shape is turned counter-clockwise, as seen with rows downwards.
    mirrored : bool
        Whether it is mirrored, left to right, before it is turned.
    """

    type: int
    angle: float = 0.0
    mirrored: bool = False

    @property
    def plain(self) -> bool:
        """Whether it leaves the shape as it is."""
        return not (self.angle or self.mirrored)


def elements(symmetry: str, mirror: float = 0.0) -> list[tuple[float, bool]]:
    """Angles in degrees of a point group's elements, and whether they mirror; first the identity.

    Parameters
    ----------
    symmetry : str
        See `napari_sbd.core.parameters.Parameters`.
    mirror : float
        Angle that the first mirrored element turns by: twice that of its mirror line from the columns.

    Examples
    --------
    >>> elements("c3")
    [(0.0, False), (120.0, False), (240.0, False)]
    >>> elements("m", mirror=60)
    [(0.0, False), (60.0, True)]
    """
    turns = TURNS[symmetry]
    angles = [360.0 * turn / turns for turn in range(turns)]
    plain = [(angle, False) for angle in angles]
    return plain + [((angle + mirror) % 360, True) for angle in angles] if has_mirror(symmetry) else plain


def has_mirror(symmetry: str) -> bool:
    """Whether a point group has mirror lines."""
    return symmetry == "m" or symmetry.endswith("v")


@lru_cache(HELD)
def turning(how: Orientation, window: Pair, pixel_size: Lengths = (1.0, 1.0)) -> sparse.csr_matrix:
    """Matrix that turns a flat shape of this window about its middle; what leaves the window is lost.

    Parameters
    ----------
    how : Orientation
    window : tuple of int
    pixel_size : tuple of float
        Length of a pixel along rows and columns: turned is what lies in the sample, not the pixels.

    Examples
    --------
    >>> shape = np.arange(6.0).reshape(2, 3)
    >>> (turning(Orientation(0, 180), (2, 3)) @ shape.ravel()).reshape(2, 3).tolist()
    [[5.0, 4.0, 3.0], [2.0, 1.0, 0.0]]
    """
    size, middle = np.reshape(pixel_size, (2, 1)), np.reshape([(k - 1) / 2 for k in window], (2, 1))
    places = np.indices(window).reshape(2, -1) - middle
    source = _snapped((_turn(how).T @ (places * size)) / size + middle)
    taps = Taps.at(source.T, window)
    columns = taps.rows[:, :, None] * window[1] + taps.cols[:, None, :]
    count = window[0] * window[1]
    row = np.broadcast_to(np.arange(count)[:, None, None], columns.shape)
    matrix = sparse.coo_matrix((taps.weights.ravel(), (row.ravel(), columns.ravel())), (count, count)).tocsr()
    matrix.data[np.abs(matrix.data) < NEGLIGIBLE] = 0
    matrix.eliminate_zeros()
    return matrix


@lru_cache(HELD)
def _seen_in_all(
    orientations: tuple[Orientation, ...], window: Pair, pixel_size: Lengths
) -> NDArray[np.bool_]:
    """Which pixels of a shape stay inside the window in all of its orientations."""
    size, middle = np.reshape(pixel_size, (2, 1)), np.reshape([(k - 1) / 2 for k in window], (2, 1))
    places = (np.indices(window).reshape(2, -1) - middle) * size
    inside = np.ones(window, bool).ravel()
    for how in orientations:
        turned = _snapped((_turn(how) @ places) / size + middle)
        inside &= ((turned >= -0.5) & (turned <= np.reshape(window, (2, 1)) - 0.5)).all(0)
    return inside.reshape(window)


def _middle(window: Pair, own: Pair) -> NDArray[np.bool_]:
    """Which pixels of a window are those of a smaller one in its middle."""
    inside = [np.abs(np.arange(k) - (k - 1) / 2) <= m / 2 for k, m in zip(window, own, strict=True)]
    return np.asarray(inside[0][:, None] & inside[1])


def _snapped(places: Real) -> Real:
    """Places in pixels, on the pixel where they lie next to it."""
    on_pixels = np.rint(places)
    return np.where(np.abs(places - on_pixels) < ON_PIXELS, on_pixels, places)


def _turn(how: Orientation) -> Real:
    """Matrix of mirror and turn on lengths (row, col), rows downwards."""
    cosine, sine = np.cos(np.deg2rad(how.angle)), np.sin(np.deg2rad(how.angle))
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return turn @ np.diag([1, -1]) if how.mirrored else turn


@dataclass(frozen=True)
class Ties:
    """Kernels that are orientations of shapes: between both, linear maps and their adjoints.

    Parameters
    ----------
    orientations : tuple of Orientation
        Of each kernel; the first of each type leaves its shape as it is.
    pixel_size : tuple of float
        Length of a pixel along rows and columns.
    windows : tuple of (rows, cols)
        Of each type, in the middle of the common one, outside of which its shape is zero; empty where all
        types have the common one.
    """

    orientations: tuple[Orientation, ...]
    pixel_size: tuple[float, float] = (1.0, 1.0)
    windows: tuple[Pair, ...] = ()

    @property
    def types(self) -> NDArray[np.intp]:
        """Type of each kernel."""
        return np.array([how.type for how in self.orientations], np.intp)

    @property
    def first(self) -> list[int]:
        """Number of each type's first kernel."""
        types = [how.type for how in self.orientations]
        return [types.index(kind) for kind in range(max(types, default=-1) + 1)]

    def members(self, kind: int) -> list[int]:
        """Numbers of a type's kernels."""
        return [number for number, how in enumerate(self.orientations) if how.type == kind]

    def matrices(self, window: tuple[int, ...]) -> list[sparse.csr_matrix | None]:
        """What turns a flat shape into each kernel; None where that is the shape itself."""
        size = (window[-2], window[-1])
        return [None if h.plain else turning(h, size, self.pixel_size) for h in self.orientations]

    def seen(self, window: tuple[int, ...]) -> NDArray[np.bool_]:
        """Which pixels belong to each shape (types, 1, k1, k2): those that no orientation loses."""
        size = (window[-2], window[-1])
        groups = [tuple(self.orientations[n] for n in self.members(kind)) for kind in range(len(self.first))]
        inside = np.stack([_seen_in_all(group, size, self.pixel_size)[None] for group in groups])
        for kind, own in enumerate(self.windows):
            inside[kind] &= _middle(size, own)
        return inside

    def moved(self, number: int, move: tuple[float, float] | Real) -> Real:
        """Where a move (row, col) of a shape takes one of its kernels, in pixels."""
        how, size = self.orientations[number], np.asarray(self.pixel_size)
        return np.asarray(_turn(how) @ (np.asarray(move) * size) / size)

    def shapes(self, kernels: Real) -> Real:
        """The shape of each type, from its first kernel."""
        return np.asarray(kernels[self.first])

    def of_type(self, kind: int) -> Ties:
        """Those of one type, as if it were the only one."""
        return replace(
            self, orientations=tuple(replace(h, type=0) for h in self.orientations if h.type == kind)
        )

    def chosen(self, which: NDArray[np.bool_]) -> Ties:
        """Those of some kernels; of each type, the first among them."""
        return replace(
            self, orientations=tuple(h for h, kept in zip(self.orientations, which, strict=True) if kept)
        )

    def joined(self, other: Ties) -> Ties:
        """Those of more types behind these."""
        number = len(self.first)
        return replace(
            self,
            orientations=self.orientations
            + tuple(replace(h, type=h.type + number) for h in other.orientations),
        )

    def summed(self, maps: Real) -> Real:
        """Maps of all orientations of each type together, (types, rows, cols)."""
        total = np.zeros((len(self.first), *maps.shape[1:]), maps.dtype)
        np.add.at(total, self.types, maps)
        return total

    def spread(self, shapes: Real) -> Real:
        """Kernels of all orientations of shapes (types, slices, k1, k2); turned ones need no unit norm."""
        kernels = np.empty((len(self.orientations), *shapes.shape[1:]), shapes.dtype)
        shapes = shapes * self.seen(shapes.shape)
        pairs = zip(self.types, self.matrices(shapes.shape), strict=True)
        for number, (kind, matrix) in enumerate(pairs):
            kernels[number] = shapes[kind] if matrix is None else _applied(matrix, shapes[kind])
        return kernels

    def gather(self, kernels: Real) -> Real:
        """The adjoint of `spread`."""
        shapes = np.zeros((len(self.first), *kernels.shape[1:]), kernels.dtype)
        for kernel, kind, matrix in zip(kernels, self.types, self.matrices(kernels.shape), strict=True):
            shapes[kind] += kernel if matrix is None else _applied(matrix.T, kernel)
        return np.asarray(shapes * self.seen(shapes.shape))

    def tied(self, kernels: Real) -> Real:
        """Kernels of unit norm that are orientations of each type's first."""
        return self.of_shapes(self.shapes(kernels))

    def of_shapes(self, shapes: Real) -> Real:
        """Kernels of unit norm of all orientations of shapes."""
        return project(self.spread(shapes))


def similarity_of(signed: bool) -> Callable[[Real, Real], float]:
    """How alike two orientations are; upside down is the same where activations have both signs."""
    return kernel_similarity if signed else signed_similarity


def distinct(
    shape: Real,
    symmetry: str,
    signed: bool,
    pixel_size: tuple[float, float] = (1.0, 1.0),
    kind: int = 0,
    mirror: float = 0.0,
) -> list[Orientation]:
    """Orientations of a shape (slices, k1, k2) by a point group that are not alike; first the shape itself.

    A shape that an element leaves as it is has fewer orientations than the group has elements. Where
    activations have both signs, an orientation that is another upside down is the same.

    Examples
    --------
    >>> bar = np.zeros((1, 7, 7))
    >>> bar[0, 3, 1:6] = 1
    >>> [how.angle for how in distinct(bar, "c4", signed=False)]
    [0.0, 90.0]
    """
    similarity = similarity_of(signed)
    window = (shape.shape[1], shape.shape[2])
    found: list[Orientation] = []
    images: list[Real] = []
    for angle, mirrored in elements(symmetry, mirror):
        how = Orientation(kind, angle, mirrored)
        image = _applied(turning(how, window, pixel_size), shape)
        if all(similarity(image, other) < ALIKE for other in images):
            found.append(how)
            images.append(image)
    return found


def _applied(matrix: sparse.csr_matrix | sparse.csc_matrix, kernel: Real) -> Real:
    """A matrix on each slice of a kernel (slices, k1, k2)."""
    flat = matrix @ kernel.reshape(len(kernel), -1).T
    return np.asarray(flat.T.reshape(kernel.shape), kernel.dtype)


def group_of(symmetry: str, pixel_size: tuple[float, float] = (1.0, 1.0)) -> Ties | None:
    """One shape in all orientations of a point group; None where every kernel is a type of its own."""
    if symmetry == "none":
        return None
    return Ties(tuple(Orientation(0, *element) for element in elements(symmetry)), pixel_size)


def by_type(peaks: Sequence[Peaks], ties: Ties | None) -> list[Peaks]:
    """Defects of each type, those of all its orientations together; `peaks` are those of each kernel."""
    if ties is None:
        return list(peaks)
    groups = [[peaks[n] for n in ties.members(kind)] for kind in range(len(ties.first))]
    return [
        Peaks(np.concatenate([p.centres for p in group]), np.concatenate([p.amplitudes for p in group]))
        for group in groups
    ]
