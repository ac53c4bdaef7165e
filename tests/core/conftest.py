"""Small fields with known truth, and yardsticks for what is recovered from them."""

from pathlib import Path

import numpy as np
import pytest
from scipy import fft

from napari_sbd.core.board import Board
from napari_sbd.core.descent import Iterate
from napari_sbd.core.likelihood import Law
from napari_sbd.core.objective import Objective
from napari_sbd.core.recover import recover
from napari_sbd.core.sphere import project
from napari_sbd.simulate import ldos_kernel, random_field
from napari_sbd.simulate.fields import convolved

SHARED = Path(__file__).parents[2].parent / "shared"


class Yardsticks:
    """What tests measure with; the shift of a kernel is a symmetry, so positions are compared after it."""

    @staticmethod
    def kernel_shift(found, truth):
        """Whole pixels by which the found kernel lies off the true one, from the windows' centres."""
        found, truth = np.squeeze(found), np.squeeze(truth)
        shape = tuple(fft.next_fast_len(m + n) for m, n in zip(found.shape, truth.shape, strict=True))
        cross = np.abs(fft.ifft2(fft.fft2(found, shape) * np.conj(fft.fft2(truth, shape))))
        peak = np.array(np.unravel_index(cross.argmax(), shape))
        peak = np.where(peak > np.array(shape) / 2, peak - np.array(shape), peak)
        middles = [(m - 1) // 2 - (n - 1) // 2 for m, n in zip(found.shape, truth.shape, strict=True)]
        return peak - middles

    @staticmethod
    def kernel_gradient(objective, kernels, maps):
        """Euclidean gradient of ψ in the kernels, by transforms of the whole."""
        model = objective.convolution
        spectra = model.map_spectra(maps)
        return model.correlate_maps(spectra, objective.residual(model.kernel_spectra(kernels), spectra)[0])

    @classmethod
    def positions(cls, recovery, truth):
        """Found positions (row, col) of the first type, less the shift of its kernel."""
        shift = cls.kernel_shift(recovery.kernels[0, 0], truth)
        return recovery.defects[["row", "col"]].to_numpy() + shift

    @staticmethod
    def hits(found, truth, within=1.0):
        """Precision and recall of points within a distance, each of the nearest point."""
        apart = np.linalg.norm(np.asarray(found)[:, None] - np.asarray(truth)[None], axis=-1)
        return float((apart.min(1) <= within).mean()), float((apart.min(0) <= within).mean())

    @staticmethod
    def similarity(found, truth):
        """Normalised correlation without any shift and with its sign: +1 is equal."""
        return float(np.vdot(found, truth) / np.linalg.norm(found) / np.linalg.norm(truth))


@pytest.fixture(scope="session")
def yardsticks():
    return Yardsticks


@pytest.fixture(scope="session")
def shared():
    """The folder of real data beside the repository."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared beside the repository, which is not there")
    return SHARED


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture(scope="session")
def kernel():
    return ldos_kernel(11, -2.0)


@pytest.fixture(scope="session")
def field(kernel):
    """Six defects on 48×48 pixels at 20 dB, none outside the frame."""
    return random_field(kernel, (48, 48), 4e-3, snr_db=20, seed=1)


@pytest.fixture(scope="session")
def recovery(field):
    """What the defaults make of `field`, calibrated."""
    return recover(field.image, kernel_size=11, pixel_size=(0.2, 0.1), unit="nm")


@pytest.fixture(scope="session")
def quick():
    """Settings of a recovery that is short rather than good."""
    return {"kernel_size": 11, "starts": 2, "kept": 1, "refinements": 0}


def crowd_on_board(types=1, slices=1, hidden=None, signed=False, window=(11, 9), size=(60, 65)):
    """A crowd, half of its defects on wrong pixels, and what is likely there."""
    rng, noise, amplitude = np.random.default_rng(0), 0.3, 4.0
    rough = rng.standard_normal((types, slices, *window)).cumsum(-1).cumsum(-2)
    kernels = project(rough).astype(np.float32)
    places = tuple(n + k - 1 for n, k in zip(size, window, strict=True))
    maps = np.where(rng.random((types, *places)) < 0.03 / types, amplitude, 0).astype(np.float32)
    if signed:
        maps *= rng.choice([-1, 1], maps.shape)
    image = np.stack([convolved(maps, kernels[:, n]) for n in range(slices)]) + 3
    image += rng.normal(0, noise, image.shape)
    mask = np.ones(image.shape, bool)
    if hidden == "patch":
        mask[:, 20:35, 10:30] = False
    if hidden == "pixels":
        mask &= rng.random(size) > 0.1
    moved = np.where(rng.random(maps.shape) < 0.5, np.roll(maps, 1, 1), maps)
    objective = Objective(image.astype(np.float32), mask, window)
    law = Law(noise, np.full(types, amplitude), np.full(types, 0.4), np.full(types, -3.0), not signed)
    return Board(objective, Iterate(kernels, moved, np.inf)), law


@pytest.fixture(
    params=[
        {},
        {"types": 2},
        {"slices": 3},
        {"hidden": "patch"},
        {"hidden": "pixels"},
        {"signed": True},
        {"types": 2, "slices": 2, "hidden": "patch", "signed": True},
        {"window": (3, 3)},
        {"window": (2, 5)},
        {"size": (700, 30)},
    ],
    ids=str,
)
def any_crowd(request):
    """Makes a crowd on a board, and what is likely there: of all kinds that machine code knows."""
    return lambda: crowd_on_board(**request.param)
