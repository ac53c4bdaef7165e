import numpy as np
import pytest

from napari_sbd.core import sweep as sweeps
from napari_sbd.core.compiled import compiled_draws
from napari_sbd.core.draws import Draws, Grid
from napari_sbd.core.likelihood import LEAST_SEEN
from napari_sbd.core.recover import recover
from napari_sbd.core.sweep import sweep
from napari_sbd.simulate import ldos_kernel, random_field

needs_numba = pytest.mark.skipif(compiled_draws() is None, reason="numba is not installed, or switched off")


@needs_numba
def test_machine_code_draws_what_numpy_draws(monkeypatch, any_crowd):
    drawn = []
    for draws in (Draws, compiled_draws()):
        monkeypatch.setattr(sweeps, "compiled_draws", lambda draws=draws: draws)
        crowd, law = any_crowd()
        before = crowd.maps()
        misfit = sweep(crowd, law, np.random.default_rng(1))
        crowd.refresh()
        assert misfit == pytest.approx(crowd.misfit, rel=1e-4)
        drawn.append((crowd.maps(), misfit))
    (plain, misfit), (ours, ours_misfit) = drawn
    assert np.count_nonzero((plain != 0) != (before != 0)) > 20
    np.testing.assert_array_equal(ours != 0, plain != 0)
    # Of what is hidden the amplitude is chance, and its sign rounding.
    seen = crowd.norms > LEAST_SEEN
    np.testing.assert_allclose(ours[seen], plain[seen], atol=1e-3 * law.typical[0])
    assert ours_misfit == pytest.approx(misfit, rel=1e-3)


@needs_numba
def test_crowds_are_recovered_alike_with_and_without_machine_code(monkeypatch):
    kernel = ldos_kernel(13)
    crowd = random_field(kernel, (96, 96), 0.03, snr_db=10, seed=0)
    with_it = recover(crowd.image, kernel_size=13)
    monkeypatch.setattr(sweeps, "compiled_draws", lambda: None)
    without = recover(crowd.image, kernel_size=13)
    assert np.vdot(with_it.kernels[0], without.kernels[0]) > 0.998
    assert len(with_it.defects) == pytest.approx(len(without.defects), rel=0.1)


def test_every_place_is_in_one_tile_but_for_the_rim():
    grid = Grid.of((34, 41), np.array([2, 4]))
    places = np.stack(np.indices((34, 41)), -1).reshape(-1, 2)
    numbers = grid.number(places)
    inside = numbers >= 0
    assert np.bincount(numbers[inside]).tolist() == [Grid.TILE**2] * len(grid)
    off = np.abs(places[inside] - grid.centres(numbers[inside]))
    assert off.max() == Grid.TILE // 2
    assert not ((places[~inside] >= 2 + Grid.TILE) & (places[~inside] < 34 - Grid.TILE)).all(1).any()


def test_tiles_that_are_drawn_together_are_apart():
    grid = Grid.of((60, 60), np.array([0, 3]))
    rounds = list(grid.rounds())
    assert sorted(np.concatenate(rounds)) == list(range(len(grid)))
    for numbers in rounds:
        centres = grid.centres(numbers)
        apart = np.abs(centres[:, None] - centres).max(-1)
        assert apart[~np.eye(len(numbers), dtype=bool)].min() == Grid.STRIDE * Grid.TILE


@pytest.mark.parametrize(
    "before",
    [
        "import sys; sys.modules['numba'] = None",
        "import os; os.environ['NUMBA_DISABLE_JIT'] = '1'",
        "import sys, types; sys.modules['numba'] = types.ModuleType('numba')",
    ],
    ids=["not installed", "switched off", "broken"],
)
def test_without_numba_places_are_drawn_by_numpy(printed_by, before):
    code = f"{before}; from napari_sbd.core.compiled import compiled_draws; print(compiled_draws())"
    assert printed_by(code) == "None"


def test_numba_waits_until_a_crowd_is_sampled(printed_by):
    code = (
        "import sys, napari_sbd; from napari_sbd.simulate import ldos_kernel, random_field; "
        "field = random_field(ldos_kernel(13), (96, 96), 2e-3, snr_db=20, seed=0); "
        "napari_sbd.recover(field.image, kernel_size=13); print('numba' in sys.modules)"
    )
    assert printed_by(code) == "False"


@needs_numba
def test_what_cannot_be_compiled_is_said_and_drawn_by_numpy(monkeypatch, caplog):
    from napari_sbd.core import draw_loops

    def failing(*args):
        raise TypeError("no such thing")

    monkeypatch.setattr(draw_loops, "redraw", failing)
    assert compiled_draws.__wrapped__() is None
    assert "places are drawn by NumPy: no such thing" in caplog.text


ONE_SWEEP = """
import numpy as np
from napari_sbd.core.board import Board
from napari_sbd.core.descent import Iterate
from napari_sbd.core.likelihood import Law
from napari_sbd.core.objective import Objective
from napari_sbd.core.sweep import sweep
from napari_sbd.simulate import ldos_kernel, random_field
field = random_field(ldos_kernel(25), (150, 150), 0.03, snr_db=10, seed=0)
objective = Objective(field.image[None].astype('f'), np.ones((1, 150, 150), bool), (25, 25))
maps = np.zeros((1, 174, 174), 'f'); maps[:, 12:-12, 12:-12] = np.roll(field.activations, 1, 1)
board = Board(objective, Iterate(field.kernels[:, None].astype('f'), maps, np.inf))
one = np.ones(1); law = Law(float(field.noise_std) ** 2, one, 0.1 * one, -3 * one, True)
misfit = sweep(board, law, np.random.default_rng(0))
print(board.sizes.tobytes().hex(), misfit)
"""


@needs_numba
def test_what_was_just_compiled_draws_what_is_kept_on_disk(printed_by, tmp_path):
    """To the last bit: otherwise the first recovery on a machine is another than those after it."""
    code = f"import os; os.environ['NUMBA_CACHE_DIR'] = {str(tmp_path)!r}{ONE_SWEEP}"
    assert printed_by(code) == printed_by(code)
    assert any(tmp_path.rglob("draw_loops.redraw*"))
