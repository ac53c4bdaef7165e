"""Orientations: what a turned shape looks like, and that the maps between shapes and kernels are exact."""

import numpy as np
import pytest

from napari_sbd.core.parameters import setting
from napari_sbd.core.symmetry import Orientation, Ties, distinct, elements, turning

GROUPS = [name for name in setting("symmetry").choices if name != "none"]


def blobs(window, angle=0.0, mirrored=False, pixel_size=(1.0, 1.0), seed=0):
    """A smooth lopsided shape, drawn anew at an angle: what turning it must give."""
    rng = np.random.default_rng(seed)
    reach = 0.28 * min(k * p for k, p in zip(window, pixel_size, strict=True))
    centres, weights = rng.uniform(-reach, reach, (6, 2)), rng.choice([-1.0, 1.0, 1.5], 6)
    rows, cols = (p * (np.arange(k) - (k - 1) / 2) for k, p in zip(window, pixel_size, strict=True))
    if mirrored:
        centres = centres * [1, -1]
    cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    centres = centres @ np.array([[cosine, -sine], [sine, cosine]]).T
    width = 0.09 * min(k * p for k, p in zip(window, pixel_size, strict=True))
    apart = (rows[:, None, None] - centres[:, 0]) ** 2 + (cols[:, None] - centres[:, 1]) ** 2
    return np.exp(-apart / (2 * width**2)) @ weights


def turned(shape, how, pixel_size=(1.0, 1.0)):
    return (turning(how, shape.shape, pixel_size) @ shape.ravel()).reshape(shape.shape)


@pytest.mark.parametrize("symmetry", GROUPS)
def test_a_group_is_closed(symmetry):
    known = {(round(angle) % 360, mirrored) for angle, mirrored in elements(symmetry)}
    assert len(known) == len(elements(symmetry))
    for angle, mirrored in known:
        for other, also in known:
            # A mirror that comes first turns the other way what came before it.
            both = (round(angle + (-other if mirrored else other)) % 360, mirrored != also)
            assert both in known


def test_quarter_turns_go_counter_clockwise_and_are_exact():
    shape = np.random.default_rng(0).standard_normal((9, 9))
    for turns in range(4):
        np.testing.assert_array_equal(turned(shape, Orientation(0, 90 * turns)), np.rot90(shape, turns))
        mirrored = Orientation(0, 90 * turns, mirrored=True)
        np.testing.assert_array_equal(turned(shape, mirrored), np.rot90(shape[:, ::-1], turns))


@pytest.mark.parametrize("angle", [60, 120, 240, 33])
@pytest.mark.parametrize("mirrored", [False, True])
def test_turns_between_pixels_show_the_shape_as_drawn_at_that_angle(angle, mirrored):
    shape = blobs((25, 25))
    found = turned(shape, Orientation(0, angle, mirrored))
    wanted = blobs((25, 25), angle, mirrored)
    assert np.linalg.norm(found - wanted) < 0.01 * np.linalg.norm(wanted)


def test_what_is_turned_lies_in_the_sample_not_in_pixels():
    pixel_size = (1.0, 0.5)
    shape = blobs((21, 41), 0, pixel_size=pixel_size)
    found = turned(shape, Orientation(0, 60), pixel_size)
    wanted = blobs((21, 41), 60, pixel_size=pixel_size)
    assert np.linalg.norm(found - wanted) < 0.02 * np.linalg.norm(wanted)


def test_spreading_and_gathering_are_adjoint(rng):
    ways = (Orientation(0), Orientation(0, 60), Orientation(1), Orientation(1, 90, True))
    ties = Ties(ways, (1.0, 1.3))
    shapes, kernels = rng.standard_normal((2, 3, 11, 12)), rng.standard_normal((4, 3, 11, 12))
    left, right = np.vdot(ties.spread(shapes), kernels), np.vdot(shapes, ties.gather(kernels))
    assert left == pytest.approx(right, rel=1e-12)


def test_each_type_has_its_own_first_kernel(rng):
    ties = Ties((Orientation(0), Orientation(0, 180), Orientation(1)))
    shapes = rng.standard_normal((2, 1, 7, 7))
    np.testing.assert_array_equal(ties.shapes(ties.spread(shapes)), shapes)


@pytest.mark.parametrize(
    ("symmetry", "count"), [("c2", 2), ("c3", 3), ("c4", 4), ("c6", 6), ("m", 2), ("c4v", 8), ("c6v", 12)]
)
def test_a_lopsided_shape_has_an_orientation_for_each_element(symmetry, count):
    assert len(distinct(blobs((25, 25))[None], symmetry, signed=False)) == count


def test_a_symmetric_shape_has_one_orientation_of_those_that_leave_it():
    one = blobs((25, 25), 0)
    trefoil = sum(blobs((25, 25), angle) for angle in (0, 120, 240))[None]
    assert len(distinct(trefoil, "c3", signed=False)) == 1
    assert [how.angle for how in distinct(trefoil, "c6", signed=False)] == [0.0, 60.0]
    odd = (one - one[::-1, ::-1])[None]
    assert len(distinct(odd, "c2", signed=False)) == 2
    assert len(distinct(odd, "c2", signed=True)) == 1
