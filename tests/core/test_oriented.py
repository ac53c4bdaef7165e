"""Recoveries in which a type's defects have orientations."""

from dataclasses import replace

import numpy as np
import pytest

from napari_sbd.core.part import part_of
from napari_sbd.core.quality import kernel_similarity
from napari_sbd.core.recover import iter_recover, recover
from napari_sbd.core.symmetry import elements
from napari_sbd.simulate import ldos_kernel, random_field

WINDOW = 15
SPOTS = ((-3, 1, 1.6, 1.0), (2, 3, 1.3, -1.0), (1, -4, 1.4, 0.8))  # row, col, width and height of each


def shape(angle=0.0, mirrored=False):
    """A lopsided shape, drawn at an angle."""
    rows, cols = np.mgrid[-7:8, -7:8]
    cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    image = np.zeros((WINDOW, WINDOW))
    for row, col, width, height in SPOTS:
        col = -col if mirrored else col
        down, right = cosine * row - sine * col, sine * row + cosine * col
        image += height * np.exp(-((rows - down) ** 2 + (cols - right) ** 2) / (2 * width**2))
    return image


def oriented(symmetry, seed=0, density=4e-3, snr_db=15, size=96):
    """A field of the shape in all orientations of a group; type n is the group's element n."""
    kernels = np.stack([shape(*element) for element in elements(symmetry)])
    return random_field(kernels, (size, size), density / len(kernels), snr_db=snr_db, seed=seed)


def meant(recovery, field):
    """For each found kernel the element of the true one that it resembles most."""
    alike = [[kernel_similarity(found[0], true) for true in field.kernels] for found in recovery.kernels]
    return np.argmax(alike, axis=1)


def share_right(recovery, field):
    """Share of the true defects that have a row with their orientation within a pixel."""
    ways = {(how.angle, how.mirrored): n for n, how in enumerate(recovery.orientations)}
    table = recovery.defects
    mirrored = table["mirrored"] if "mirrored" in table else np.zeros(len(table), bool)
    numbers = [ways[key] for key in zip(table["orientation"], mirrored, strict=True)]
    own = meant(recovery, field)[numbers]
    places = table[["row", "col"]].to_numpy()
    found = 0
    for place, kind in zip(field.positions, field.types, strict=True):
        near = np.linalg.norm(places - place, axis=1) <= 1.5
        found += bool((near & (own == kind)).any())
    return found / len(field.positions)


def test_mirror_lines_need_not_run_along_the_pixels():
    kernels = np.stack([shape(*element) for element in elements("m", mirror=50)])
    field = random_field(kernels, (96, 96), 2e-3, snr_db=15, seed=6)
    recovery = recover(field.image, kernel_size=WINDOW, symmetry="m")
    [angle] = [how.angle for how in recovery.orientations if how.mirrored]
    # Either of the two may be called the mirrored one: turned back, its angle is the same.
    assert angle == pytest.approx(50, abs=4)
    assert share_right(recovery, field) >= 0.95


@pytest.fixture(scope="module")
def quarter():
    return oriented("c4")


@pytest.fixture(scope="module")
def turned(quarter):
    return recover(quarter.image, kernel_size=WINDOW, symmetry="c4", pixel_size=0.2, unit="nm")


@pytest.mark.parametrize("symmetry", ["m", "c2", "c3", "c6", "c4v"])
def test_a_shape_in_all_orientations_of_a_group_is_one_type(symmetry):
    field = oriented(symmetry, seed=1)
    recovery = recover(field.image, kernel_size=WINDOW, symmetry=symmetry)
    assert recovery.types == len(recovery.shapes) == 1
    assert sorted(meant(recovery, field)) == list(range(len(field.kernels)))
    similarity = max(kernel_similarity(recovery.shapes[0, 0], true) for true in field.kernels)
    assert similarity > 0.995
    assert share_right(recovery, field) >= 0.95
    assert ("mirrored" in recovery.defects) == any(mirrored for _, mirrored in elements(symmetry))


def test_all_kernels_are_one_shape_turned(turned):
    assert [how.angle for how in turned.orientations] == [0, 90, 180, 270]
    assert turned.shapes.shape == (1, 1, WINDOW, WINDOW)
    for how, kernel in zip(turned.orientations, turned.kernels, strict=True):
        turns = round(how.angle / 90)
        np.testing.assert_allclose(kernel[0], np.rot90(turned.shapes[0, 0], turns), atol=1e-6)


def test_orientations_of_the_table_differ_as_the_true_ones_do(turned, quarter):
    assert share_right(turned, quarter) >= 0.97
    assert set(turned.defects["type"]) == {0}
    own = meant(turned, quarter)
    turns = [how.angle / 90 - n for how, n in zip(turned.orientations, own, strict=True)]
    assert len({turn % 4 for turn in turns}) == 1


def test_tied_shapes_are_better_than_types_of_their_own():
    field = oriented("c4", seed=2, density=2e-3, snr_db=5)
    tied = recover(field.image, kernel_size=WINDOW, symmetry="c4")
    apart = recover(field.image, kernel_size=WINDOW)
    best = max(kernel_similarity(tied.shapes[0, 0], true) for true in field.kernels)
    others = [max(kernel_similarity(a[0], true) for a in apart.kernels) for true in field.kernels]
    assert 1 - best < 0.5 * (1 - min(others))


def test_a_shape_that_the_group_leaves_as_it_is_has_one_orientation():
    trefoil = sum(shape(angle) for angle in (0, 120, 240))
    field = random_field(trefoil, (96, 96), 2e-3, snr_db=15, seed=3)
    recovery = recover(field.image, kernel_size=WINDOW, symmetry="c3")
    assert len(recovery.kernels) == recovery.types == 1
    assert set(recovery.defects["orientation"]) == {0.0}
    assert len(recovery.defects) == pytest.approx(len(field.positions), abs=1)


def test_two_shapes_each_with_orientations_are_two_types():
    other = np.pad(shape()[3:12, 3:12].T ** 2, 3)
    kernels = [shape(0), shape(180), other, other[::-1, ::-1]]
    field = random_field(np.stack(kernels), (112, 112), 8e-4, snr_db=20, seed=5)
    recovery = recover(field.image, kernel_size=WINDOW, symmetry="c2")
    assert recovery.types == len(recovery.shapes) == len(recovery.activations) == 2
    assert [how.type for how in recovery.orientations] == [0, 0, 1, 1]
    alike = np.array([[kernel_similarity(a[0], true) for a in recovery.shapes] for true in kernels])
    best = np.maximum(alike[::2], alike[1::2])  # either orientation may be called the first
    assert sorted(best.argmax(1)) == [0, 1]
    assert best.max(1).min() > 0.99
    assert len(recovery.trust.alike) == len(recovery.trust.together) == 2


def test_without_symmetry_nothing_has_an_orientation(recovery):
    assert recovery.orientations == ()
    assert recovery.shapes is recovery.kernels
    assert "orientation" not in recovery.defects


def test_noise_holds_nothing_in_any_orientation():
    noise = np.random.default_rng(0).standard_normal((64, 64))
    recovery = recover(noise, kernel_size=9, symmetry="c4")
    assert len(recovery.defects) == 0
    assert recovery.summary.startswith("no defects")


def test_upside_down_is_no_orientation_where_both_signs_occur():
    odd = shape() - shape()[::-1, ::-1]
    field = random_field(odd, (96, 96), 2e-3, snr_db=15, seed=4, signed=True)
    recovery = recover(field.image, kernel_size=WINDOW, symmetry="c2", activations="signed")
    assert len(recovery.kernels) == 1
    assert len(recovery.defects) == pytest.approx(len(field.positions), abs=1)


def test_solved_again_the_kernels_stay_tied(turned, quarter):
    again = turned.again(lam=0.2, kernel_size=WINDOW + 4)
    assert again.orientations == turned.orientations
    for how, kernel in zip(again.orientations, again.kernels, strict=True):
        np.testing.assert_allclose(kernel[0], np.rot90(again.shapes[0, 0], round(how.angle / 90)), atol=1e-6)
    assert share_right(again, quarter) > 0.9


def test_a_part_keeps_its_orientations(turned):
    part = part_of(turned, (slice(0, 60), slice(20, 90)))
    assert part.orientations == turned.orientations
    whole = turned.defects
    inside = whole[(whole["row"] < 55) & whole["col"].between(25, 85)]
    assert len(part.defects) >= len(inside)
    assert set(part.defects["orientation"]) <= {0.0, 90.0, 180.0, 270.0}


def test_what_is_shown_while_it_runs_is_one_kernel_for_each_type(quarter):
    options = {"kernel_size": WINDOW, "symmetry": "c4", "types": 1, "starts": 2}
    for state in iter_recover(quarter.image, **options):
        assert len(state.kernels) == len(state.activations) == 1


def test_errors_of_the_kernel_are_those_of_the_shape(turned, quarter):
    errors = turned.stability(resamples=20)
    assert errors.shape == turned.shapes.shape
    number = meant(turned, quarter)[0]
    actual = np.sqrt(2 - 2 * kernel_similarity(turned.shapes[0, 0], quarter.kernels[number]))
    assert 0.5 < np.linalg.norm(errors) / actual < 2


def test_of_one_place_only_the_stronger_orientation_is_listed(turned):
    strong = turned.peaks[0]
    doubled = replace(strong, centres=strong.centres + 0.5, amplitudes=0.8 * strong.amplitudes)
    twice = replace(turned, peaks=(strong, doubled, *turned.peaks[2:]))
    kept = twice.defects[twice.defects["orientation"] == 90]
    assert not len(kept)
    assert (twice.defects["orientation"] == 0).sum() == (turned.defects["orientation"] == 0).sum()


def test_a_field_of_one_orientation_has_no_false_ones():
    field = random_field(ldos_kernel(WINDOW) * np.linspace(0, 2, WINDOW), (96, 96), 2e-3, snr_db=15, seed=1)
    recovery = recover(field.image, kernel_size=WINDOW, symmetry="c4")
    assert recovery.types == 1
    counts = recovery.defects[["orientation"]].value_counts()
    assert counts.iloc[0] == len(recovery.defects) == pytest.approx(len(field.positions), abs=1)
