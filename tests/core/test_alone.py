"""Weak defects that stand alone, far above the noise, are defects; what strong ones leave is not."""

import numpy as np
import pytest
from scipy.signal import fftconvolve

from napari_sbd.core.alone import standing_alone
from napari_sbd.core.recover import recover
from napari_sbd.simulate import ldos_kernel

WINDOW, SIDE = 15, 160
STRONG = [(r, c) for r in (20, 60, 100) for c in (20, 50, 80)]
WEAK = [(40, 130), (80, 120), (130, 130)]


def image_of(weak_kernel, weak_places=WEAK, amplitude=0.15):
    """Strong defects of one kernel and weak ones of another, at a hundredth of noise."""
    maps = np.zeros((2, SIDE, SIDE))
    maps[0][tuple(np.transpose(STRONG))] = 1
    maps[1][tuple(np.transpose(weak_places))] = amplitude
    shown = fftconvolve(maps[0], ldos_kernel(WINDOW), "same") + fftconvolve(maps[1], weak_kernel, "same")
    return shown + np.random.default_rng(0).normal(0, 0.004, shown.shape)


def found_at(recovery, places):
    """How many of these places have a row of the table within a pixel and a half."""
    rows = recovery.defects[["row", "col"]].to_numpy()
    apart = np.linalg.norm(rows[:, None] - np.array(places)[None], axis=-1)
    return int((apart.min(0) < 1.5).sum())


@pytest.fixture(scope="module")
def recovery():
    return recover(image_of(ldos_kernel(WINDOW)), kernel_size=WINDOW)


def test_weak_ones_alone_are_listed(recovery):
    assert found_at(recovery, STRONG) == len(STRONG)
    assert found_at(recovery, WEAK) == len(WEAK)
    assert len(recovery.defects) == len(STRONG) + len(WEAK)


def test_a_higher_strength_leaves_them_out_and_a_lower_one_lists_no_fewer(recovery):
    assert len(recovery.with_threshold(strength=0.5).defects) == len(STRONG)
    assert found_at(recovery.with_threshold(strength=0.05), WEAK) == len(WEAK)


def test_a_weak_one_within_the_window_of_a_strong_one_is_no_row_of_its_own():
    beside = [(20 + 10, 20 + 4)]
    other = recover(image_of(ldos_kernel(WINDOW), beside), kernel_size=WINDOW)
    assert found_at(other, beside) == 0


def test_a_row_whose_patch_leaves_the_image_is_none():
    """As of a type with a window of its own, smaller than that of its kernel."""
    recovery = recover(image_of(ldos_kernel(WINDOW)), kernel_size=WINDOW)
    table = recovery.candidates.copy()
    weak = table.index[table["alone"]][0]
    table.loc[weak, ["row", "col"]] = [3.0, 140.0]
    alone = standing_alone(table, recovery.kernels, recovery.observation)
    assert not alone[weak]
    assert alone.sum() == len(WEAK) - 1


def test_what_does_not_look_like_the_kernel_is_left_out():
    row, col = np.mgrid[:31, :31] - 15
    slope = col * np.exp(-(row**2 + col**2) / 8)
    other = recover(image_of(slope / np.linalg.norm(slope), amplitude=0.3), kernel_size=WINDOW, types=1)
    assert found_at(other, STRONG) == len(STRONG)
    assert len(other.defects) == len(STRONG)
    # It is far above the noise all the same.
    assert len(other.candidates.query("snr >= 12 and strength < 0.3 and not near_border")) >= len(WEAK)
