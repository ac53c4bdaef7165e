from dataclasses import replace

import numpy as np
import pytest

from napari_sbd.core import moves
from napari_sbd.core.board import NONE, Board, Views
from napari_sbd.core.descent import Iterate
from napari_sbd.core.likelihood import (
    ORDERED,
    UNORDERED,
    Law,
    Options,
    Pulls,
    Twos,
    _of_cut,
    _of_whole,
    _unlikely,
    drawn_number,
    drawn_pair,
)
from napari_sbd.core.objective import Objective
from napari_sbd.core.sphere import project
from napari_sbd.simulate import ldos_kernel
from napari_sbd.simulate.fields import convolved

LAW = Law(0.5, np.array([4.0]), np.array([0.4]), np.array([-3.0]), nonnegative=True)


@pytest.fixture(scope="module")
def board():
    rng = np.random.default_rng(0)
    maps = np.where(rng.random((1, 60, 60)) < 0.03, 4.0, 0).astype(np.float32)
    kernel = project(ldos_kernel(11, -1.8)[None, None]).astype(np.float32)
    image = convolved(maps, kernel[0]) + rng.normal(0, 0.5, (50, 50))
    objective = Objective(image[None].astype(np.float32), np.ones((1, 50, 50), bool), (11, 11))
    return Board(objective, Iterate(kernel, maps, np.inf))


def whole(views):
    """Those where nothing is cut, the norms exactly one."""
    seen = views.chosen(views.whole)
    spots = tuple(replace(spot, roots=np.ones_like(spot.roots)) for spot in seen.spots)
    return Views((spots[0], spots[1]), seen.lags)


def test_what_is_computed_by_lag_is_what_all_pairs_of_places_give(board):
    views = whole(board.views(board.close(4)))
    assert 10 < len(views) < len(board.close(4))
    pulls = LAW.pulls(views.spots[0]), LAW.pulls(views.spots[1])
    by_lag, plain = (of(views, pulls, LAW.noise, ORDERED) for of in (_of_whole, _of_cut))
    assert np.isinf(by_lag).any()
    np.testing.assert_allclose(by_lag, plain, rtol=1e-4, atol=1e-3)
    least = np.full(len(views), 20.0)
    assert len(moves._of_whole(views, least)[0])
    for ours, theirs in zip(moves._of_whole(views, least), moves._of_cut(views, least), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_cut_and_whole_groups_keep_their_order(board):
    views = board.views(board.close(4))
    weights = Twos(views, LAW).weights()
    assert views.whole.any()
    assert not views.whole.all()
    for number in (int(np.argmax(views.whole)), int(np.argmin(views.whole))):
        alone = Twos(views.chosen(np.arange(len(views)) == number), LAW).weights()
        np.testing.assert_allclose(weights[number], alone[0], rtol=1e-5)


def test_two_about_one_centre_are_alike_in_either_order_and_apart(board):
    own = (np.arange(5), np.full(5, NONE))
    weights = Twos(board.twice(0, board.centres[:5], own), LAW).weights()
    np.testing.assert_allclose(weights, weights.transpose(0, 2, 1), rtol=1e-3, atol=1e-3)
    assert (np.diagonal(weights, axis1=1, axis2=2) == -np.inf).all()
    once = Twos(board.twice(0, board.centres[:5], own), LAW).weights(UNORDERED)
    np.testing.assert_allclose(once, weights[:, UNORDERED.first, UNORDERED.second], rtol=1e-5)


def test_a_spot_shows_the_image_without_its_own_defects(board):
    middle = np.flatnonzero((np.abs(board.centres - 30) < 12).all(1))[:3]
    spot = board.spot(board.kinds[middle], board.centres[middle], [middle])
    for row, number in enumerate(middle):
        rest = Board(board.objective, Iterate(board.kernels, board.maps(), np.inf))
        rest.sizes[number] = 0
        rest.refresh()
        rows, cols = spot.places[row].T
        np.testing.assert_allclose(spot.reach[row], rest.shown[0, rows, cols], atol=0.05)


def test_numbers_and_places_are_drawn_as_likely_as_they_are():
    rng = np.random.default_rng(0)
    one, two = np.log([[2.0, 1.0]]), np.log([[3.0]])
    many = 20000
    number, places = drawn_number(np.repeat(one, many, 0), np.repeat(two, many, 0), rng.random(many))
    np.testing.assert_allclose(np.bincount(number) / many, np.array([1, 3, 3]) / 7, atol=0.02)
    assert np.mean(places[number == 1, 0] == 0) == pytest.approx(2 / 3, abs=0.02)
    assert (places[number == 2].sum(1) == 1).all()
    pairs = drawn_pair(np.repeat(np.log([[[1.0, 2.0], [3.0, 4.0]]]), many, 0), rng.random((many, 2)))
    np.testing.assert_allclose(np.bincount(pairs @ [2, 1]) / many, [0.1, 0.2, 0.3, 0.4], atol=0.02)


SINGLE = Options(np.zeros(1, int), np.zeros(1, int))


def pair_law(linear, floor):
    """Two of one place each, as the law of their amplitudes: precision 2 and 3, and what else they need."""
    sides = zip((2.0, 3.0), linear, floor, strict=True)
    return tuple(
        Pulls(np.array([[a]]), np.array([[b]]), np.zeros((1, 1)), np.array([[f]])) for a, b, f in sides
    )


@pytest.mark.parametrize("linear", [(6.0, 6.0), (6.0, -1.0), (-2.0, 7.0), (-4.0, -4.0)])
def test_amplitudes_below_the_floor_weigh_as_little_as_the_likeliest_of_them_is_likely(linear):
    cross, floor = 1.5, 0.4
    (a1, a2), (b1, b2) = (2.0, 3.0), linear
    determinant = a1 * a2 - cross**2
    pulls = pair_law(linear, (floor, floor))
    found = _unlikely(np.array([[cross]]), np.array([[determinant]]), pulls, SINGLE)[0, 0]
    means = np.linalg.solve([[a1, cross], [cross, a2]], [b1, b2])
    deviations = np.sqrt(np.array([a2, a1]) / determinant)
    below = np.minimum((means - floor) / deviations, 0)
    assert found == pytest.approx(0.5 * np.square(below).sum(), abs=1e-9)


def test_of_a_pair_one_at_the_floor_leaves_the_other_what_the_image_holds(board):
    views = whole(board.views(board.close(4)))
    law = replace(LAW, noise=1e-2, typical=np.array([8.0]), variance=np.array([1e3]))
    at = np.tile([13, 12], (len(views), 1))  # the first one a pixel off its place
    pairs = Twos(views, law)
    draws = pairs.amplitudes(at, np.random.default_rng(0).standard_normal((len(at), 3)))
    low = 0.3 * 8.0
    assert (draws >= low - 1e-5).all()
    at_floor = draws <= low + 1e-5
    cross = views.cross[:, 13, 12] / law.noise
    for one, other, place in ((0, 1, 12), (1, 0, 13)):
        chosen = at_floor[:, one] & ~at_floor[:, other]
        assert chosen.sum() >= 2
        precision, linear = pairs.pulls[other].precision[:, place], pairs.pulls[other].linear[:, place]
        alone = (linear - cross * draws[:, one]) / precision
        np.testing.assert_allclose(draws[chosen, other], alone[chosen], atol=0.5)
