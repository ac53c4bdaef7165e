"""Crowds: images in which many defects lie under one kernel."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sbd.core import search
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.parameters import Parameters
from napari_sbd.core.progress import Progress
from napari_sbd.core.quality import kernel_similarity
from napari_sbd.core.recover import recover
from napari_sbd.core.single import Single
from napari_sbd.core.start import NO_STARTS
from napari_sbd.core.whitening import whiten
from napari_sbd.simulate import ldos_kernel, random_field


def test_a_noise_free_crowd_is_recovered_defect_by_defect() -> None:
    """At ten defects per hundred pixels 17 lie under each kernel; three of four neighbours touch."""
    kernel = ldos_kernel(13)
    field = random_field(kernel, (160, 160), 0.1, snr_db=None, seed=0)
    recovery = recover(field.image, kernel_size=13)
    assert kernel_similarity(recovery.kernels[0], kernel[None]) > 0.995
    assert abs(len(recovery.defects) / len(field.positions) - 1) < 0.1


def test_whitening_makes_no_border_bright() -> None:
    """A mirrored border has a kink, which is all that a noise-free image holds at high frequencies."""
    image = random_field(ldos_kernel(37), (160, 160), 0.1, snr_db=None, seed=0).image
    normal = ((image - image.mean()) / image.std()).astype(np.float32)[None]
    flat = whiten(normal, np.ones(normal.shape, bool), (37, 37)).data[0]
    inner = np.abs(flat[20:-20, 20:-20]).max()
    outer = max(np.abs(edge).max() for edge in (flat[0], flat[-1], flat[:, 0], flat[:, -1]))
    assert outer < inner


def test_stage_one_of_a_noisy_crowd_is_led_by_many_defects() -> None:
    """At a penalty that only the brightest places reach, where many defects meet, it keeps their sum."""
    kernel = ldos_kernel(51)
    field = random_field(kernel, (256, 256), 3e-2, snr_db=10, seed=3)
    image = ((field.image - field.image.mean()) / field.image.std()).astype(np.float32)[None]
    raw = Objective(image, np.ones(image.shape, bool), (51, 51))
    options = Parameters(kernel_size=(51, 51), starts=3)
    single = Single(raw, options, Penalty(1.0), NO_STARTS, automatic=False)
    for snapshot in single.steps(Progress(single.plan())):
        if snapshot.stage == "stage II":
            break
    followed = [found for found in single.search.found if found not in single.search.given_up]
    assert followed
    for found in followed:
        shape = single.domain.to_raw(found).kernels[0]
        assert kernel_similarity(shape, kernel[None].astype(np.float32)) > 0.88
        assert np.count_nonzero(found.maps) > 200


@pytest.mark.parametrize("signed", [True, False])
def test_a_crowd_has_the_signs_that_it_has(signed: bool) -> None:
    """A kernel of one sign that is bent to suit both explains nearly as much."""
    kernel = ldos_kernel(13)
    field = random_field(kernel, (96, 96), 3e-2, snr_db=20, seed=3, signed=signed)
    recovery = recover(field.image, kernel_size=13)
    assert kernel_similarity(recovery.kernels[0], kernel[None]) > 0.99
    below = float((recovery.defects["amplitude"] < 0).mean())
    assert (0.3 < below < 0.7) if signed else below == 0


def test_a_symmetric_signature_does_not_stay_between_two_pixels() -> None:
    """Half a pixel off, a kernel lets each defect be either of two, and sampling from there stays there."""
    kernel = ldos_kernel(31)
    field = random_field(kernel, (128, 128), 3e-3, snr_db=0, seed=3)
    recovery = recover(field.image, kernel_size=31, seed=3)
    assert kernel_similarity(recovery.kernels[0], kernel[None]) > 0.955


def test_starts_of_a_crowd_that_stay_behind_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found is as good, in fewer steps of stage I; those given up are no candidates."""
    field = random_field(ldos_kernel(25, -2.4), (160, 160), 0.03, snr_db=10, seed=0)
    steps, similar = [], []
    for hope in (search.HOPE, np.inf):
        monkeypatch.setattr(search, "HOPE", hope)
        recovery = recover(field.image, kernel_size=25)
        steps.append(int((recovery.history["stage"] == "stage I").sum()))
        similar.append(kernel_similarity(recovery.kernels[0], field.kernels))
        assert recovery.quality["starts_agreeing"] > 0.5 * recovery.quality["starts"]
    assert steps[0] < 0.8 * steps[1]
    assert 1 - similar[0] < 1.3 * (1 - similar[1])
    assert similar[0] > 0.99
