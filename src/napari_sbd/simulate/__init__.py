"""Physical test images with known truth.

`isolated`, `dense` and `haadf` make the samples of ``File > Open Sample``; `random_field` and `ldos_kernel`
make the many fields that tests and measurements need; `Sample` is what all of them return.
"""

from napari_sbd.simulate.artefacts import ARTEFACTS, drift, drifted_positions, line_offsets, one_over_f, plane
from napari_sbd.simulate.dense import dense
from napari_sbd.simulate.fields import random_field
from napari_sbd.simulate.haadf import haadf
from napari_sbd.simulate.isolated import isolated
from napari_sbd.simulate.ldos import impurity_image, ldos_kernel, tip_image
from napari_sbd.simulate.sample import Sample
from napari_sbd.simulate.tight_binding import band_energy, greens_function, ldos_change, t_matrix

__all__ = [
    "ARTEFACTS",
    "Sample",
    "band_energy",
    "dense",
    "drift",
    "drifted_positions",
    "greens_function",
    "haadf",
    "impurity_image",
    "isolated",
    "ldos_change",
    "ldos_kernel",
    "line_offsets",
    "one_over_f",
    "plane",
    "random_field",
    "t_matrix",
    "tip_image",
]
