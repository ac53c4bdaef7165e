"""Figures that say how far to trust a recovery, and the sentence that they make."""

from dataclasses import replace

import numpy as np
import pytest

from napari_sbd.core.observation import observe
from napari_sbd.core.quality import kernel_similarity
from napari_sbd.core.recover import recover
from napari_sbd.core.trust import periodic_share, power_at_edge, spectral_flatness
from napari_sbd.simulate import ldos_kernel, random_field

KERNEL = ldos_kernel(21, -2.0)
QUICK = {"starts": 2, "kept": 1, "types": 1, "activations": "positive"}


@pytest.fixture(scope="module")
def sound():
    image = random_field(KERNEL, (112, 112), 2e-3, snr_db=10, seed=5).image
    return recover(image, kernel_size=21, types=1, activations="positive")


def with_image(recovery, added):
    """The same recovery of an image that holds something besides, which its model does not explain."""
    return replace(recovery, observation=observe(recovery.observation.data[0] + added))


def test_a_sound_recovery_gives_no_hint(sound):
    trust = sound.trust
    assert trust.hints == ()
    assert (trust.starts, trust.starts_agreeing) == (8, 8)
    assert trust.residual_to_noise == pytest.approx(1, abs=0.1)
    assert trust.whiteness > 0.95
    assert trust.lattice == 0
    assert trust.edge[0] < 0.02
    assert trust.alike == trust.together == (0.0,)
    assert trust.window == (21, 21)
    assert sound.summary == f"{len(sound.defects)} defects; 8 of 8 starts agree; residual 1.0 × noise"


@pytest.mark.parametrize(("window", "wider"), [(13, "17"), (15, "21"), ((13, 15), "17 × 21")])
def test_a_window_that_cuts_the_kernel_is_named_with_one_to_try(window, wider):
    field = random_field(KERNEL, (112, 112), 2e-3, snr_db=10, seed=5)
    found = recover(field.image, kernel_size=window, **QUICK)
    assert f"kernel touches the window's edge: try {wider} px" in found.summary


def test_noise_at_the_edge_is_no_edge():
    kernel = np.random.default_rng(0).normal(0, 0.02, (1, 31, 31))
    kernel[0, 10:20, 10:20] = 0.1
    kernel /= np.linalg.norm(kernel)
    assert power_at_edge(kernel, 0.02) == 0
    assert power_at_edge(kernel, 0.0) > 0.2


def test_a_lattice_left_in_the_image_is_named(sound):
    rows, cols = np.indices(sound.observation.shape)
    lattice = np.cos(2 * np.pi * rows / 5.3) + np.cos(2 * np.pi * cols / 5.3)
    assert periodic_share(sound.observation) == 0
    found = with_image(sound, 0.03 * lattice)
    assert found.summary.endswith("; a lattice is left in the image: remove it first")
    assert found.trust.lattice > 0.1


def test_noise_that_is_not_white_is_named(sound, rng):
    smooth = np.cumsum(rng.normal(0, 0.01, sound.observation.shape), axis=1)
    found = with_image(sound, smooth - smooth.mean(1, keepdims=True))
    assert found.summary.endswith("; noise is not white")
    assert found.trust.whiteness < 0.6


def test_whiteness_is_that_of_each_slice(rng):
    white = rng.standard_normal((1, 96, 80))
    assert spectral_flatness(white) > 0.97
    assert spectral_flatness(np.concatenate([white, np.cumsum(white, 1)])) == pytest.approx(0.5, abs=0.1)
    assert spectral_flatness(np.zeros((1, 20, 20))) == 1


def test_types_that_are_nearly_one_are_named(sound):
    """The same recovery with its type cut in two, displaced: alike, and side by side."""
    peaks, maps = sound.peaks[0], sound.extended_activations
    twice = replace(
        sound,
        kernels=np.concatenate([sound.kernels, np.roll(sound.kernels, 2, axis=2)]),
        extended_activations=np.concatenate([maps, np.roll(maps, -2, axis=1)]) / 2,
        peaks=(peaks, replace(peaks, centres=peaks.centres - (2, 0))),
        amplitude_noise=sound.amplitude_noise * 2,
    )
    assert min(twice.trust.alike) > 0.95
    assert min(twice.trust.together) > 0.95
    assert "two types look alike" in twice.summary
    assert "two types sit side by side" in twice.summary


def test_types_that_differ_are_not():
    kernels = np.stack([ldos_kernel(15, energy) for energy in (-2.4, -1.9)])
    image = random_field(kernels, (112, 112), 1e-3, snr_db=15, seed=4).image
    found = recover(image, kernel_size=15, **QUICK | {"types": 2})
    assert len(found.kernels) == 2
    likeness = kernel_similarity(*found.kernels[:, 0])
    assert found.trust.alike == pytest.approx((likeness, likeness))
    assert 0.3 < likeness < 0.8
    assert max(found.trust.together) < 0.3
    assert found.trust.hints == ()


def test_few_starts_that_agree_ask_for_a_box(sound):
    doubtful = replace(sound, quality=sound.quality | {"starts_agreeing": 3})
    assert "3 of 8 starts agree" in doubtful.summary
    assert "few starts agree: start from a box round one defect" in doubtful.summary


def test_given_values_are_respected_and_shown_as_fractions():
    field = random_field(KERNEL, (96, 96), 2e-3, snr_db=10, seed=5)
    found = recover(field.image, kernel_size=(17, 19), lam_last=0.11, **QUICK)
    assert found.window == found.trust.window == (17, 19)
    assert found.trust.lam == pytest.approx(0.11)
    largest = found.quality["lam_max"]
    assert found.trust.lam_max == largest > 0


def test_nothing_found_is_said_with_its_reason(rng):
    found = recover(rng.standard_normal((64, 64)), kernel_size=9)
    assert found.summary == "no defects: what the best kernel explains is no more than noise"
    assert found.trust.hints == ()
    with pytest.raises(ValueError, match="there is no kernel to judge"):
        found.stability()
