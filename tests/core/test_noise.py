import numpy as np
import pytest

from napari_sbd.core.noise import noise_floor, robust_std, white_noise, whiteness


@pytest.fixture
def noise(rng):
    return rng.normal(5, 3, (1, 128, 128))


def everywhere(data):
    return np.ones(data.shape, bool)


def test_robust_std_ignores_a_tenth_of_outliers(rng):
    values = rng.normal(-4, 3, 20000)
    assert robust_std(values) == pytest.approx(3, rel=0.03)
    values[:2000] += 1e4
    assert robust_std(values) == pytest.approx(3, rel=0.2)
    assert robust_std(np.empty(0)) == 0


def test_white_noise_is_not_fooled_by_what_is_smooth(noise):
    rows, cols = np.indices(noise.shape[1:])
    assert white_noise(noise, everywhere(noise)) == pytest.approx(3, rel=0.04)
    smooth = noise + 0.5 * rows - 2 * cols + 20 * np.sin(rows / 9) * np.cos(cols / 7)
    assert white_noise(smooth, everywhere(noise)) == pytest.approx(3, rel=0.06)


def test_white_noise_sees_unmasked_pixels_only(noise, rng):
    mask = rng.random(noise.shape) > 0.25
    junk = np.where(mask, noise, 1e5 * (noise - 5))
    assert white_noise(junk, mask) == pytest.approx(3, rel=0.06)


def test_white_noise_has_an_answer_where_no_block_is_whole(noise):
    mask = everywhere(noise)
    mask[0, 1::2] = False
    assert white_noise(noise, mask) == pytest.approx(3, rel=0.06)


def test_whiteness_is_one_for_white_noise_and_grows_with_structure(noise):
    assert whiteness(noise, everywhere(noise)) == pytest.approx(1, abs=0.04)
    rows = np.arange(128)[None, :, None]
    assert whiteness(noise + 6 * np.sin(rows / 6), everywhere(noise)) > 1.5
    assert whiteness(7 * noise, everywhere(noise)) == pytest.approx(whiteness(noise, everywhere(noise)))


def test_noise_floor_is_the_noise_of_crowds_of_sharp_defects():
    from napari_sbd.simulate import ldos_kernel, random_field

    clean, noisy = (random_field(ldos_kernel(25), (128, 128), 0.03, snr_db=snr, seed=0) for snr in (None, 20))
    deviation = float(clean.image.std())
    for sample, expected in ((clean, 0.0), (noisy, 0.1 * deviation)):
        data, mask = sample.image[None], np.ones((1, 128, 128), bool)
        found = noise_floor(data, mask)
        assert found == pytest.approx(expected, abs=0.015 * deviation)
        assert found < 0.9 * white_noise(data, mask)


def test_noise_floor_sees_unmasked_pixels_only_and_each_slice(noise, rng):
    data = np.concatenate([noise, noise])
    mask = np.ones(data.shape, bool)
    data[:, :40] += 1e3 * rng.standard_normal(data[:, :40].shape)
    mask[:, :40] = False
    assert noise_floor(data, mask) == pytest.approx(white_noise(noise, np.ones(noise.shape, bool)), rel=0.1)
