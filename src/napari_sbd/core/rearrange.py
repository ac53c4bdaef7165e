"""Rearrangement: neighbouring defects tried at other places, together, one fewer or one more.

A descent cannot move a defect past a neighbour that overlaps it, so in crowded images it ends with some on
wrong pixels. Here each close pair is taken out and put back where it explains the image best.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice, product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, spatial

from napari_sbd.core.atoms import atoms_of
from napari_sbd.core.defects import WEAKEST, typical_amplitude
from napari_sbd.core.descent import Iterate
from napari_sbd.core.objective import Objective

Real = NDArray[np.floating]

REACH = 2  # px, how far a defect may move at a time
CROWDED = 0.02  # defects per place, above which moves of pairs do not help any more
POWER = 1  # of amplitudes, by which the typical one is told: what is merged must not rule
TANGLED = 0.1  # close pairs per defect, above which rearranging is worth it
SUSPICIOUS, HELD = 1.3, 0.2  # of a typical amplitude: what may be several defects, and what is one
FREE, LIGHT = 0.2, 0.1  # weights around the former, and of the latter
NEAR = 0.2  # of the window: neighbours that are tried together
NEAREST = 4  # px, at least
SWEEPS = 4
BATCH = 100  # pairs between two chances to stop
PRICE = 4.0  # of a second defect, times ln N σ²
RIDGE = 1e-3


def tangled(found: Iterate) -> bool:
    """Whether more than a few defects sit close to another, yet not so many that moves of pairs are lost."""
    atoms = atoms_of(found)
    if len(atoms.kinds) < 2:
        return False
    size, strong = np.abs(atoms.amplitudes), np.zeros(len(atoms.kinds), bool)
    for kind in range(len(found.maps)):
        here = atoms.kinds == kind
        strong[here] = size[here] >= WEAKEST * typical_amplitude(size[here], POWER)
    if int(strong.sum()) > CROWDED * found.maps.size:
        return False
    near = max(NEAREST, NEAR * max(found.kernels.shape[-2:]))
    places = spatial.KDTree(atoms.centres[strong])
    pairs = len(places.query_pairs(near, p=np.inf))
    return pairs > TANGLED * int(strong.sum())


def loosened(maps: Real) -> Real:
    """Weights that let go of activations which may stand for several defects, and hold the others.

    A defect much stronger than the typical one may be two or three merged; as long as they are, the kernel
    is blurred to suit them. Around it every pixel is nearly free.
    """
    weights = np.ones_like(maps)
    for map_, weight in zip(np.abs(maps), weights, strict=True):
        if map_.any():
            size = map_[map_ > 0]
            typical = np.median(size[size >= WEAKEST * typical_amplitude(size, POWER)])
            weight[map_ > HELD * typical] = LIGHT
            around = ndimage.binary_dilation(map_ > SUSPICIOUS * typical, np.ones((2 * REACH + 1,) * 2, bool))
            weight[around] = FREE
    return weights


def rearranged(objective: Objective, found: Iterate, noise: float, nonnegative: bool) -> Iterator[Iterate]:
    """Try close neighbours at other places; yields the maps after each batch of pairs; kernels stay.

    Parameters
    ----------
    objective : Objective
    found : Iterate
    noise : float
        Standard deviation of a pixel's noise.
    nonnegative : bool
        Whether activations must be.
    """
    puzzle = _Puzzle(objective, found, noise, nonnegative)
    for _ in range(SWEEPS):
        before = puzzle.changes
        for batch in _batches(puzzle.pairs()):
            for pair in batch:
                puzzle.improve(pair)
            yield replace(found, maps=puzzle.maps())
        if puzzle.changes == before:
            return


class _Puzzle:
    """Defects on a board: their places and amplitudes, and what they leave of the image."""

    def __init__(self, objective: Objective, found: Iterate, noise: float, nonnegative: bool) -> None:
        field, model = objective.field, objective.convolution
        self.kernels, self.like, self.nonnegative = found.kernels, found.maps, nonnegative
        self.window = model.kernel_shape
        self.price = PRICE * np.log(max(2, objective.mask.sum())) * noise**2
        self.seen = (~field.outside).astype(found.kernels.dtype)
        self.atoms = dict(enumerate(_listed(found.maps)))
        residual, _ = objective.residual(model.kernel_spectra(found.kernels), model.map_spectra(found.maps))
        self.rest = np.zeros_like(field.target)
        inside = tuple(slice(k - 1, k - 1 + n) for k, n in zip(self.window, model.image_shape, strict=True))
        self.rest[:, *inside] = -model.frame(residual)
        self._next = len(self.atoms)
        self.changes = 0
        self._tried: set[tuple[tuple[int, int, int, float], ...]] = set()

    def maps(self) -> Real:
        maps = np.zeros_like(self.like)
        for kind, row, col, amplitude in self.atoms.values():
            maps[kind, row, col] += amplitude
        return maps

    def pairs(self) -> list[tuple[int, ...]]:
        """All defects alone, and all that are close two by two."""
        numbers = list(self.atoms)
        places = np.array([self.atoms[n][1:3] for n in numbers], float).reshape(-1, 2)
        near = max(NEAREST, NEAR * max(self.window))
        close = spatial.KDTree(places).query_pairs(near, p=np.inf) if len(places) else set()
        alone = [(n,) for n in numbers]
        return alone + [(numbers[i], numbers[j]) for i, j in sorted(close)]

    def improve(self, pair: tuple[int, ...]) -> None:
        """Put the pair where it explains most for its price, unless it was tried as it stands."""
        old = [self.atoms[n] for n in pair if n in self.atoms]
        here = tuple(sorted(old))
        if len(old) < len(pair) or here in self._tried:
            return
        self._tried.add(here)
        box = _Box(self, old)
        new = box.best()
        if new is None:
            return
        self.changes += 1
        for number in pair:
            del self.atoms[number]
        for atom in new:
            self.atoms[self._next] = atom
            self._next += 1
        box.apply(new)


class _Box:
    """The part of the image that a pair and the places around it can reach."""

    def __init__(self, puzzle: _Puzzle, old: list[tuple[int, int, int, float]]) -> None:
        self.puzzle, self.old = puzzle, old
        (rows, cols), (k1, k2) = puzzle.like.shape[1:], puzzle.window
        groups = [
            [
                (kind, row + i, col + j)
                for i, j in product(range(-REACH, REACH + 1), repeat=2)
                if 0 <= row + i < rows and 0 <= col + j < cols
            ]
            for kind, row, col, _ in old
        ]
        if len(groups) == 1:
            groups = groups * 2
        self.groups = groups
        places = np.array(groups[0] + groups[1])
        self.low = places[:, 1:].min(0)
        high = places[:, 1:].max(0) + puzzle.window
        self.part = (slice(None), slice(self.low[0], high[0]), slice(self.low[1], high[1]))
        self.places = places
        seen = puzzle.seen[self.part]
        shape = seen.shape
        atoms = np.zeros((len(places), *shape), puzzle.kernels.dtype)
        for number, (kind, row, col) in enumerate(places - [0, *self.low]):
            atoms[number, :, row : row + k1, col : col + k2] = puzzle.kernels[kind]
        atoms *= seen
        self.atoms = atoms.reshape(len(places), -1)
        self.rest = puzzle.rest[self.part].ravel()
        self.reach = self.atoms @ self.rest

    def best(self) -> list[tuple[int, int, int, float]] | None:
        """The best one or two defects, if better than what is there; else None."""
        first, second = len(self.groups[0]), len(self.groups[1])
        gram = self.atoms @ self.atoms.T
        index = [self._number(n, atom) for n, atom in enumerate(self.old)]
        amplitudes = np.array([atom[3] for atom in self.old])
        reach = self.reach + gram[:, index] @ amplitudes
        norms = np.diagonal(gram)
        usable = norms > RIDGE * 10
        value = np.where(usable, reach / np.maximum(norms, RIDGE), 0)
        if self.puzzle.nonnegative:
            value = np.maximum(value, 0)
        alone = 0.5 * value**2 * norms
        now = float(reach[index] @ amplitudes - 0.5 * amplitudes @ gram[np.ix_(index, index)] @ amplitudes)
        now -= self.puzzle.price * (len(index) - 1)
        rows, cols = np.arange(first)[:, None], first + np.arange(second)
        x, y, gain = _two(reach[rows], reach[cols], norms[rows], norms[cols], gram[:first, first:])
        gain = gain - self.puzzle.price
        good = usable[rows] & usable[cols]
        if self.puzzle.nonnegative:
            good &= (x > 0) & (y > 0)
        gain = np.where(good, gain, -np.inf)
        top = max(float(alone.max()), float(gain.max()))
        if top <= now + max(0.05 * self.puzzle.price, 1e-6 * abs(now)):
            return None
        if top == gain.max():
            i, j = divmod(int(gain.argmax()), second)
            return [self._atom(i, x[i, j]), self._atom(first + j, y[i, j])]
        single = int(alone.argmax())
        return [self._atom(single, value[single])]

    def _number(self, group: int, atom: tuple[int, int, int, float]) -> int:
        return group * len(self.groups[0]) + self.groups[group].index(atom[:3])

    def _atom(self, number: int, amplitude: float) -> tuple[int, int, int, float]:
        kind, row, col = (int(v) for v in self.places[number])
        return kind, row, col, float(amplitude)

    def apply(self, new: list[tuple[int, int, int, float]]) -> None:
        """Take the old defects out of the residual's model and put the new ones in."""
        change = np.zeros(len(self.places), self.atoms.dtype)
        everywhere = self.groups[0] + self.groups[1]
        for sign, atoms in ((1, self.old), (-1, new)):
            for atom in atoms:
                change[everywhere.index(atom[:3])] += sign * atom[3]
        self.puzzle.rest[self.part] += (change @ self.atoms).reshape(self.puzzle.rest[self.part].shape)


def _two(b1: Real, b2: Real, n1: Real, n2: Real, cross: Real) -> tuple[Real, Real, Real]:
    """Least squares of two atoms at once: amplitudes and the misfit that they take away."""
    determinant = n1 * n2 - cross**2
    safe = determinant > RIDGE * n1 * n2
    inverse = np.where(safe, 1 / np.where(safe, determinant, 1), 0)
    x = (n2 * b1 - cross * b2) * inverse
    y = (n1 * b2 - cross * b1) * inverse
    return x, y, 0.5 * (x * b1 + y * b2)


def _listed(maps: Real) -> Iterator[tuple[int, int, int, float]]:
    for kind, row, col in np.argwhere(maps):
        yield int(kind), int(row), int(col), float(maps[kind, row, col])


def _batches(pairs: list[tuple[int, ...]]) -> Iterator[list[tuple[int, ...]]]:
    rest = iter(pairs)
    while batch := list(islice(rest, BATCH)):
        yield batch
