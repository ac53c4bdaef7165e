"""A finished recovery solved again: `Recovery.again`."""

from threading import Event

import numpy as np
import pytest

from napari_sbd.core.part import middle_box, part_of
from napari_sbd.core.quality import kernel_similarity
from napari_sbd.core.recover import recover
from napari_sbd.core.resolve import Resolver, drained, wanted_of
from napari_sbd.simulate import ldos_kernel, random_field

QUICK = {"kernel_size": 11, "types": 1, "starts": 2, "kept": 1}


@pytest.fixture(scope="module")
def field():
    return random_field(ldos_kernel(11), (72, 80), density=0.004, snr_db=15, seed=4)


@pytest.fixture(scope="module")
def recovery(field):
    return recover(field.image, **QUICK)


def test_with_the_same_parameters_nothing_changes(recovery):
    again = recovery.again()
    assert kernel_similarity(again.kernels[0], recovery.kernels[0]) > 0.9999
    assert len(again.defects) == len(recovery.defects)
    np.testing.assert_allclose(again.defects["amplitude"], recovery.defects["amplitude"], rtol=0.01)
    np.testing.assert_allclose(again.noise, recovery.noise, rtol=0.01)


def test_it_agrees_with_a_recovery_at_that_penalty(field, recovery):
    anew = recover(field.image, lam_last=0.25, **QUICK)
    again = recovery.again(lam=0.25)
    assert kernel_similarity(again.kernels[0], anew.kernels[0]) > 0.9995
    assert len(again.defects) == len(anew.defects)


def test_a_larger_penalty_leaves_fewer_defects_and_too_large_a_one_says_so(recovery):
    counts = [len(recovery.again(lam=lam, refinements=0).defects) for lam in (0.1, 0.6, 0.9)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] < counts[0]
    resolver = Resolver(recovery)
    resolver.largest *= 10
    solved, _ = drained(resolver.steps(wanted_of(recovery, {"lam": 0.9})), lambda: False)
    empty = resolver.result(solved)
    assert "choose a smaller one" in empty.summary
    with pytest.raises(ValueError, match="cannot be solved again: λ is so large"):
        empty.again()


def test_both_signs_and_one(field):
    image = np.hstack([field.image, -field.image])
    both = recover(image, activations="signed", **QUICK)
    assert (both.extended_activations < 0).any()
    one = both.again(activations="positive", fixed_kernel=True)
    assert not (one.extended_activations < 0).any()
    assert not one.signed
    assert (one.again(activations="signed").extended_activations < 0).any()


def test_another_window_holds_the_same_kernel(recovery):
    for size in (15, 9, (14, 11)):
        again = recovery.again(kernel_size=size)
        assert again.window == ((size, size) if isinstance(size, int) else size)
        assert kernel_similarity(again.kernels[0], recovery.kernels[0]) > 0.98
        assert abs(len(again.defects) - len(recovery.defects)) <= 1


def test_a_kernel_that_stays(recovery):
    again = recovery.again(lam=0.4, fixed_kernel=True)
    np.testing.assert_allclose(again.kernels, recovery.kernels, atol=1e-6)


def test_what_was_done_is_kept(recovery):
    twice = recovery.again(lam=0.3).again(refinements=0)
    assert [done["lam"] for done in twice.solved_again] == [0.3, 0.3]
    assert twice.parameters == recovery.parameters
    assert twice.history["stage"].iloc[-1] == "again"
    assert twice.provenance()["solved_again"][-1]["refinements"] == 0


def test_sketches_lead_to_the_same_whatever_the_way(recovery):
    resolver, last = Resolver(recovery), None
    for lam in (0.1, 0.5, 0.8, 0.4, 0.3):
        last, _ = drained(resolver.steps(wanted_of(recovery, {"lam": lam}), last), lambda: False)
    sketch, exact = resolver.sketch(last), recovery.again(lam=0.3)
    assert kernel_similarity(sketch.kernels[0], exact.kernels[0]) > 0.997
    assert abs(len(sketch.defects) - len(exact.defects)) <= 1


def test_stopped_it_gives_what_it_has(recovery):
    stop = Event()
    stop.set()
    stopped = recovery.again(lam=0.3, stop=stop)
    assert stopped.status == "cancelled"
    assert len(stopped.defects)


def test_a_part_is_solved_on_the_scale_of_the_whole(recovery):
    part = part_of(recovery, middle_box((72, 80), 60))
    assert part.observation.shape == (60, 60)
    again, whole = part.again(lam=0.3), recovery.again(lam=0.3)
    assert kernel_similarity(again.kernels[0], whole.kernels[0]) > 0.99
    inside = whole.defects.query("10 < row < 60 and 14 < col < 66")
    for row, col in inside[["row", "col"]].to_numpy() - (6, 10):
        assert np.hypot(again.defects["row"] - row, again.defects["col"] - col).min() < 0.5


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"lam": 3}, r"lam must be a number from 0\.001 to 0\.95, not 3"),
        ({"types": 2}, "unknown option 'types': the options are lam, refinements"),
        ({"kernel_size": 99}, r"kernel_size 99×99 px is larger than the image"),
        ({"activations": "both"}, "activations must be"),
        ({"refinements": -1}, "refinements must be a whole number"),
    ],
)
def test_wrong_options_are_named(recovery, options, text):
    with pytest.raises(ValueError, match=text):
        recovery.again(**options)


def test_sampled_places_of_a_crowd_stay():
    crowd = random_field(ldos_kernel(11, -2.3), (96, 96), density=0.03, snr_db=15, seed=2)
    recovery = recover(crowd.image, kernel_size=11, types=1, activations="positive")
    assert recovery.sampled
    again, places = recovery.again(), recovery.extended_activations != 0
    assert again.sampled
    assert kernel_similarity(again.kernels[0], recovery.kernels[0]) > 0.999
    assert abs(len(again.defects) - len(recovery.defects)) <= 0.02 * len(recovery.defects)
    fewer = again.again(lam=0.4)
    assert len(fewer.defects) < len(again.defects)
    assert not (fewer.extended_activations != 0)[~places].any()
