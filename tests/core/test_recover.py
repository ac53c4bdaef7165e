"""What a recovery returns, against a known truth."""

import dataclasses

import numpy as np
import pytest
from scipy import spatial
from scipy.signal import convolve

from napari_sbd.core.observation import observe
from napari_sbd.core.quality import kernel_similarity
from napari_sbd.core.recover import recover
from napari_sbd.simulate import ldos_kernel, random_field


def assert_sound(recovery, window):
    """What every recovery promises, however it ended."""
    types, slices = recovery.kernels.shape[:2]
    rows, cols = recovery.observation.shape
    extended = (rows + window[0] - 1, cols + window[1] - 1)
    assert recovery.kernels.shape[-2:] == window
    np.testing.assert_allclose(np.linalg.norm(recovery.kernels.reshape(types, -1), axis=1), 1)
    assert recovery.extended_activations.shape == (types, *extended)
    assert recovery.activations.shape == (types, rows, cols)
    assert recovery.bias.shape == (slices,)
    assert recovery.noise >= 0
    assert np.isfinite(recovery.extended_activations).all()
    assert np.all(recovery.extended_activations.sum((1, 2)) >= 0)
    assert set(recovery.defects["type"]) <= set(range(types))
    assert recovery.summary
    for number, bias in enumerate(recovery.bias):
        atoms = zip(recovery.extended_activations, recovery.kernels[:, number], strict=True)
        explained = sum(convolve(x, a, "valid") for x, a in atoms) + bias
        rest = np.where(
            recovery.observation.mask[number], recovery.observation.data[number] - explained, np.nan
        )
        scale = np.ptp(recovery.observation.data[number])
        np.testing.assert_allclose(recovery.reconstruction[number], explained, atol=1e-10 * scale)
        np.testing.assert_allclose(recovery.residual[number], rest, atol=1e-10 * scale)
        assert np.nanmean(rest) == pytest.approx(0, abs=1e-9 * scale)  # the bias is the best one


def test_a_known_field_is_recovered(field, recovery, yardsticks):
    assert recovery.status == "finished"
    assert_sound(recovery, (11, 11))
    assert yardsticks.similarity(recovery.kernels[0, 0], field.kernel) > 0.999  # no shift, right sign
    defects = recovery.defects
    assert yardsticks.hits(defects[["row", "col"]], field.positions, 0.2) == (1, 1)
    assert len(defects) == len(field.positions)
    np.testing.assert_allclose(defects["amplitude"], 1, atol=0.05)
    np.testing.assert_allclose(defects["y_nm"], 0.2 * defects["row"])
    np.testing.assert_allclose(defects["x_nm"], 0.1 * defects["col"])
    assert recovery.noise == pytest.approx(field.noise_std, rel=0.1)
    assert recovery.bias[0] == pytest.approx(0, abs=field.noise_std)
    assert recovery.quality["residual_to_noise"] == pytest.approx(1, abs=0.1)


def test_standard_errors_of_a_recovery_are_those_of_its_amplitudes(kernel):
    field = random_field(kernel, (96, 96), 4e-3, snr_db=10, seed=5)
    found = recover(field.image, kernel_size=11, starts=4)
    alone = found.defects[~found.defects["near_border"]]
    spread = alone["amplitude"].std()
    assert alone["amplitude_error"].mean() == pytest.approx(field.noise_std, rel=0.15)
    assert 0.6 * field.noise_std < spread < 1.6 * field.noise_std


def test_what_was_used_is_in_the_result(recovery):
    assert recovery.parameters.kernel_size == (11, 11)
    assert {"napari-sbd", "numpy", "scipy"} <= recovery.versions.keys()
    history = recovery.history
    assert np.all(np.diff(history["seconds"]) >= 0)
    assert {"stage I", "stage II"} <= set(history["stage"])
    assert np.all((history["lam"] >= 0) & (history["lam"] < 1))
    provenance = recovery.provenance()
    assert provenance["parameters"]["kernel_size"] == (11, 11)
    assert provenance["status"] == "finished"


def test_the_continuation_lowers_the_penalty(recovery):
    second = recovery.history.query("stage == 'stage II'")
    for _, steps in second.groupby("start"):
        assert np.all(np.diff(steps["lam"]) <= 0)
        assert steps["lam"].iloc[-1] < steps["lam"].iloc[0]


RANDOM = np.random.default_rng(3).standard_normal((8, 8))
FIELDS = {
    "even random kernel": (RANDOM, (48, 48), 1e-2, {}, {}),
    "even, dense, with a bias": (RANDOM, (64, 64), 3e-2, {"snr_db": 14, "bias": 50.0}, {}),
    "nothing square": (ldos_kernel(13, -2.0)[2:-2], (40, 56), 8e-3, {}, {}),
    "one row more than two": (ldos_kernel(11, -2.0)[4:7], (40, 56), 8e-3, {}, {}),
    "both signs": (ldos_kernel(11, -2.0), (64, 64), 6e-3, {"signed": True}, {"activations": "signed"}),
    "strong noise": (ldos_kernel(11, -2.0), (96, 96), 4e-3, {"snr_db": 3}, {}),
}


@pytest.mark.parametrize("case", FIELDS)
def test_kernel_and_positions_of_many_kinds_of_fields(case, yardsticks):
    kernel, shape, density, made, options = FIELDS[case]
    field = random_field(kernel, shape, density, **{"snr_db": 20, "seed": 2, **made})
    found = recover(field.image, kernel_size=kernel.shape, **options)
    assert_sound(found, kernel.shape)
    similarity = kernel_similarity(found.kernels[0], field.kernel)
    assert similarity > (0.98 if case == "strong noise" else 0.998)
    precision, recall = yardsticks.hits(yardsticks.positions(found, field.kernel), field.positions)
    assert precision > 0.97
    assert recall > 0.93
    if "bias" in made:
        assert found.bias[0] == pytest.approx(50, abs=field.noise_std)


@pytest.mark.parametrize("snr", [None, 20])
def test_crowds_with_little_noise_are_told_apart(snr, yardsticks):
    field = random_field(ldos_kernel(15, -2.0), (128, 128), 3e-2, snr_db=snr, seed=1)
    found = recover(field.image, kernel_size=15)
    assert kernel_similarity(found.kernels[0], field.kernel) > 0.9995
    precision, recall = yardsticks.hits(yardsticks.positions(found, field.kernel), field.positions)
    assert precision > 0.95
    assert recall > 0.9
    places = (found.defects[["row", "col"]], field.positions)
    rows, defects = (len(spatial.KDTree(where).query_pairs(2.5)) for where in places)
    assert rows > 0.6 * defects  # also those a pixel or two from another


def test_signed_activations_give_each_defect_its_sign(kernel, yardsticks):
    field = random_field(kernel, (64, 64), 6e-3, snr_db=20, seed=2, signed=True)
    found = recover(field.image, kernel_size=11, activations="signed", starts=4)
    places = yardsticks.positions(found, field.kernel)
    near = np.linalg.norm(places[:, None] - field.positions[None], axis=-1).argmin(1)
    signs = np.sign(found.defects["amplitude"].to_numpy()) * np.sign(field.amplitudes[near])
    assert len(set(signs)) == 1  # up to the one sign of the kernel
    assert {-1.0, 1.0} <= set(np.sign(found.defects["amplitude"]))


def test_positive_activations_have_no_negative_ones(recovery):
    assert recovery.extended_activations.min() >= 0


def test_without_a_window_one_is_chosen_and_the_defects_are_found(kernel, yardsticks):
    field = random_field(kernel, (64, 64), 4e-3, snr_db=20, seed=2)
    found = recover(field.image)
    assert found.parameters.kernel_size is None
    assert found.window == found.kernels.shape[-2:]
    assert found.window[0] % 2 == 1
    assert kernel_similarity(found.kernels[0], field.kernel) > 0.85
    precision, recall = yardsticks.hits(yardsticks.positions(found, field.kernel), field.positions)
    assert precision == recall == 1


def test_a_final_penalty_that_is_given_is_used(field, quick):
    found = recover(field.image, **quick, lam_last=0.12)
    late = found.history.query("stage in ['stage II', 'polish']")
    assert late["lam"].iloc[-1] == pytest.approx(0.12)
    assert late["lam"].min() == pytest.approx(0.12)


def test_refinement_sharpens_and_does_not_harm(field):
    options = {"kernel_size": 11, "starts": 4}
    plain, sharp = (recover(field.image, **options, refinements=n) for n in (0, 3))
    assert kernel_similarity(sharp.kernels[0], field.kernel) >= kernel_similarity(
        plain.kernels[0], field.kernel
    )
    assert np.count_nonzero(sharp.activations) <= np.count_nonzero(plain.activations)


def test_an_image_larger_than_the_search_region_is_covered_to_its_borders(yardsticks):
    kernel = ldos_kernel(9, -1.8)
    field = random_field(kernel, (64, 300), 2e-3, snr_db=20, seed=3)
    found = recover(field.image, kernel_size=9, starts=2, kept=1, refinements=1)
    assert_sound(found, (9, 9))
    assert kernel_similarity(found.kernels[0], kernel) > 0.99
    precision, recall = yardsticks.hits(yardsticks.positions(found, kernel), field.positions)
    assert precision == recall == 1


def test_an_image_of_noise_alone_ends_with_a_sound_answer(rng, quick):
    assert_sound(recover(rng.standard_normal((40, 40)), **quick), (11, 11))


def test_a_single_defect_is_enough(kernel, rng, yardsticks):
    image = np.zeros((40, 40))
    image[12:23, 15:26] = kernel
    found = recover(image + rng.normal(0, 0.01, image.shape), kernel_size=11)
    assert kernel_similarity(found.kernels[0], kernel) > 0.99
    np.testing.assert_allclose(yardsticks.positions(found, kernel), [[17, 20]], atol=0.2)


def test_a_window_as_large_as_the_image_works(field):
    small = field.image[:16, :18]
    assert_sound(recover(small, kernel_size=(16, 18), starts=2, kept=1), (16, 18))


class TestBorder:
    """A field cut out of a larger one: defects outside reach in."""

    @pytest.fixture(scope="class")
    @staticmethod
    def cut(kernel):
        return random_field(kernel, (64, 64), 6e-3, snr_db=20, seed=2, outside=True)

    @pytest.fixture(scope="class")
    @staticmethod
    def found(cut):
        return recover(cut.image, kernel_size=11)

    def test_the_kernel_is_as_good_as_without_defects_outside(self, cut, found):
        same = random_field(cut.kernel, (64, 64), 6e-3, snr_db=20, seed=2)
        without = recover(same.image, kernel_size=11)
        first, second = (kernel_similarity(r.kernels[0], cut.kernel) for r in (found, without))
        assert first > second - 0.003
        assert first > 0.998

    def test_the_residual_belongs_to_what_is_returned(self, cut, found):
        model = convolve(found.extended_activations[0], found.kernels[0, 0], "valid")
        np.testing.assert_allclose(
            found.residual[0], cut.image - model - found.bias[0], atol=1e-12 * np.ptp(cut.image)
        )

    def test_a_low_penalty_explains_all_that_reaches_in(self, cut):
        low = recover(cut.image, kernel_size=11, lam_last=0.02, starts=4)
        outside = cut.extended_activations.copy()
        outside[:, 5:-5, 5:-5] = 0
        reaching = convolve(outside[0], cut.kernel, "valid")
        touched = np.abs(reaching) > 1e-9
        left = np.sum(low.residual[0][touched] ** 2) - cut.noise_std**2 * touched.sum()
        assert left < 0.1 * np.sum(reaching**2)

    def test_defects_are_listed_inside_the_frame_only(self, cut, found, yardsticks):
        places = found.defects[["row", "col"]].to_numpy()
        assert np.all((places >= -0.5) & (places <= 63.5))
        precision, recall = yardsticks.hits(places, cut.positions)
        assert precision > 0.9
        assert recall > 0.9


class TestMask:
    @pytest.fixture(scope="class")
    @staticmethod
    def holes(field):
        mask = np.ones(field.image.shape, bool)
        mask[20:30, 4:16] = False
        mask[::9, 40] = False
        return mask

    def test_values_of_masked_pixels_never_act(self, field, holes, quick, rng):
        results = []
        for junk in (0.0, np.nan, -1e6, rng.normal(0, 50, field.image.shape)):
            image = np.where(holes, field.image, junk)
            results.append(recover(image, mask=holes, **quick))
        for other in results[1:]:
            np.testing.assert_array_equal(other.kernels, results[0].kernels)
            np.testing.assert_array_equal(other.extended_activations, results[0].extended_activations)
            np.testing.assert_array_equal(other.residual, results[0].residual)

    def test_nan_pixels_are_a_mask(self, field, holes, quick):
        masked = recover(field.image, mask=holes, **quick)
        unknown = recover(np.where(holes, field.image, np.nan), **quick)
        np.testing.assert_array_equal(masked.kernels, unknown.kernels)
        np.testing.assert_array_equal(np.isnan(unknown.residual[0]), ~holes)

    def test_a_masked_patch_of_junk_does_not_spoil_the_result(self, field, holes, yardsticks):
        image = np.where(holes, field.image, 100.0)
        found = recover(image, mask=holes, kernel_size=11)
        assert_sound(found, (11, 11))
        assert yardsticks.similarity(found.kernels[0, 0], field.kernel) > 0.998
        places = found.defects[["row", "col"]].to_numpy()
        seen = field.positions[holes[tuple(field.positions.astype(int).T)]]
        assert yardsticks.hits(places, seen, 0.3)[1] == 1
        assert yardsticks.hits(places, field.positions, 0.5)[0] == 1


def test_an_observation_is_taken_as_it_is(field, quick):
    seen = observe(field.image, pixel_size=0.5, unit="nm")
    found = recover(seen, **quick)
    assert found.observation is seen
    np.testing.assert_array_equal(found.kernels, recover(field.image, **quick).kernels)


def test_a_recovery_is_plain_data_that_does_not_change(recovery):
    with pytest.raises(dataclasses.FrozenInstanceError):
        recovery.noise = 0.0


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_defects_outside_the_frame_are_explained_by_default(seed):
    """A tail that reaches in from outside is part of the model: nothing of it may be left at the border."""
    sample = random_field(ldos_kernel(11), (64, 64), 6e-3, snr_db=20, seed=seed, outside=True)
    recovery = recover(sample.image, kernel_size=11)
    rest = recovery.residual[0] / recovery.noise
    assert np.abs(rest).max() < 7
    assert kernel_similarity(recovery.kernels[0, 0], sample.kernel) > 0.998
