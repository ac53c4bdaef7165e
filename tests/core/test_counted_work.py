"""What a recovery costs, counted in work rather than in seconds: the same on every machine."""

import numpy as np
import pytest
from scipy import fft

from napari_sbd.core.recover import recover
from napari_sbd.core.support_model import KernelQuadratic
from napari_sbd.simulate import ldos_kernel, random_field


@pytest.fixture
def transformed(monkeypatch):
    """Numbers that went through FFTs until now, both ways."""
    counted = [0]

    def watched(name):
        plain = getattr(fft, name)

        def counting(array, *args, **options):
            result = plain(array, *args, **options)
            counted[0] += max(np.size(array), np.size(result))
            return result

        monkeypatch.setattr(fft, name, counting)

    for name in ("rfft2", "irfft2", "rfft", "fft"):
        watched(name)
    return counted


@pytest.fixture
def products(monkeypatch):
    """Products with a matrix of a kernel step until now."""
    counted, plain = [0], KernelQuadratic.product

    def counting(self, kernels):
        counted[0] += 1
        return plain(self, kernels)

    monkeypatch.setattr(KernelQuadratic, "product", counting)
    return counted


@pytest.mark.parametrize(
    ("size", "pairs", "most", "steps"), [(128, 52, 62, 14), (256, 40, 57, 18), (512, 32, 108, 53)]
)
def test_a_recovery_takes_no_more_work_than_it_did(transformed, products, size, pairs, most, steps):
    """Limits are a quarter above what was counted when this was written."""
    field = random_field(ldos_kernel(31, -1.8), (size, size), 1e-3, snr_db=20, seed=1)
    recovery = recover(field.image, kernel_size=31)
    assert len(recovery.defects) == pytest.approx(len(field.positions), abs=1)
    assert transformed[0] / (2 * size**2) < pairs
    assert products[0] < most
    assert len(recovery.history) < steps


@pytest.mark.parametrize(
    ("energies", "density", "pairs", "most", "steps"),
    [
        ((-2.6, -1.5), 5e-4, 57, 380, 50),
        ((-2.6, -2.05, -1.5), 3e-4, 155, 1150, 140),
        ((-1.8,), 1e-2, 157, 130, 40),
    ],
    ids=["two types", "three types", "a crowd"],
)
def test_types_and_crowds_take_no_more_work_than_they_did(
    transformed, products, energies, density, pairs, most, steps
):
    """Limits are a quarter above what was counted; to sort types once one was refined took ten times that."""
    kernels = np.stack([ldos_kernel(31, energy) for energy in energies])
    field = random_field(kernels, (256, 256), density, snr_db=20, seed=0)
    recovery = recover(field.image, kernel_size=31)
    assert len(recovery.kernels) == len(energies)
    assert len(recovery.defects) == pytest.approx(len(field.positions), abs=2)
    assert transformed[0] / (2 * 256**2) < pairs
    assert products[0] < most
    assert len(recovery.history) < steps
