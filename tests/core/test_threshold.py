"""The threshold of the table: from the noise, with false positives as expected, changed without a new run."""

import numpy as np
import pandas as pd
import pytest

from napari_sbd.core.recover import recover
from napari_sbd.core.threshold import NoiseMaxima, Threshold, snr_for
from napari_sbd.simulate import ldos_kernel, random_field

KERNEL = ldos_kernel(15, -2.0)
QUICK = {"kernel_size": 15, "starts": 2, "kept": 1, "types": 1, "activations": "positive"}


@pytest.fixture(scope="module")
def noisy():
    """Fields at 3 dB: enough noise that low thresholds list some of it."""
    fields = [random_field(KERNEL, (128, 128), 1.5e-3, snr_db=3, seed=seed) for seed in range(4)]
    return [(field, recover(field.image, **QUICK)) for field in fields]


def false_rows(recovery, field, yardsticks):
    apart = np.linalg.norm(yardsticks.positions(recovery, KERNEL)[:, None] - field.positions[None], axis=-1)
    return int((apart.min(1) > 3).sum())


@pytest.mark.parametrize("snr", [3.0, 3.4])
def test_false_positives_are_as_many_as_said(noisy, yardsticks, snr):
    lower = [(f, r.with_threshold(snr=snr, strength=0)) for f, r in noisy]
    said = sum(r.false_positives for _, r in lower)
    counted = sum(false_rows(r, f, yardsticks) for f, r in lower)
    assert said > 10
    assert counted == pytest.approx(said, abs=3 * np.sqrt(said))


def test_the_default_lets_nothing_false_through_and_loses_nothing(noisy, yardsticks):
    for field, recovery in noisy:
        assert 3.5 < recovery.noise_snr < 4.8
        assert recovery.false_positives <= 0.1
        assert false_rows(recovery, field, yardsticks) == 0
        assert len(recovery.defects) >= 0.9 * len(field.positions)  # a few overlap wholly


def test_a_lower_threshold_keeps_all_rows_and_adds_some(noisy):
    _, recovery = noisy[0]
    tables = [recovery.with_threshold(snr=snr, strength=0).defects for snr in (3, 3.5, 5, 10)]
    sets = [
        set(map(tuple, t[["row", "col"]].to_numpy())) for t in [*tables[:1], recovery.defects, *tables[1:]]
    ]
    assert sets[0] > sets[1]
    assert sets[0] > sets[2] >= sets[3] >= sets[4]
    for snr, table in zip((3, 3.5, 5, 10), tables, strict=True):
        assert table["snr"].min() >= snr
        assert list(table.columns) == list(recovery.defects.columns)


def test_weak_defects_are_there_for_a_lower_threshold(yardsticks):
    """Two in ten defects have a tenth of the others' amplitude; nothing is run again to list them."""
    field = random_field(KERNEL, (128, 128), 1.5e-3, snr_db=None, seed=5)
    weak = np.random.default_rng(3).integers(12, 116, (5, 2))
    image = field.image.copy()
    for row, col in weak:
        image[row - 7 : row + 8, col - 7 : col + 8] += 0.1 * field.kernel
    image += np.random.default_rng(0).normal(0, 0.01, image.shape)
    recovery = recover(image, **QUICK)

    def listed(found):
        apart = np.linalg.norm(yardsticks.positions(found, KERNEL)[:, None] - weak[None], axis=-1)
        return int((apart.min(0) < 1.5).sum())

    assert listed(recovery) == 0
    lowered = recovery.with_threshold(strength=0.05)
    assert listed(lowered) >= 4
    found = lowered.defects.nsmallest(4, "amplitude")["amplitude"].to_numpy()
    np.testing.assert_allclose(found, 0.1 * np.median(recovery.defects["amplitude"]), rtol=0.35)
    assert lowered.false_positives < 0.1


def test_the_recovery_itself_is_not_changed(noisy):
    _, recovery = noisy[0]
    before = recovery.defects.copy()
    other = recovery.with_threshold(snr=8, strength=0.5)
    assert other.threshold == Threshold(8, 0.5)
    assert other.kernels is recovery.kernels
    assert other.candidates is recovery.candidates
    pd.testing.assert_frame_equal(recovery.defects, before)
    pd.testing.assert_frame_equal(other.with_threshold().defects, before)
    assert other.provenance()["threshold"] == {"snr": 8, "strength": 0.5, "outside": False}


def test_defects_outside_the_frame_are_listed_on_request():
    field = random_field(KERNEL, (96, 96), 3e-3, snr_db=20, seed=2, outside=True)
    recovery = recover(field.image, **QUICK)
    assert "outside" not in recovery.defects
    places = recovery.defects[["row", "col"]].to_numpy()
    assert places.min() >= -0.5
    assert places.max() <= 95.5
    wider = recovery.with_threshold(outside=True).defects
    beyond = wider[wider["outside"]]
    assert 3 <= len(beyond) == len(wider) - len(recovery.defects)
    assert ((beyond[["row", "col"]] < -0.5) | (beyond[["row", "col"]] > 95.5)).any(axis=1).all()
    assert beyond["near_border"].all()


def test_a_defect_between_pixels_is_one_row():
    """Band-limited points between pixels split their activation; every defect is one row all the same."""
    field = random_field(KERNEL, (128, 128), 1.5e-3, snr_db=20, seed=4, subpixel=True)
    recovery = recover(field.image, **QUICK)
    split = (recovery.extended_activations > 0).sum()
    assert split > 1.5 * len(field.positions)
    assert len(recovery.defects) == pytest.approx(len(field.positions), abs=1)
    places = recovery.defects[["row", "col"]].to_numpy()
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1) + 99 * np.eye(len(places))
    assert apart.min() > 1.5


def test_an_empty_answer_stays_empty(rng):
    recovery = recover(rng.standard_normal((64, 64)), kernel_size=9)
    assert recovery.nothing
    assert len(recovery.with_threshold(snr=3, strength=0).defects) == 0


def test_expected_maxima_are_never_more_than_pixels_above_the_threshold():
    rough = NoiseMaxima(10_000, 2.0)
    assert rough.expected(3) == pytest.approx(13.5, rel=0.01)  # 10 000 times the normal tail
    assert NoiseMaxima(10_000, 2.0, both_signs=True).expected(3) == pytest.approx(27, rel=0.01)
    assert NoiseMaxima(10_000, 0.02).expected(3) < 2
    assert snr_for([rough, rough]) > snr_for([rough]) > 4


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"snr": 1}, "snr"),
        ({"snr": "5"}, "snr"),
        ({"strength": 2}, "strength"),
        ({"snr": float("nan")}, "snr"),
    ],
)
def test_wrong_thresholds_are_named(noisy, wrong, named):
    with pytest.raises(ValueError, match=f"{named} must be a number"):
        noisy[0][1].with_threshold(**wrong)
