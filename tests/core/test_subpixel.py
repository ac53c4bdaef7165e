"""Kernels between pixels: which offset is taken where the data leave it open."""

import numpy as np
from scipy import ndimage

from napari_sbd.core.descent import Iterate
from napari_sbd.core.objective import Objective
from napari_sbd.core.subpixel import turned_centre, with_cores_on_pixels

OFFSET = np.array([0.3, -0.4])


def bell(offset, second):
    """A smooth kernel (1, 1, 15, 15) of unit norm off the middle pixel, with a second, lower peak or none."""
    row, col = (np.mgrid[:15, :15] - 7) - offset[:, None, None]
    kernel = np.exp(-(row**2 + col**2) / 3) + second * np.exp(-(row**2 + (col - 4) ** 2) / 3)
    return (kernel / np.linalg.norm(kernel))[None, None]


def field(kernel, seed=0):
    """What a few defects on pixels show of a kernel, and their map."""
    maps = np.zeros((1, 94, 94))
    rng = np.random.default_rng(seed)
    places = rng.permutation([(r, c) for r in range(10, 84, 18) for c in range(10, 84, 18)])
    maps[0, places[:, 0], places[:, 1]] = rng.uniform(1, 2, len(places))
    image = ndimage.convolve(maps[0], kernel[0, 0], mode="constant")[7:-7, 7:-7]
    return image, maps


def test_the_core_of_a_symmetric_kernel_comes_on_to_a_pixel_and_the_image_stays():
    kernel = bell(OFFSET, 0)
    image, maps = field(kernel)
    objective = Objective(image[None], np.ones((1, *image.shape), bool), (15, 15))
    moved = with_cores_on_pixels(objective, Iterate(kernel, maps, np.inf))
    centre, _ = turned_centre(moved.kernels[0])
    np.testing.assert_allclose(centre, 0, atol=0.03)
    # Defects come on to the nearest pixels: they were on pixels, and are so again, at most a pixel away.
    assert np.count_nonzero(moved.maps) == np.count_nonzero(maps)
    near = ndimage.maximum_filter(moved.maps[0] != 0, 3)
    assert near[maps[0] != 0].all()


def test_a_kernel_without_a_centre_stays():
    kernel = bell(OFFSET, 0.5)
    image, maps = field(kernel)
    objective = Objective(image[None], np.ones((1, *image.shape), bool), (15, 15))
    found = Iterate(kernel, maps, np.inf)
    assert with_cores_on_pixels(objective, found) is found
