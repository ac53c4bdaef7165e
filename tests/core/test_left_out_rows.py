"""Defects that pieces of another type had explained are rows of the table, too."""

from dataclasses import replace

import numpy as np
import pytest

from napari_sbd.core.recover import recover
from napari_sbd.simulate import ldos_kernel, random_field

WINDOW = 15


@pytest.fixture(scope="module")
def recovery():
    field = random_field(ldos_kernel(WINDOW), (96, 96), density=2e-3, snr_db=15, seed=1)
    return recover(field.image, kernel_size=WINDOW, types=1, activations="positive")


def without(recovery, number):
    """The recovery as it would be had the fit not taken this defect for one of its type."""
    peaks = recovery.peaks[0]
    others = np.arange(len(peaks.amplitudes)) != number
    return replace(recovery, peaks=(peaks.chosen(others),))


def of_row(recovery, place):
    """Rows of the table within a pixel of a place."""
    rows = recovery.defects[["row", "col"]].to_numpy() - place
    return int(np.sum(np.linalg.norm(rows, axis=1) < 1))


def number_of(recovery, near_border):
    """A defect inside the frame that the frame cuts, or not."""
    table = recovery.defects
    row, col = table[table["near_border"] == near_border][["row", "col"]].to_numpy()[0]
    return int(np.linalg.norm(recovery.peaks[0].centres - [row, col], axis=1).argmin())


def test_a_whole_one_that_the_fit_left_out_is_listed(recovery):
    number = number_of(recovery, near_border=False)
    assert of_row(without(recovery, number), recovery.peaks[0].centres[number]) == 1


def test_one_that_the_frame_cuts_is_not(recovery):
    number = number_of(recovery, near_border=True)
    assert of_row(recovery, recovery.peaks[0].centres[number]) == 1
    assert of_row(without(recovery, number), recovery.peaks[0].centres[number]) == 0
