import numpy as np
import pytest

from napari_sbd.core import alternation, tiles
from napari_sbd.core.alternation import alternate, fit_maps
from napari_sbd.core.descent import Schedule
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.sphere import project

MODELS = [(1, 1, False), (1, 1, True), (3, 2, True)]


@pytest.fixture(params=MODELS, ids=["plain", "mask", "types, slices, mask"])
def model(request, rng):
    slices, types, holes = request.param
    data = rng.standard_normal((slices, 60, 71)) + 3
    mask = np.ones(data.shape, bool)
    if holes:
        mask[0, 5:9, 10:17] = False
        mask[-1, 20:30, 50:61] = False
    kernels = project(rng.standard_normal((types, slices, 7, 9)))
    maps = rng.standard_normal((types, 66, 79))
    maps[rng.random(maps.shape) > 0.02] = 0
    maps[:, 30:50, :40] = 0
    return (lambda: Objective(data, mask, (7, 9))), kernels, maps


@pytest.fixture
def small_tiles(monkeypatch):
    """Call it, and every image made from then on is cut into small tiles."""

    def shrink():
        monkeypatch.setattr(tiles, "WHOLE", 0)
        monkeypatch.setattr(tiles, "SIDE", 40)
        monkeypatch.setattr(tiles, "SMALL_SIDE", 36)

    return shrink


def test_every_pixel_is_in_one_tile_and_one_band():
    for cut in (
        list(tiles.tiles((23, 17), (5, 8))),
        [tiles.Tile(b, slice(0, 17)) for b in tiles.bands((23, 17), 60)],
    ):
        hits = np.zeros((23, 17), int)
        for tile in cut:
            hits[tile.rows, tile.cols] += 1
        assert (hits == 1).all()
        assert len(cut) > 3


def test_tiles_show_what_the_image_in_one_piece_shows(model, small_tiles):
    make, kernels, maps = model
    whole = make()
    expected = {
        "left": whole.left(kernels, maps),
        "slopes": next(slope for _, _, slope in whole.slopes(kernels, maps)),
        "share": whole.visible_share(kernels),
        "correlation": whole.correlation(kernels),
    }
    small_tiles()
    cut = make()
    assert whole.in_one_piece
    assert not cut.in_one_piece
    slopes = np.zeros_like(maps)
    pieces = list(cut.slopes(kernels, maps, halo=1))
    assert len(pieces) > 4
    for tile, around, slope in pieces:
        slopes[:, tile.rows, tile.cols] = slope[
            :,
            tile.rows.start - around.rows.start :,
            tile.cols.start - around.cols.start :,
        ][:, : tile.shape[0], : tile.shape[1]]
    found = {
        "left": cut.left(kernels, maps),
        "slopes": slopes,
        "share": cut.visible_share(kernels),
        "correlation": cut.correlation(kernels),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("steps", [alternate, fit_maps])
def test_the_engine_takes_the_same_steps_in_tiles(model, small_tiles, steps, monkeypatch):
    make, kernels, maps = model
    whole = make()
    penalty = Penalty(0.6 * float(whole.correlation(kernels).max()), 0.0, nonnegative=False)
    *_, expected = steps(whole, kernels, np.zeros_like(maps), penalty, Schedule(8, 1e-6))
    assert expected.maps.any()
    small_tiles()
    monkeypatch.setattr(alternation, "LEADING", 0)  # all candidates, as in one piece
    *_, found = steps(make(), kernels, np.zeros_like(maps), penalty, Schedule(8, 1e-6))
    np.testing.assert_allclose(found.maps, expected.maps, atol=1e-9)
    np.testing.assert_allclose(found.kernels, expected.kernels, atol=1e-9)
    assert found.objective == pytest.approx(expected.objective)
