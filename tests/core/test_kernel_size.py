import numpy as np
import pytest

from napari_sbd.core.kernel_size import estimate_window
from napari_sbd.simulate import ldos_kernel, random_field


def estimate(kernel, shape=(128, 128), density=2e-3, mask=None, **options):
    field = random_field(kernel, shape, density, snr_db=20, seed=1, **options)
    data = (field.image - field.image.mean())[None]
    return estimate_window(data, np.ones(data.shape, bool) if mask is None else mask)


@pytest.mark.parametrize("size", [7, 11, 15])
def test_a_kernel_that_ends_sharply_gives_its_own_size(size):
    kernel = np.random.default_rng(1).standard_normal((size, size))
    rows, cols = estimate(kernel)
    assert rows == cols
    assert rows % 2 == 1
    assert abs(rows - size) <= 2


@pytest.mark.parametrize("size", [15, 25, 41])
@pytest.mark.parametrize("density", [1e-3, 1e-2])
def test_rings_that_fade_give_a_window_of_that_order(size, density):
    rows, _ = estimate(ldos_kernel(size), (192, 192), density)
    assert 0.4 * size <= rows <= 1.5 * size


def test_the_unit_of_the_image_does_not_matter(rng):
    data = random_field(ldos_kernel(15), (96, 96), 2e-3, seed=2).image[None]
    data = data - data.mean()
    everywhere = np.ones(data.shape, bool)
    assert estimate_window(data, everywhere) == estimate_window(1e-9 * data, everywhere)


def test_masked_pixels_do_not_count(rng):
    kernel = rng.standard_normal((11, 11))
    field = random_field(kernel, (96, 96), 3e-3, snr_db=20, seed=1)
    data = (field.image - field.image.mean())[None]
    mask = np.ones(data.shape, bool)
    mask[0, 30:50, 40:70] = False
    junk = np.where(mask, data, 1e3)
    assert estimate_window(junk, mask) == estimate_window(data, mask)


@pytest.mark.parametrize("shape", [(128, 128), (40, 30), (12, 60)])
def test_an_image_of_noise_gives_a_small_window_that_fits(rng, shape):
    data = rng.standard_normal((1, *shape))
    rows, cols = estimate_window(data, np.ones(data.shape, bool))
    assert 3 <= rows <= min(shape)
    assert 3 <= cols <= min(shape)
    assert rows <= 15
