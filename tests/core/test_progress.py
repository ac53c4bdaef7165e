"""The states that a recovery shows while it runs, and how it is stopped."""

import threading
import tracemalloc

import numpy as np
import pytest

from napari_sbd.core import recover as home
from napari_sbd.core.progress import Progress
from napari_sbd.core.recover import iter_recover, recover


@pytest.fixture
def every_step(monkeypatch):
    """Show every step instead of ten a second."""
    monkeypatch.setattr(home, "SECONDS_BETWEEN_STATES", 0.0)
    monkeypatch.setattr(home, "PAUSE_AFTER_STATE", 0)


def drained(states):
    """All states, and what the generator returned."""
    shown = []
    while True:
        try:
            shown.append(next(states))
        except StopIteration as end:
            return shown, end.value


class Countdown(threading.Event):
    """An event that is set once it has been asked a number of times, and counts how often it is asked."""

    def __init__(self, count):
        super().__init__()
        self.count = count
        self.asked = 0
        self.asked_after = 0

    def is_set(self):
        self.asked_after += super().is_set()
        self.asked += 1
        if self.asked > self.count:
            self.set()
        return super().is_set()


@pytest.fixture(scope="module")
def run(field, quick):
    """A whole run, every step shown: states, result, times the event was asked."""
    event = Countdown(10**9)
    patch = pytest.MonkeyPatch()
    patch.setattr(home, "SECONDS_BETWEEN_STATES", 0.0)
    patch.setattr(home, "PAUSE_AFTER_STATE", 0)
    shown, result = drained(iter_recover(field.image, stop=event, **quick))
    patch.undo()
    return shown, result, event.asked


def test_the_last_state_holds_the_recovery_that_is_returned(run):
    shown, result, _ = run
    assert result.status == "finished"
    assert shown[-1].recovery is result
    assert shown[-1].stage == "finished"
    assert all(state.recovery is None for state in shown[:-1])
    np.testing.assert_array_equal(shown[-1].kernels, result.kernels)
    np.testing.assert_array_equal(shown[-1].activations, result.activations)


def test_the_fraction_rises_to_one_and_no_time_remains(run):
    shown, *_ = run
    fractions = np.array([state.fraction for state in shown])
    assert np.all(np.diff(fractions) >= -1e-9)
    assert fractions[0] < 0.2
    assert fractions[-1] == 1
    assert len(np.unique(fractions)) > 12
    assert shown[-1].remaining == 0
    assert all(state.remaining >= 0 for state in shown)
    assert np.all(np.diff([state.elapsed for state in shown]) >= 0)


def test_the_states_tell_the_stages_in_order(run):
    shown, *_ = run
    stages = list(dict.fromkeys(state.stage for state in shown))
    assert stages[0] == "stage I"
    assert stages.index("stage I") < stages.index("stage II") < stages.index("finished")


def test_every_state_can_be_shown(run, field):
    shown, *_ = run
    for state in shown:
        assert state.kernels.shape == (1, 1, 11, 11)
        assert state.activations.shape == (1, 48, 48)
        assert np.linalg.norm(state.kernels) == pytest.approx(1)
        assert np.isfinite(state.activations).all()
        assert np.isfinite(state.objective)
        assert 0 <= state.lam < 1


def test_the_states_converge_to_the_result(run):
    shown, result, _ = run
    last = next(state for state in reversed(shown) if state.recovery is None)
    np.testing.assert_allclose(last.kernels, result.kernels, atol=1e-6)
    np.testing.assert_allclose(last.activations, result.activations, atol=1e-6)


def test_writing_into_a_state_does_not_change_the_result(run, field, quick, every_step):
    _, expected, _ = run
    states = iter_recover(field.image, **quick)
    result = None
    for state in states:
        result = state.recovery
        state.kernels[:] = np.nan
        state.activations[:] = np.nan
    np.testing.assert_array_equal(result.kernels, expected.kernels)
    np.testing.assert_array_equal(result.extended_activations, expected.extended_activations)


def test_states_do_not_change_when_work_goes_on(field, quick, every_step):
    states = iter_recover(field.image, **quick)
    first = next(states)
    copy = first.kernels.copy(), first.activations.copy()
    drained(states)
    np.testing.assert_array_equal(first.kernels, copy[0])
    np.testing.assert_array_equal(first.activations, copy[1])


def test_states_come_by_time_not_by_step(field, quick, run):
    shown, _ = drained(iter_recover(field.image, **quick))
    assert len(shown) < len(run[0]) / 5
    gaps = np.diff([state.elapsed for state in shown[:-1]])
    assert np.all(gaps > 0.09)


def test_watching_does_not_change_the_result(run, field, quick):
    np.testing.assert_array_equal(recover(field.image, **quick).kernels, run[1].kernels)


def test_memory_does_not_grow_with_the_number_of_states(field, quick, every_step):
    """Hundreds of states are shown; each that were kept would cost 40 kB."""
    tracemalloc.start()
    recover(field.image, **quick)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4e6


def test_no_work_is_done_before_the_first_state_is_asked_for(field, quick):
    event = Countdown(0)
    states = iter_recover(field.image, stop=event, **quick)
    assert event.asked == 0
    states.close()


MOMENTS = [0.0, 0.03, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_stop_ends_within_one_step_and_returns_the_best_so_far(field, quick, run, moment):
    steps, whole = run[2], run[1]
    assert steps >= len(whole.history) > 10, "the stop is looked at after every step"
    event = Countdown(int(moment * steps))
    *_, last = iter_recover(field.image, stop=event, **quick)
    assert event.asked_after <= 1
    recovery = last.recovery
    assert recovery.status == "cancelled"
    assert len(recovery.history) <= event.count + 1
    assert_valid(recovery, field)
    if moment >= 0.8:
        assert np.abs(np.vdot(recovery.kernels, whole.kernels)) > 0.9


def assert_valid(recovery, field):
    assert recovery.kernels.shape == (1, 1, 11, 11)
    assert np.linalg.norm(recovery.kernels) == pytest.approx(1)
    assert recovery.extended_activations.shape == (1, 58, 58)
    assert np.isfinite(recovery.extended_activations).all()
    assert np.isfinite(recovery.residual).all()
    np.testing.assert_allclose(recovery.reconstruction + recovery.residual, field.image[None])
    assert "amplitude" in recovery.defects
    assert "cancelled" in recovery.summary


def test_an_event_that_was_set_before_the_start(field, quick):
    event = threading.Event()
    event.set()
    recovery = recover(field.image, stop=event, **quick)
    assert recovery.status == "cancelled"
    assert_valid(recovery, field)


def test_a_stop_from_the_loop_makes_the_next_state_the_last(field, every_step, quick):
    event = threading.Event()
    shown = []
    for state in iter_recover(field.image, stop=event, **quick):
        shown.append(state)
        if len(shown) == 10:
            event.set()
    assert len(shown) == 11
    assert shown[-1].recovery.status == "cancelled"


def test_an_event_that_is_never_set_does_not_matter(field, quick, run):
    recovery = recover(field.image, stop=threading.Event(), **quick)
    assert recovery.status == "finished"
    np.testing.assert_array_equal(recovery.kernels, run[1].kernels)


def test_a_generator_may_be_left_alone(field, quick, every_step):
    states = iter_recover(field.image, **quick)
    next(states)
    states.close()
    with pytest.raises(StopIteration):
        next(states)


BAD = [
    (np.empty((0, 0)), {}, "topo is empty"),
    (np.ones((20, 20)), {}, "topo is constant"),
    (np.full((20, 20), np.nan), {}, "topo has no finite pixel"),
    (np.ones((20, 20), complex), {}, "topo is complex"),
    (np.dstack([np.eye(20), np.zeros((20, 20)), np.zeros((20, 20))]), {}, "topo is a colour image"),
    (np.arange(20.0), {}, "topo has 1 dimension"),
    (np.eye(20), {"kernel_size": 2}, "kernel_size must be from 3"),
    (np.eye(20), {"kernel_size": 21}, "kernel_size 21×21 px is larger than the image, 20×20 px"),
    (np.eye(20), {"kernel_size": (5, 25)}, "kernel_size 5×25 px is larger .* smaller window"),
    (np.eye(20), {"mask": np.ones((20, 19), bool)}, "mask has shape"),
    (np.eye(20), {"kernelsize": 5}, "unknown option 'kernelsize': did you mean 'kernel_size'"),
    (np.eye(20), {"activations": "negative"}, "activations must be"),
]


@pytest.mark.parametrize("call", [iter_recover, recover])
@pytest.mark.parametrize(("image", "options", "message"), BAD, ids=[m for *_, m in BAD])
def test_bad_input_is_said_when_called_before_any_work(image, options, message, call):
    with pytest.raises(ValueError, match=message):
        call(image, name="topo", **options)


def test_progress_counts_phases_that_end_early_as_done():
    progress = Progress([1.0, 3.0, 4.0])
    assert progress.remaining == float("inf")
    progress.advance(0.5)
    assert progress.fraction == pytest.approx(1 / 16)
    progress.finish_phase()
    assert progress.fraction == pytest.approx(1 / 8)
    progress.advance(99)
    assert progress.fraction == pytest.approx(1 / 2)
    progress.finish_phase()
    assert progress.fraction == pytest.approx(1 / 2)


def test_another_plan_does_not_set_the_progress_back():
    progress = Progress([1.0, 1.0])
    progress.finish_phase()
    progress.replan([10.0, 30.0])
    assert progress.fraction == pytest.approx(0.5)
    progress.finish_phase()
    assert progress.fraction == pytest.approx(0.625)
    progress.finish_phase()
    assert progress.fraction == 1
    assert progress.remaining == 0


def test_more_work_does_not_set_the_progress_back_and_the_end_stays_the_end():
    progress = Progress([3.0, 1.0])
    progress.finish_phase()
    progress.extend([2.0])
    assert progress.fraction == pytest.approx(0.75)
    progress.finish_phase()
    assert progress.fraction == pytest.approx(0.75 + 0.25 * 2 / 3)
    progress.finish_phase()
    assert progress.fraction == 1
