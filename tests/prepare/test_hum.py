"""Hum goes, defects stay."""

import numpy as np
import pytest

from napari_sbd.prepare import hum as module
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
    assert 0.97 < kept < 1.03


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


def test_beneath_wide_defects_hum_is_told_from_them_by_the_lines(rng, monkeypatch):
    rows, cols = np.indices((180, 200))
    far = np.hypot(rows - 90, 0.8 * (cols - 100)) / 18
    ring = 12 * (np.exp(-(((far - 0.75) / 0.25) ** 2)) - np.exp(-((far / 0.4) ** 2)))
    noise = np.cumsum(rng.standard_normal(ring.shape), axis=1)
    noise = 0.4 * (noise - noise.mean(axis=1, keepdims=True))
    image = ring + noise + 0.3 * rng.standard_normal(ring.shape)
    beneath = np.abs(ring) > 1

    def streaks():
        left = np.where(beneath, hum(image).data - ring, np.nan)
        return np.nanstd(np.diff(left, axis=0))

    told = streaks()
    monkeypatch.setattr(module, "hum_beneath", lambda rest, *_: np.zeros_like(rest))
    assert told < 0.5 * streaks()
