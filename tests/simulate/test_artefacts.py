"""Instrument artefacts: each leaves its own mark and nothing else."""

import numpy as np
import pytest

from napari_sbd.simulate import ARTEFACTS, drift, drifted_positions, isolated, line_offsets, one_over_f, plane


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def image():
    return np.random.default_rng(8).standard_normal((128, 160))


def test_line_offsets_are_constant_along_each_line(image, rng):
    change = line_offsets(image, rng, 0.5) - image
    np.testing.assert_allclose(np.ptp(change, axis=1), 0, atol=1e-12)
    assert change[:, 0].std() == pytest.approx(0.5 * image.std(), rel=0.2)


def test_one_over_f_noise_falls_as_one_over_f_along_the_lines(image, rng):
    change = one_over_f(image, rng, 0.4) - image
    np.testing.assert_allclose(change.mean(axis=1), 0, atol=1e-12)
    power = (np.abs(np.fft.rfft(change, axis=1)) ** 2).mean(axis=0)[1:-1]
    slope = np.polyfit(np.log(np.arange(1, len(power) + 1)), np.log(power), 1)[0]
    assert slope == pytest.approx(-1, abs=0.1)
    neighbours = np.corrcoef(change[:-1].ravel(), change[1:].ravel())[0, 1]
    assert abs(neighbours) < 0.1


def test_plane_is_a_plane_without_mean(image, rng):
    change = plane(image, rng, 3.0) - image
    assert np.ptp(change) == pytest.approx(3 * image.std())
    assert abs(change.mean()) < 1e-12
    for axis in (0, 1):
        np.testing.assert_allclose(np.diff(change, n=2, axis=axis), 0, atol=1e-12)


def test_drift_moves_features_where_drifted_positions_says():
    places = np.array([[20.0, 30.0], [64.0, 100.0], [108.0, 50.0]])
    rows, cols = np.indices((128, 128))
    image = sum(np.exp(-((rows - r) ** 2 + (cols - c) ** 2) / 18) for r, c in places)
    moved = drift(image, np.random.default_rng(3), 5.0)
    expected = drifted_positions(places, 128, np.random.default_rng(3), 5.0)
    assert np.linalg.norm(expected - places, axis=1).max() > 2
    for place in expected:
        near = moved * (np.hypot(rows - place[0], cols - place[1]) < 12)
        centroid = np.array([(near * rows).sum(), (near * cols).sum()]) / near.sum()
        np.testing.assert_allclose(centroid, place, atol=0.1)


def test_drift_is_strongest_at_the_ends_and_absent_in_the_middle():
    ends = np.array([[0.0, 50.0], [63.5, 50.0], [127.0, 50.0]])
    moved = drifted_positions(ends, 128, np.random.default_rng(0), 4.0) - ends
    assert np.linalg.norm(moved[1]) == 0
    np.testing.assert_allclose(np.linalg.norm(moved[[0, 2]], axis=1), 4.0, rtol=0.1)


def test_too_strong_a_drift_is_refused(image, rng):
    with pytest.raises(ValueError, match="keep it below 32"):
        drift(image, rng, 40.0)


@pytest.mark.parametrize("name", ARTEFACTS)
def test_artefacts_are_pure_and_leave_the_image_alone_at_strength_zero(name, image):
    function = ARTEFACTS[name][0]
    before = image.copy()
    first, again = (function(image, np.random.default_rng(1), 1.0) for _ in range(2))
    np.testing.assert_array_equal(image, before)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(function(image, np.random.default_rng(1), 0.0), image, atol=1e-10)


def test_artefacts_are_switched_on_one_by_one():
    plain = isolated(3)
    tilted, striped = isolated(3, artefacts="plane"), isolated(3, artefacts=("line_offsets",))
    both = isolated(3, artefacts={"line_offsets": 0.5, "plane": 3.0})
    np.testing.assert_array_equal(plain.clean, both.clean)
    changes = (tilted.image - plain.image) + (striped.image - plain.image)
    np.testing.assert_allclose(both.image - plain.image, changes, atol=1e-10)


def test_unknown_artefact_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match="'hum'; choose among drift, plane"):
        isolated(artefacts=("hum",))
