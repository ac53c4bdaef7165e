import numpy as np
import pytest

from napari_sbd.core import rearrange
from napari_sbd.core.board import Groups
from napari_sbd.core.compiled import compiled_moves
from napari_sbd.core.moves import Odds, Rules, best_moves
from napari_sbd.core.recover import recover
from napari_sbd.simulate import ldos_kernel, random_field

needs_numba = pytest.mark.skipif(compiled_moves() is None, reason="numba is not installed, or switched off")


def places(board, moves):
    """What the moves put where: kind, row, column of each defect, in order, by group."""
    return [
        sorted((kind, *place) for kind, place, size in zip(*one, strict=True) if size)
        for one in zip(moves.kinds.tolist(), moves.places.tolist(), moves.sizes.tolist(), strict=True)
    ]


@needs_numba
@pytest.mark.parametrize("alike", [True, False])
def test_machine_code_moves_what_numpy_moves(any_crowd, alike):
    board, law = any_crowd()
    close, alone = board.close(4), np.arange(len(board))
    groups = Groups(np.append(alone, close.first), np.append(alone, close.second))
    own = [board.sizes[board.kinds == kind] for kind in range(board.shape[0])]
    odds = Odds(own, law.noise**2 if alike else 0.0)
    rules = Rules(8 * law.noise**2, law.nonnegative)
    plain, ours = (best(board, groups, odds, rules) for best in (best_moves, compiled_moves()))
    assert len(plain.groups) > 10
    # Where two moves are worth the same, either is.
    both = np.array([a == b for a, b in zip(places(board, plain), places(board, ours), strict=True)])
    np.testing.assert_array_equal(ours.groups.first, plain.groups.first)
    np.testing.assert_array_equal(ours.groups.second, plain.groups.second)
    np.testing.assert_allclose(ours.surplus, plain.surplus, rtol=1e-3, atol=1e-3 * rules.price)
    assert both.mean() > 0.97
    sizes = [np.sort(moves.sizes[both]) for moves in (ours, plain)]
    np.testing.assert_allclose(*sizes, atol=2e-3 * float(law.typical[0]))


@needs_numba
def test_crowds_are_rearranged_alike_with_and_without_machine_code(monkeypatch):
    kernel = ldos_kernel(13)
    crowd = random_field(kernel, (128, 128), 0.03, snr_db=10, seed=0)
    found = []
    for moves in (compiled_moves, lambda: None):
        monkeypatch.setattr(rearrange, "compiled_moves", moves)
        found.append(recover(crowd.image, kernel_size=13))
    with_it, without = found
    assert np.vdot(with_it.kernels[0], without.kernels[0]) > 0.9999
    assert len(with_it.defects) == pytest.approx(len(without.defects), abs=3)
