"""Types of different size: each has a window of its own."""

import numpy as np
import pytest

from napari_sbd.core.quality import kernel_similarity
from napari_sbd.core.recover import recover
from napari_sbd.simulate import ldos_kernel, random_field

SMALL, LARGE = 9, 27


@pytest.fixture(scope="module")
def kernels():
    rows, cols = np.mgrid[-4:5, -4:5]
    spot = (1 + 0.8 * cols) * np.exp(-(rows**2 + 1.5 * cols**2) / 6)
    return np.stack([np.pad(spot, (LARGE - SMALL) // 2), ldos_kernel(LARGE, -2.4)])


@pytest.fixture(scope="module")
def field(kernels):
    return random_field(kernels, (144, 144), (9e-4, 5e-4), snr_db=5, seed=0)


@pytest.fixture(scope="module")
def found(field):
    return recover(field.image, kernel_size=LARGE, types=2)


def number_of(found, true):
    return int(np.argmax([kernel_similarity(a[0], true) for a in found.kernels]))


def test_a_small_type_is_cut_to_its_window_and_a_large_one_is_not(found, kernels):
    small, large = (number_of(found, kernel) for kernel in kernels)
    assert max(found.windows[small]) <= SMALL + 4
    assert found.windows[large] == found.window == (LARGE, LARGE)
    middle = slice((LARGE - SMALL) // 2 - 2, (LARGE + SMALL) // 2 + 2)
    outside = found.kernels[small, 0].copy()
    outside[middle, middle] = 0
    assert not outside.any()


def test_its_kernel_has_less_noise_than_the_common_window_would_leave(found, field, kernels):
    small = number_of(found, kernels[0])
    wide = np.sqrt(field.noise_std**2 / np.square(field.amplitudes[field.types == 0]).sum()) * LARGE
    error = np.sqrt(2 - 2 * kernel_similarity(found.kernels[small, 0], kernels[0]))
    assert error < 0.6 * wide


def test_the_border_counts_from_its_own_window(found, kernels):
    small = number_of(found, kernels[0])
    table = found.defects[found.defects["type"] == small]
    edge = np.minimum(table[["row", "col"]], 143 - table[["row", "col"]]).min(axis=1)
    assert not table["near_border"][edge > max(found.windows[small]) / 2].any()
    assert table["near_border"][edge < 1].all()


def test_solved_again_it_keeps_its_window(found, kernels):
    small = number_of(found, kernels[0])
    again = found.again(lam=0.3)
    assert again.windows == found.windows
    np.testing.assert_array_equal(again.kernels[small] != 0, found.kernels[small] != 0)


def test_types_of_one_size_share_the_window():
    alike = np.stack([ldos_kernel(15, -2.4), ldos_kernel(15, -1.9)])
    field = random_field(alike, (96, 96), 1e-3, snr_db=20, seed=4)
    found = recover(field.image, kernel_size=15, types=2)
    assert found.own_windows == ()
    assert found.windows == ((15, 15), (15, 15))
