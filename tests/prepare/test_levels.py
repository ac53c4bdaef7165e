"""Background, lines, scars, spikes and terraces: each takes its own fault away and leaves the defects."""

import numpy as np
import pytest

from napari_sbd.prepare.background import background
from napari_sbd.prepare.lines import lines
from napari_sbd.prepare.scars import scars
from napari_sbd.prepare.spikes import spikes
from napari_sbd.prepare.terraces import terraces

SHAPE = (90, 121)
SPOTS = [(20, 30), (60, 90), (75, 20), (33, 101)]


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_defects_do_not_tilt_the_background(degree, rng, defects):
    rows, cols = np.indices(SHAPE) / 100
    slope = 5 * rows - 3 * cols + (degree > 1) * 4 * rows * cols + (degree > 2) * 6 * rows**3
    # All defects on one side, strong and wide: plain least squares would lean on them.
    bumps = 50 * defects(SHAPE, [(10, 10), (30, 8), (60, 12), (80, 9)], width=4)
    noise = 0.1 * rng.standard_normal(SHAPE)
    done = background(slope + bumps + noise, degree=degree)
    wrong = done.data - bumps - noise
    assert np.ptp(wrong) < (0.15 if degree < 3 else 0.35)
    plain = np.polynomial.polynomial.polyvander2d(rows.ravel(), cols.ravel(), (degree, degree))
    fit = plain @ np.linalg.lstsq(plain, (slope + bumps).ravel(), rcond=None)[0]
    assert np.ptp(wrong) < 0.1 * np.ptp(fit - slope.ravel())


@pytest.mark.parametrize("along", ["rows", "columns", "both"])
def test_line_offsets_go_and_defects_stay(along, rng, defects):
    offsets = np.zeros(SHAPE)
    if along != "columns":
        offsets = offsets + 3 * rng.standard_normal((SHAPE[0], 1))
    if along != "rows":
        offsets = offsets + 3 * rng.standard_normal(SHAPE[1])
    clean = 6 * defects(SHAPE, SPOTS, 3) + 0.1 * rng.standard_normal(SHAPE)
    done = lines(clean + offsets, along=along)
    wrong = done.data - clean
    assert (wrong - np.median(wrong)).std() < 0.12


def test_errors_of_line_offsets_do_not_add_up(rng):
    noise = rng.standard_normal((400, 60))
    assert lines(noise).found["removed"].std() < 0.25


def test_scars_are_mended_and_masked_and_defects_are_not(rng, defects):
    clean = 10 * defects(SHAPE, SPOTS, 2) + 0.3 * rng.standard_normal(SHAPE)
    hurt = clean.copy()
    hurt[12, 10:60] += 4
    hurt[50:52, 70:110] -= 5
    done = scars(hurt)
    assert not done.mask[12, 10:60].any()
    assert not done.mask[50:52, 70:110].any()
    assert (~done.mask).sum() < 1.2 * (50 + 80)
    assert abs(done.data - clean).max() < 2.5
    assert scars(clean).mask.all()
    along = scars(hurt.T, along="columns")
    assert np.array_equal(along.mask, done.mask.T)


def test_spikes_are_taken_out_and_sharp_defects_are_not(rng, defects):
    clean = 30 * defects(SHAPE, SPOTS, 0.8) + 0.3 * rng.standard_normal(SHAPE)
    hurt = clean.copy()
    places = [(5, 5), (40, 40), (70, 111)]
    for row, col in places:
        hurt[row, col] += 20
    done = spikes(hurt)
    assert sorted(map(tuple, np.argwhere(~done.mask))) == places
    assert abs(done.data - clean).max() < 3


@pytest.mark.parametrize("tilt", [0.0, 0.05])
def test_terraces_are_brought_to_one_height(tilt, rng, defects):
    rows, cols = np.indices(SHAPE)
    height = 5.0 * (cols > 40 + 0.2 * rows) + 5.0 * (cols > 85 + 0.1 * rows)
    bumps = 3 * defects(SHAPE, SPOTS, 2)
    noise = 0.1 * rng.standard_normal(SHAPE)
    done = terraces(height + bumps + noise + tilt * rows)
    assert len(done.found["heights"]) == 3
    np.testing.assert_allclose(np.diff(np.sort(done.found["heights"])), 5, atol=0.3)
    wrong = (done.data - bumps - noise - tilt * rows)[done.mask]
    assert np.ptp(wrong) < 0.3
    edge = abs(cols - 40 - 0.2 * rows) < 1
    assert not done.mask[edge].any()
    assert done.mask.mean() > 0.8
    only = terraces(height + bumps + noise + tilt * rows, treat="mask")
    np.testing.assert_allclose(only.data[only.mask], (height + bumps + noise + tilt * rows)[only.mask])


def test_defects_are_no_terraces(rng, defects):
    clean = 30 * defects(SHAPE, SPOTS, 4) + 0.1 * rng.standard_normal(SHAPE)
    assert terraces(clean).mask.all()
