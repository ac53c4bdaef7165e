"""Rearrangement: neighbouring defects tried at other places, together, one fewer or one more.

A descent cannot move a defect past a neighbour that overlaps it, so in crowded images it ends with some on
wrong pixels. Here each close pair is taken out and put back where it explains the image best; pairs that have
little to do with each other at the same time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, spatial

from napari_sbd.core.atoms import atoms_of
from napari_sbd.core.board import REACH, Board, Groups, apart
from napari_sbd.core.compiled import compiled_moves
from napari_sbd.core.descent import Iterate
from napari_sbd.core.merged import POWER, suspicious, usual_size
from napari_sbd.core.moves import Moves, Odds, Rules, best_moves
from napari_sbd.core.objective import Objective
from napari_sbd.core.peaks import WEAKEST, typical_amplitude

Real = NDArray[np.floating]
Index = NDArray[np.intp]

CROWDED = 0.03  # defects per place, above which moves of pairs do not help any more
DENSE = 0.012  # the same, above which none stands alone
TANGLED = 0.1  # close pairs per defect, above which rearranging is worth it
HELD = 0.2  # of a typical amplitude: what is a defect
# The largest defect is the third: one alone may be several. Share of defects not weak against it.
LARGEST, COMPOSED = 3, 0.6
FREE, LIGHT = 0.2, 0.1  # weights around the former, and of the latter
NEAR = 0.2  # of the window: neighbours that are tried together
NEAREST = 4  # px, at least
ROUNDS = 40
APART = 0.3  # of the window: groups farther apart are moved at the same time
# Over a second defect's price: change of what a typical defect finds, which is not worth another look.
SLIGHT = 0.1
BATCH = 128  # pairs that are judged together: they fit into the cache
MANY = 300  # defects, from which machine code is worth loading
# Price of a second defect over ln N σ²: while what is loosened blurs the kernel, and where amplitudes count.
CAREFUL, FAIR = 4.0, 1.0


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


def dense(found: Iterate, share: float = 1.0) -> bool:
    """Whether there are so many defects that nothing can be done to one alone; or a `share` of so many."""
    most = share * DENSE * found.maps.size
    return bool(np.count_nonzero(found.maps != 0) > most and len(_strong(found)) > most)


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
    for map_, own, weight in zip(np.abs(maps), suspicious(maps), weights, strict=True):
        if map_.any():
            weight[map_ > HELD * usual_size(map_[map_ > 0])] = LIGHT
            weight[ndimage.binary_dilation(own, np.ones((2 * REACH + 1,) * 2, bool))] = FREE
    return weights


def rearranged(
    objective: Objective,
    found: Iterate,
    noise: float,
    nonnegative: bool,
    price: float = CAREFUL,
    alike: bool = False,
) -> Iterator[Iterate]:
    """Try close neighbours at other places; yields the maps after each batch of moves; kernels stay.

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
    for _ in range(ROUNDS):
        if not puzzle.improve():
            return
        yield replace(found, maps=puzzle.board.maps())


class _Puzzle:
    """The board, the rules, and what was tried already."""

    def __init__(
        self, objective: Objective, found: Iterate, noise: float, nonnegative: bool, price: float, alike: bool
    ) -> None:
        self.board = Board(objective, found)
        compiled = compiled_moves() if len(self.board) >= MANY else None
        self.best_moves = compiled or best_moves
        self.rules = Rules(price * np.log(max(2, objective.mask.sum())) * noise**2, nonnegative)
        self.odds = Odds([map_[map_ != 0] for map_ in found.maps], noise**2 if alike else 0.0)
        self.window = max(found.kernels.shape[-2:])
        self.near = max(NEAREST, NEAR * self.window)
        self.slight = SLIGHT * self.rules.price / float(self.odds.typical.max())
        self._look_everywhere()
        self.barred: set[bytes] = set()
        self.cost = self._cost()

    def improve(self) -> bool:
        """Make the moves that gain most, as many as are far enough apart; False where none gains."""
        good = self._moves()
        if good is None:
            return False
        board, waiting = self.board, self.board.centres[np.append(good.groups.first, good.groups.second)]
        order = np.argsort(-good.surplus, kind="stable")
        moves = good.chosen(apart(board.centres, order, good.groups, int(APART * self.window) + REACH))
        before, made = board.state, False
        while len(moves.groups) and not made:
            moves.make(board)
            cost = self._cost()
            made = cost < self.cost
            if made:
                self.cost = cost
                break
            # What the frame cuts off, or neighbours that moved as well, made a gain of what is none.
            board.state = before
            if len(moves.groups) == 1:
                self.barred.add(self._key(moves.groups, 0))
            moves = moves.chosen(np.arange(len(moves.groups) // 2))
        if not made:
            board.refresh()
        self._look_again(np.concatenate([waiting, moves.places[moves.sizes != 0]]))
        return True

    def _moves(self) -> Moves | None:
        """The moves that gain, of groups whose surroundings have changed; once none does, of all."""
        good = self._fresh_moves()
        if good is None and not self.everywhere:
            self._look_everywhere()
            good = self._fresh_moves()
        return good

    def _fresh_moves(self) -> Moves | None:
        board = self.board
        close, alone = board.close(self.near), np.arange(len(board))
        groups = Groups(np.append(alone, close.first), np.append(alone, close.second))
        fresh = self.fresh[board.rows, board.cols]
        groups = groups.chosen(fresh[groups.first] | fresh[groups.second])
        parts = [groups.chosen(slice(n, n + BATCH)) for n in range(0, len(groups), BATCH)]
        if not parts:
            return None
        good = Moves.joined([self.best_moves(board, part, self.odds, self.rules) for part in parts])
        if self.barred:
            free = [self._key(good.groups, n) not in self.barred for n in range(len(good.groups))]
            good = good.chosen(np.array(free, bool))
        return good if len(good.groups) else None

    def _key(self, groups: Groups, number: int) -> bytes:
        """A group as it stands."""
        board, which = self.board, [groups.first[number], groups.second[number]]
        state = (board.kinds[which], board.rows[which], board.cols[which], board.sizes[which])
        return b"".join(values.tobytes() for values in state)

    def _look_everywhere(self) -> None:
        self.fresh = np.ones(self.board.shape[1:], bool)
        self.looked, self.everywhere = self.board.shown.copy(), True

    def _look_again(self, places: Index) -> None:
        """At these places, and where what is left has changed since the last look."""
        shown = self.board.shown
        changed = np.asarray((np.abs(shown - self.looked) > self.slight).any(0))
        changed[places[:, 0], places[:, 1]] = True
        self.fresh = ndimage.maximum_filter(changed, 2 * REACH + 1, mode="constant")
        self.looked[:, self.fresh] = shown[:, self.fresh]
        self.everywhere = False

    def _cost(self) -> float:
        board = self.board
        sizes = self.odds.cost(board.sizes, board.kinds).sum(dtype=float)
        return board.misfit + float(sizes) + self.rules.price * len(board)
