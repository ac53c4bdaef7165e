"""Hum goes, defects stay."""

import numpy as np
import pytest

from napari_sbd.prepare.hum import hum
from napari_sbd.simulate import one_over_f

SHAPE = (140, 160)
SPOTS = [(30, 40), (70, 120), (110, 60), (100, 5)]


def one_over_f_noise(rng, shape):
    return one_over_f(rng.standard_normal(shape) * 1e-9, rng, 1e9)


@pytest.mark.parametrize("kind", ["1/f", "mains"])
@pytest.mark.parametrize("along", ["rows", "columns"])
def test_hum_goes_and_defects_stay(kind, along, rng, defects):
    if kind == "mains":
        noise = 1.5 * np.sin(0.31 * np.arange(SHAPE[1]) + rng.uniform(0, 6.3, (SHAPE[0], 1)))
    else:
        noise = np.cumsum(rng.standard_normal(SHAPE), axis=1)
        noise = 0.3 * (noise - noise.mean(axis=1, keepdims=True))
    bumps = 12 * defects(SHAPE, SPOTS, 3)
    image = bumps + noise + 0.15 * rng.standard_normal(SHAPE)
    done = hum(image.T, along="columns").data.T if along == "columns" else hum(image).data
    far = bumps < 0.01
    assert (done - bumps)[far].std() < 0.35 * noise[far].std()
    kept = (done * bumps).sum() / (bumps**2).sum()
    assert 0.97 < kept < 1.04


def test_an_image_without_hum_stays_as_it_is(rng, defects):
    clean = 10 * defects(SHAPE, SPOTS, 3) + 0.2 * rng.standard_normal(SHAPE)
    change = hum(clean).data - clean
    assert change.std() < 0.3 * 0.2


def test_what_lines_share_belongs_to_the_image(rng):
    rows, cols = np.indices(SHAPE)
    # Weaker than the noise of a pixel, but the same in many lines: a standing wave round a step edge.
    wave = 0.3 * np.cos(0.2 * cols) * np.exp(-(((rows - 70) / 30.0) ** 2))
    noise = 0.3 * np.cumsum(rng.standard_normal(SHAPE), axis=1)
    noise -= noise.mean(axis=1, keepdims=True)
    done = hum(wave + noise + 0.1 * rng.standard_normal(SHAPE)).data
    assert (done * wave).sum() / (wave**2).sum() > 0.5


def test_jumps_from_line_to_line_beneath_wide_defects_go_and_fine_defects_stay(rng, defects):
    wide = 12 * defects(SHAPE, [(70, 80)], 12)
    fine = 12 * defects(SHAPE, [(30, 40), (110, 60), (100, 120)], 2)
    noise = 0.3 * np.cumsum(rng.standard_normal(SHAPE), axis=1)
    noise -= noise.mean(axis=1, keepdims=True)
    done = hum(wide + fine + noise + 0.15 * rng.standard_normal(SHAPE)).data
    beneath = wide > 1
    # Continued from both sides alone, more than half of the jumps beneath the wide one would stay.
    left, before = (np.diff(part, axis=0)[beneath[1:]].std() for part in (done - wide, noise))
    assert left < 0.4 * before
    assert 0.96 < (done * fine).sum() / (fine**2).sum() < 1.04
