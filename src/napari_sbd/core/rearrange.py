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
from scipy import ndimage, signal, spatial

from napari_sbd.core.atoms import atoms_of
from napari_sbd.core.defects import WEAKEST, typical_amplitude
from napari_sbd.core.descent import Iterate
from napari_sbd.core.moves import Odds, Rules, offers
from napari_sbd.core.objective import Objective
from napari_sbd.core.support_model import correlations

Real = NDArray[np.floating]
Group = tuple[int, ...]

REACH = 2  # px, how far a defect may move at a time
AROUND = np.array(list(product(range(-REACH, REACH + 1), repeat=2)))
CROWDED = 0.03  # defects per place, above which moves of pairs do not help any more
POWER = 1  # of amplitudes, by which the typical one is told: what is merged must not rule
TANGLED = 0.1  # close pairs per defect, above which rearranging is worth it
SUSPICIOUS, HELD = 1.3, 0.2  # of a typical amplitude: what may be several defects, and what is one
# The largest defect is the third: one alone may be several. Share of defects not weak against it.
LARGEST, COMPOSED = 3, 0.6
FREE, LIGHT = 0.2, 0.1  # weights around the former, and of the latter
NEAR = 0.2  # of the window: neighbours that are tried together
NEAREST = 4  # px, at least
SWEEPS = 4
BATCH = 400  # pairs that are judged together
# Price of a second defect over ln N σ²: while what is loosened blurs the kernel, and where amplitudes count.
CAREFUL, FAIR = 4.0, 1.0
WHOLE = 1 - 1e-3  # squared norm of an atom that is seen whole


def tangled(found: Iterate) -> bool:
    """Whether more than a few defects sit close to another, yet not so many that moves of pairs are lost."""
    strong = _strong(found)
    if len(strong) < 2 or len(strong) > CROWDED * found.maps.size:
        return False
    near = max(NEAREST, NEAR * max(found.kernels.shape[-2:]))
    pairs = len(spatial.KDTree(strong).query_pairs(near, p=np.inf))
    return pairs > TANGLED * len(strong)


def composed(found: Iterate) -> bool:
    """Whether most defects are weak against the largest, as those that compose another type's signature."""
    size = np.sort(np.abs(atoms_of(found).amplitudes))[::-1]
    if len(size) < LARGEST:
        return False
    large = np.count_nonzero(size >= WEAKEST * size[LARGEST - 1])
    return bool(large < COMPOSED * len(_strong(found)))


def density(found: Iterate) -> float:
    """Defects per place of a map that are not much weaker than the typical one."""
    return len(_strong(found)) / found.maps.size


def _strong(found: Iterate) -> Real:
    """Centres (n, 2) of defects that are not much weaker than the typical one of their type."""
    atoms = atoms_of(found)
    size, strong = np.abs(atoms.amplitudes), np.zeros(len(atoms.kinds), bool)
    for kind in np.unique(atoms.kinds):
        here = atoms.kinds == kind
        strong[here] = size[here] >= WEAKEST * typical_amplitude(size[here], POWER)
    return atoms.centres[strong]


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


def rearranged(
    objective: Objective,
    found: Iterate,
    noise: float,
    nonnegative: bool,
    price: float = CAREFUL,
    alike: bool = False,
) -> Iterator[Iterate]:
    """Try close neighbours at other places; yields the maps after each batch of pairs; kernels stay.

    Parameters
    ----------
    objective : Objective
    found : Iterate
    noise : float
        Standard deviation of a pixel's noise.
    nonnegative : bool
        Whether activations must be.
    price : float
        Of a second defect, in ln N variances of the noise.
    alike : bool
        Whether an amplitude counts the less likely, the farther it lies from what is usual for its type.
    """
    puzzle = _Puzzle(objective, found, noise, nonnegative, price, alike)
    for _ in range(SWEEPS):
        before = puzzle.changes
        for batch in _batches(puzzle.pairs()):
            for pair in puzzle.promising(batch):
                puzzle.improve(pair)
            yield replace(found, maps=puzzle.maps())
        if puzzle.changes == before:
            return


class _Puzzle:
    """Defects on a board: their places and amplitudes, and what they leave of the image."""

    def __init__(
        self, objective: Objective, found: Iterate, noise: float, nonnegative: bool, price: float, alike: bool
    ) -> None:
        field, model = objective.field, objective.convolution
        self.kernels, self.like = found.kernels, found.maps
        self.window = model.kernel_shape
        self.rules = Rules(price * np.log(max(2, objective.mask.sum())) * noise**2, nonnegative)
        self.seen = (~field.outside).astype(found.kernels.dtype)
        self.atoms = dict(enumerate(_listed(found.maps)))
        weight = noise**2 if alike else 0.0
        self.odds = [Odds(map_[map_ != 0], weight) for map_ in found.maps]
        self.rest = np.zeros_like(field.target)
        inside = tuple(slice(k - 1, k - 1 + n) for k, n in zip(self.window, model.image_shape, strict=True))
        self.rest[:, *inside] = -objective.left(found.kernels, found.maps)
        share = objective.visible_share(found.kernels)
        self.norms = np.pad(share, ((0, 0), (REACH, REACH), (REACH, REACH)))
        far = NEAREST + 2 * REACH + 1
        self.products = np.pad(correlations(found.kernels), ((0, 0), (0, 0), (far, far), (far, far)))
        self._next = len(self.atoms)
        self.changes = 0
        self._tried: set[tuple[tuple[int, int, int, float], ...]] = set()

    def maps(self) -> Real:
        maps = np.zeros_like(self.like)
        for kind, row, col, amplitude in self.atoms.values():
            maps[kind, row, col] += amplitude
        return maps

    def pairs(self) -> list[Group]:
        """All defects alone, and all that are close two by two."""
        numbers = list(self.atoms)
        places = np.array([self.atoms[n][1:3] for n in numbers], float).reshape(-1, 2)
        near = max(NEAREST, NEAR * max(self.window))
        close = spatial.KDTree(places).query_pairs(near, p=np.inf) if len(places) else set()
        alone = [(n,) for n in numbers]
        return alone + [(numbers[i], numbers[j]) for i, j in sorted(close)]

    def promising(self, groups: list[Group]) -> list[Group]:
        """Those that may explain more elsewhere; of atoms that are not seen whole only a try tells."""
        groups = [group for group in groups if all(n in self.atoms for n in group)]
        shown = np.pad(self._correlation(), ((0, 0), (REACH, REACH), (REACH, REACH)))
        by_kinds: dict[tuple[int, int], list[Group]] = {}
        for group in groups:
            kinds = self.atoms[group[0]][0], self.atoms[group[-1]][0]
            by_kinds.setdefault(kinds, []).append(group)
        chosen: set[Group] = set()
        for kinds, alike in by_kinds.items():
            worth = self._worth_a_try(alike, kinds, shown)
            chosen.update(group for group, good in zip(alike, worth, strict=True) if good)
        return [group for group in groups if group in chosen]

    def _worth_a_try(self, groups: list[Group], kinds: tuple[int, int], shown: Real) -> NDArray[np.bool_]:
        atoms = [np.array([self.atoms[group[n]][1:] for group in groups]) for n in (0, -1)]
        atoms[1][:, 2] *= [len(group) > 1 for group in groups]
        corners = [a[:, :2].astype(int) for a in atoms]
        sizes = [a[:, 2] for a in atoms]
        places = [corner[:, None] + AROUND for corner in corners]

        def product(one: int, other: int, lags: NDArray[np.intp]) -> Real:
            rows, cols = np.moveaxis(lags, -1, 0)
            middle = [n // 2 for n in self.products.shape[-2:]]
            return np.asarray(self.products[kinds[one], kinds[other], rows + middle[0], cols + middle[1]])

        reach, norms = [], []
        for n in range(2):
            rows, cols = np.moveaxis(places[n] + REACH, -1, 0)
            here = shown[kinds[n], rows, cols]
            for m in range(2):
                here = here + sizes[m][:, None] * product(n, m, places[n] - corners[m][:, None])
            reach.append(here)
            norms.append(self.norms[kinds[n], rows, cols])
        cross = product(0, 1, places[0][:, :, None] - places[1][:, None])
        odds = self.odds[kinds[0]], self.odds[kinds[1]]
        found = offers((reach[0], reach[1]), (norms[0], norms[1]), cross, odds, self.rules)
        two, middle = np.array([len(group) > 1 for group in groups]), len(AROUND) // 2
        between = product(0, 1, corners[0] - corners[1])
        now = sum(x * r[:, middle] - 0.5 * x**2 for x, r in zip(sizes, reach, strict=True))
        now = now - sizes[0] * sizes[1] * between - odds[0].cost(sizes[0])
        now -= np.where(two, self.rules.price + odds[1].cost(sizes[1]), 0)
        cut = np.minimum(norms[0].min(1), norms[1].min(1)) < WHOLE
        return np.asarray(cut | (found.top() > self.rules.threshold(now)))

    def _correlation(self) -> Real:
        """Of each kernel with what is left of the image, on the extended maps."""
        maps = [
            sum(signal.correlate(r, a, "valid", method="fft") for r, a in zip(self.rest, kernel, strict=True))
            for kernel in self.kernels
        ]
        return np.array(maps)

    def improve(self, pair: Group) -> None:
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
        first, rules = len(self.groups[0]), self.puzzle.rules
        gram = self.atoms @ self.atoms.T
        index = [self._number(n, atom) for n, atom in enumerate(self.old)]
        amplitudes = np.array([atom[3] for atom in self.old])
        reach = self.reach + gram[:, index] @ amplitudes
        norms = np.diagonal(gram)
        now = float(reach[index] @ amplitudes - 0.5 * amplitudes @ gram[np.ix_(index, index)] @ amplitudes)
        now -= rules.price * (len(index) - 1)
        now -= sum(float(self.puzzle.odds[atom[0]].cost(atom[3])) for atom in self.old)
        one, other = (self.puzzle.odds[group[0][0]] for group in self.groups)
        halves = (reach[:first], reach[first:]), (norms[:first], norms[first:])
        found = offers(*halves, gram[:first, first:], (one, other), rules)
        top = float(found.top())
        if top <= rules.threshold(np.asarray(now)):
            return None
        if top == found.gain_of_two.max():
            i, j = divmod(int(found.gain_of_two.argmax()), len(self.groups[1]))
            return [self._atom(i, found.first[i, j]), self._atom(first + j, found.second[i, j])]
        single = int(found.gain_of_one.argmax())
        return [self._atom(single, found.one[single])]

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


def _listed(maps: Real) -> Iterator[tuple[int, int, int, float]]:
    for kind, row, col in np.argwhere(maps):
        yield int(kind), int(row), int(col), float(maps[kind, row, col])


def _batches(pairs: list[Group]) -> Iterator[list[Group]]:
    rest = iter(pairs)
    while batch := list(islice(rest, BATCH)):
        yield batch
