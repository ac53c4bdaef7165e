"""Rows that are one defect, and rows that are not."""

import numpy as np

from napari_sbd.core.peaks import Peaks
from napari_sbd.core.split_rows import all_whole, whole_defects

ROWS, COLS = np.mgrid[-10:11, -10:11]
KERNEL = np.exp(-(ROWS**2 + COLS**2) / 50)[None]
KERNEL /= np.linalg.norm(KERNEL)


def test_pieces_of_one_defect_are_one_row_where_defects_are_few():
    centres = np.array([[50.0, 50.0], [52.0, 51.0], [48.5, 50.5], [150.0, 20.0], [20.0, 180.0]])
    found = whole_defects(Peaks(centres, np.array([2.0, 1.5, 1.5, 4.0, 4.0])), KERNEL, 512**2)
    assert len(found.centres) == 3
    nearest = np.abs(found.centres - [50, 50]).sum(1).min()
    assert nearest < 1


def test_pieces_that_look_like_one_are_one_row_even_where_the_kernel_is_small():
    """Six pixels apart two of these Gaussians have a single maximum; ten pixels apart they have two."""
    for apart, rows in ((6.0, 3), (10.0, 4)):
        centres = np.array([[50.0, 50.0], [50.0, 50.0 + apart], [150.0, 20.0], [20.0, 180.0]])
        assert len(whole_defects(Peaks(centres, np.full(4, 2.0)), KERNEL, 512**2).centres) == rows


def test_amplitude_of_the_whole_is_what_explains_its_pieces_best():
    centres = np.array([[50.0, 50.0], [52.0, 50.0], [54.0, 50.0], [150.0, 20.0]])
    found = whole_defects(Peaks(centres, np.array([2.0, 3.0, 2.0, 4.0])), KERNEL, 512**2)
    image = sum(a * np.pad(KERNEL[0], 10)[10 - d : 31 - d] for d, a in ((-2, 2), (0, 3), (2, 2)))
    [whole] = found.amplitudes[np.abs(found.centres[:, 0] - 52) < 1]
    assert abs(whole - float(np.vdot(image[:, 10:31], KERNEL[0]))) < 0.02


def test_neighbours_of_a_crowd_stay_apart():
    rng = np.random.default_rng(0)
    peaks = Peaks(rng.uniform(0, 128, (60, 2)), np.ones(60))
    assert len(whole_defects(peaks, KERNEL, 128**2).centres) == 60


def test_defects_of_opposite_sign_stay_apart():
    centres = np.array([[50.0, 50.0], [52.0, 50.0], [90.0, 50.0], [92.0, 50.0]])
    peaks = Peaks(centres, np.array([1.0, -1.0, 1.0, -1.0]))
    assert len(whole_defects(peaks, KERNEL, 512**2).centres) == 4


def test_nothing_stays_nothing():
    assert len(whole_defects(Peaks(np.empty((0, 2)), np.empty(0)), KERNEL, 100).centres) == 0


def test_each_type_is_joined_with_its_own_kernel():
    pieces = Peaks(np.array([[50.0, 50.0], [52.0, 50.0], [54.0, 50.0]]), np.array([2.0, 3.0, 2.0]))
    alone = Peaks(np.array([[50.0, 50.0], [90.0, 50.0]]), np.array([1.0, 1.0]))
    found = all_whole([pieces, alone], np.stack([KERNEL, KERNEL]), np.ones((1, 512, 512), bool))
    assert [len(peaks.centres) for peaks in found] == [1, 2]
