"""Few components stand for the slices of a stack where nothing is lost by it."""

import numpy as np
import pytest

from napari_sbd.core.components import Components
from napari_sbd.core.domain import choose_domain
from napari_sbd.core.objective import Objective
from napari_sbd.core.recover import recover
from napari_sbd.simulate import ldos_kernel, random_field
from napari_sbd.simulate.fields import convolved


@pytest.fixture(scope="module")
def stack():
    """Six slices that show two patterns in different shares, their kernels (slices, k1, k2), and the map."""
    shares = np.linspace(0, 1, 6)
    first, second = ldos_kernel(11, -2.4), ldos_kernel(11, -1.8)
    kernels = np.stack([share * first + (1 - share) * second for share in shares])
    field = random_field(first, (64, 64), 3e-3, snr_db=None, seed=3)
    clean = np.stack([convolved(field.extended_activations, kernel[None]) for kernel in kernels])
    noise = 0.1 * clean.std() * np.random.default_rng(0).standard_normal(clean.shape)
    return clean + noise, kernels, field


def test_a_stack_of_two_patterns_is_searched_in_two_components(stack):
    image, kernels, _ = stack
    objective = Objective(image.astype(np.float32), np.ones(image.shape, bool), (11, 11))
    components = Components.of(objective)
    assert components.basis.shape == (6, 2)
    there = components.expanded(components.combined(kernels[None].astype(np.float32)))
    np.testing.assert_allclose(there[0], kernels, atol=0.02 * np.abs(kernels).max())
    domain = choose_domain(objective, 2, nonnegative=True, seed=0)
    assert len(domain.part.data) == 2
    assert len(domain.whole.data) == 6


def test_slices_with_masks_of_their_own_stay(stack):
    image, _, _ = stack
    mask = np.ones(image.shape, bool)
    mask[2, :5] = False
    assert Components.of(Objective(image, mask, (11, 11))) is None


def test_kernels_of_all_slices_come_back(stack, yardsticks):
    image, kernels, field = stack
    recovery = recover(image, kernel_size=11)
    assert recovery.kernels.shape == (1, 6, 11, 11)
    # Slices are compared together, in the image's unit.
    shift = yardsticks.kernel_shift(recovery.kernels[0].sum(0), kernels.sum(0))
    moved = np.roll(recovery.kernels[0], tuple(-shift), axis=(1, 2))
    assert abs(yardsticks.similarity(moved, kernels)) > 0.995
    assert len(recovery.defects) == len(field.positions)


def test_a_start_given_for_all_slices_is_taken(stack):
    image, kernels, field = stack
    recovery = recover(image, kernel_size=11, start=kernels)
    assert len(recovery.defects) == len(field.positions)
