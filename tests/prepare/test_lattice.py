"""The lattice goes, borders included; defects stay."""

import numpy as np
import pytest

from napari_sbd.prepare.lattice import lattice
from napari_sbd.prepare.peaks import bragg_peaks
from napari_sbd.simulate import haadf

BORDER = 20


@pytest.mark.parametrize("shape", [(128, 128), (97, 150), (151, 64)])
def test_nothing_is_left_along_a_border_that_is_not_periodic(shape, rng, defects, hexagonal):
    host = hexagonal(shape, 0.77, 13.0)
    spots = [(shape[0] // 3, shape[1] // 2), (2 * shape[0] // 3, shape[1] // 4), (3, shape[1] - 12)]
    bumps = 6 * defects(shape, spots)
    noise = 0.1 * rng.standard_normal(shape)
    done = lattice(host + bumps + noise)
    left = done.data - bumps - noise
    left -= np.median(left)
    border = np.ones(shape, bool)
    border[BORDER:-BORDER, BORDER:-BORDER] = False
    assert np.mean(left[border] ** 2) < 0.005 * np.mean(host**2)
    for spot in spots:
        assert abs(done.data[spot] - (bumps + noise)[spot]) < 0.03 * bumps[spot] + 0.1


def test_the_peaks_are_returned(rng, hexagonal):
    done = lattice(hexagonal((120, 120), 0.9, 10.0) + 0.3 * rng.standard_normal((120, 120)))
    turns = np.deg2rad(10.0 + np.array([0, 60, 120]))
    true = 0.9 / (2 * np.pi) * np.stack([np.sin(turns), np.cos(turns)], axis=1)
    found = done.found["peaks"]
    assert len(found) == 3
    for wave in true:
        assert min(np.abs(found - wave).max(1).min(), np.abs(found + wave).max(1).min()) < 0.1 / 120


@pytest.mark.parametrize("seed", range(2))
def test_columns_of_atoms_go_and_dopants_and_vacancies_stay(seed):
    sample = haadf(seed)
    reference = haadf(seed, dopants=0, vacancies=0).clean
    host = reference - reference.mean()
    done = lattice(sample.image)
    noise = sample.image - sample.clean
    left = done.data - (sample.clean - reference) - noise
    left -= np.median(left)
    border = np.ones(left.shape, bool)
    border[BORDER:-BORDER, BORDER:-BORDER] = False
    assert np.mean(left[border] ** 2) < 0.02 * np.mean(host[border] ** 2)
    rows, cols = np.round(sample.positions).astype(int).T
    true = (sample.clean - reference)[rows, cols]
    assert np.abs(left[rows, cols]).max() < 0.05 * np.abs(true).max()


def test_waves_that_bend_need_more_degrees(rng):
    rows, cols = np.indices((140, 130))
    bent = np.cos(0.8 * rows + 0.5 * cols + 3 * (rows / 140) ** 2 * 2)
    noise = 0.1 * rng.standard_normal(bent.shape)
    stiff, soft = (lattice(bent + noise, rows=d, cols=d).data.std() for d in (0, 5))
    assert soft < 0.12 < stiff


def test_displaced_lines_are_followed(rng, hexagonal):
    shape = (128, 128)
    cols = np.arange(shape[1]) + 0.25 * rng.standard_normal((shape[0], 1))
    rows = np.indices(shape)[0]
    shaken = np.cos(0.9 * cols + 0.3 * rows) + np.cos(0.9 * rows - 0.4 * cols)
    shaken += 0.05 * rng.standard_normal(shape)
    still, moved = (lattice(shaken, jitter=j).data.std() for j in (0, 4))
    assert moved < 0.5 * still


def test_a_field_of_defects_has_no_peaks(rng, defects):
    spots = rng.uniform(5, 95, (12, 2))
    image = 5 * defects((100, 100), spots) + 0.2 * rng.standard_normal((100, 100))
    done = lattice(image)
    assert len(done.found["peaks"]) == 0
    assert np.array_equal(done.data, image)


def test_hum_is_no_peak(rng):
    phases = rng.uniform(0, 2 * np.pi, (128, 1))
    hum = np.sin(0.7 * np.arange(128) + phases) + 0.1 * rng.standard_normal((128, 128))
    assert len(bragg_peaks(hum[None], 10, 8.0)) == 0


def test_slices_share_the_peaks(rng, hexagonal):
    host = hexagonal((96, 96))
    stack = np.stack([host, 0.01 * host]) + 0.05 * rng.standard_normal((2, 96, 96))
    done = lattice(stack)
    # The second slice alone would hide its lattice in the noise.
    assert len(lattice(stack[1]).found["peaks"]) < 3
    assert len(done.found["peaks"]) == 3
    assert done.data.std() < 0.06


def test_a_mask_over_half_of_the_image_is_no_obstacle(rng, hexagonal):
    shape = (128, 128)
    image = hexagonal(shape) + 0.05 * rng.standard_normal(shape)
    image[:, 64:] += 40 * rng.standard_normal((128, 64))
    mask = np.ones(shape, bool)
    mask[:, 64:] = False
    done = lattice(image, mask)
    assert done.data[:, :64].std() < 0.07
