"""A small recovery of each kind, made once."""

from dataclasses import replace

import numpy as np
import pytest

import napari_sbd as sbd
from napari_sbd.simulate import ldos_kernel, random_field

QUICK = {"kernel_size": 9, "starts": 2, "kept": 1, "refinements": 1}


@pytest.fixture(scope="session")
def recovery():
    """Two energy slices, calibrated, with a mask, boxes chosen by hand left out."""
    field = random_field(ldos_kernel(9), (40, 44), density=0.006, snr_db=25, seed=1)
    mask = np.ones((40, 44), bool)
    mask[:5, :6] = False
    options = {"mask": mask, "pixel_size": (0.2, 0.25), "unit": "nm", "name": "topo", **QUICK}
    options |= {"energies": (-0.1, 0.1), "energy_unit": "V"}
    return sbd.recover(np.stack([field.image, -2 * field.image]), **options)


@pytest.fixture(scope="session")
def several(recovery):
    """The same with a second type, as an engine would give it."""
    return replace(
        recovery,
        kernels=np.concatenate([recovery.kernels, -recovery.kernels[:, :, ::-1]]),
        extended_activations=np.concatenate([recovery.extended_activations] * 2),
        peaks=recovery.peaks * 2,
        amplitude_noise=recovery.amplitude_noise * 2,
    )
