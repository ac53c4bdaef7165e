"""Several defect types, both signs, slices, given starts, and answers that are empty."""

import numpy as np
import pytest
from scipy.signal import convolve

from napari_sbd.core.quality import kernel_similarity
from napari_sbd.core.recover import recover
from napari_sbd.core.verdict import fills_a_lattice, looks_like_noise
from napari_sbd.simulate import ldos_kernel, random_field

ENERGIES = (-2.4, -1.9)


@pytest.fixture(scope="module")
def kernels():
    return np.stack([ldos_kernel(15, energy) for energy in ENERGIES])


def matched(recovery, kernels):
    """Index of the recovered type nearest to each true one, and the similarities."""
    table = np.array([[kernel_similarity(a, truth) for a in recovery.kernels[:, 0]] for truth in kernels])
    return table.argmax(1), table.max(1)


@pytest.mark.parametrize("types", [1, 2])
def test_the_number_of_types_is_found(kernels, types):
    field = random_field(kernels[:types], (128, 128), 1e-3, snr_db=20, seed=4)
    recovery = recover(field.image, kernel_size=15)
    assert len(recovery.kernels) == types
    nearest, similarity = matched(recovery, kernels[:types])
    assert sorted(nearest) == list(range(types))
    assert similarity.min() > 0.99
    counts = recovery.defects["type"].value_counts()
    assert [counts[n] for n in nearest] == pytest.approx(np.bincount(field.types), abs=1)


@pytest.fixture(scope="module")
def asked_for(kernels):
    """Recoveries of a field of two types, by the number of types that was asked for."""
    field = random_field(kernels[:2], (96, 96), 2e-3, snr_db=20, seed=1)
    return {types: recover(field.image, kernel_size=15, types=types) for types in (1, 2)}


def test_as_many_types_as_asked_for_at_most(asked_for):
    assert [len(asked_for[types].kernels) for types in (1, 2)] == [1, 2]


def test_several_types_explain_the_image_together(asked_for):
    recovery = asked_for[2]
    model = sum(
        convolve(x, a[0], "valid")
        for x, a in zip(recovery.extended_activations, recovery.kernels, strict=True)
    )
    np.testing.assert_allclose(model + recovery.bias, recovery.reconstruction[0], atol=1e-9 * np.ptp(model))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_both_signs_are_found_by_themselves(seed):
    field = random_field(ldos_kernel(15), (96, 96), 2e-3, snr_db=15, seed=seed, signed=True)
    recovery = recover(field.image, kernel_size=15)
    assert recovery.signed
    assert len(recovery.kernels) == 1
    assert kernel_similarity(recovery.kernels[0], field.kernel) > 0.995
    signs = np.sign(recovery.defects["amplitude"])
    assert abs(len(signs) - len(field.amplitudes)) <= 1
    assert abs(abs(signs.sum()) - abs(np.sign(field.amplitudes).sum())) <= 1


def test_one_sign_stays_one_sign():
    field = random_field(ldos_kernel(15), (96, 96), 2e-3, snr_db=15, seed=3)
    assert not recover(field.image, kernel_size=15).signed


@pytest.fixture(scope="module")
def stack():
    kernel = np.stack([ldos_kernel(15, energy) for energy in np.linspace(-2.4, -1.8, 4)])
    kernel /= np.linalg.norm(kernel)
    field = random_field(ldos_kernel(15), (80, 80), 2e-3, snr_db=None, seed=7)
    clean = np.stack([convolve(field.activations[0], a, "same") for a in kernel])
    rng = np.random.default_rng(0)
    noisy = clean + 0.2 * clean.std((1, 2), keepdims=True) * rng.standard_normal(clean.shape)
    return noisy, kernel, field


def test_slices_share_one_map(stack):
    noisy, kernel, field = stack
    recovery = recover(noisy, kernel_size=15, types=1)
    assert recovery.kernels.shape == (1, 4, 15, 15)
    assert recovery.extended_activations.shape == (1, 94, 94)
    assert kernel_similarity(recovery.kernels[0], kernel) > 0.995
    assert len(recovery.defects) == pytest.approx(len(field.positions), abs=1)


def test_a_bad_slice_does_not_spoil_the_good_ones(stack):
    noisy, kernel, _ = stack
    spoilt = noisy.copy()
    spoilt[1] += 30 * noisy[1].std() * np.random.default_rng(1).standard_normal(noisy[1].shape)
    recovery = recover(spoilt, kernel_size=15, types=1)
    good = [0, 2, 3]
    assert kernel_similarity(recovery.kernels[0][good], kernel[good]) > 0.99


def test_a_box_is_where_the_recovery_begins(kernels):
    field = random_field(kernels[:1], (96, 96), 1.5e-3, snr_db=20, seed=2)
    inside = field.positions[((field.positions > 8) & (field.positions < 87)).all(1)]
    row, col = inside[0]
    box = [[[row - 7, col - 7], [row + 7, col + 7]]]
    recovery = recover(field.image, start=box, types=1)
    assert recovery.window == (15, 15)
    assert recovery.quality["starts"] == 1
    assert kernel_similarity(recovery.kernels[0], kernels[0]) > 0.99


def test_an_earlier_recovery_or_its_kernel_is_where_another_begins(kernels):
    one, two = (random_field(kernels[:1], (80, 80), 2e-3, snr_db=20, seed=seed) for seed in (2, 3))
    first = recover(one.image, kernel_size=15, types=1)
    for start in (first, first.kernels[0, 0]):
        again = recover(two.image, start=start, types=1)
        assert again.window == (15, 15)
        assert kernel_similarity(again.kernels[0], kernels[0]) > 0.99


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ([[[200, 0], [220, 20]]], "outside the image"),
        ([[[5, 5], [5, 20]]], "smaller than 3 px"),
        (np.ones((90, 90)), "larger than the image"),
        (np.zeros((9, 9)), "empty"),
        (np.ones(5), "pass boxes"),
        (np.ones((3, 9, 9)), "3 slices and the image 1"),
    ],
)
def test_a_start_that_cannot_be_used_is_refused(start, message):
    image = np.random.default_rng(0).standard_normal((80, 80))
    with pytest.raises(ValueError, match=message):
        recover(image, start=start)


@pytest.mark.parametrize("window", [9, 21, None])
def test_noise_holds_nothing(window):
    recovery = recover(np.random.default_rng(5).standard_normal((96, 96)), kernel_size=window)
    assert len(recovery.defects) == 0
    assert not recovery.extended_activations.any()
    assert "no defects" in recovery.summary


@pytest.mark.parametrize("window", [11, None])
def test_a_perfect_lattice_holds_nothing(window):
    row, col = np.mgrid[:80, :80]
    lattice = np.cos(2 * np.pi * row / 9.3) + np.cos(2 * np.pi * (0.866 * col + 0.5 * row) / 9.3)
    noise = 0.2 * np.random.default_rng(0).standard_normal(lattice.shape)
    recovery = recover(lattice + noise, kernel_size=window)
    assert len(recovery.defects) == 0
    assert "lattice" in recovery.summary


def test_random_defects_are_no_lattice_and_no_noise(kernels):
    field = random_field(kernels[:1], (96, 96), 3e-3, snr_db=None, seed=0)
    assert not fills_a_lattice(field.clean[None])
    noise = np.random.default_rng(0).standard_normal((1, 96, 96))
    mask = np.ones(noise.shape, bool)
    assert looks_like_noise(noise, mask, (15, 15))
    assert not looks_like_noise(noise * field.clean.std() + field.clean, mask, (15, 15))


def test_three_types_are_told_apart():
    lopsided = ldos_kernel(15, -2.1) * np.linspace(0, 2, 15)
    kernels = np.stack([ldos_kernel(15, -2.4), ldos_kernel(15, -1.7), lopsided / np.linalg.norm(lopsided)])
    field = random_field(kernels, (104, 104), 1e-3, snr_db=20, seed=6)
    recovery = recover(field.image, kernel_size=15)
    assert len(recovery.kernels) == 3
    assert matched(recovery, kernels)[1].min() > 0.99
