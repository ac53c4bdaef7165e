"""Crowds: images in which many defects lie under one kernel."""

from __future__ import annotations

import numpy as np

from napari_sbd.core.quality import kernel_similarity
from napari_sbd.core.recover import recover
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
