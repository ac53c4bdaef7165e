"""Sharpened: a crowded image with little noise as it is sampled, whitened as far as its noise allows."""

from __future__ import annotations

from dataclasses import dataclass

from napari_sbd.core.noise import grain
from napari_sbd.core.objective import Objective
from napari_sbd.core.sampling import Heat
from napari_sbd.core.whitening import SHARPEST, whiten

WARMTH = 0.75  # temperature over the number of pixels among which what is left is correlated
BEGIN, SWEEPS = 0.4, 100


@dataclass(frozen=True)
class Sharpened:
    """The image, how it is sampled, and whether it has any noise to speak of."""

    objective: Objective
    heat: Heat
    noisy: bool


def sharpened(objective: Objective) -> Sharpened | None:
    """The whitened image, in which defects hardly overlap; None where noise forbids that.

    What misplaced defects leave has the colour of the kernel, and its power counts as noise. Where it is
    correlated over several pixels, there is as much less to tell about each of them.

    Examples
    --------
    >>> import numpy as np
    >>> noise = np.random.default_rng(0).normal(size=(1, 64, 64)).astype(np.float32)
    >>> sharpened(Objective(noise, np.ones(noise.shape, bool), (9, 9))) is None
    True
    """
    flat = whiten(objective.data, objective.mask, objective.convolution.kernel_shape, sharp=True)
    if not flat.clear:
        return None
    heat = Heat(WARMTH * grain(flat.data, objective.mask), BEGIN, SWEEPS)
    white = objective.replaced(flat.data)
    return Sharpened(white, heat, flat.share > SHARPEST)
