import numpy as np
import pytest

from napari_sbd.core.course import Course
from napari_sbd.core.descent import Iterate
from napari_sbd.core.objective import Penalty
from napari_sbd.core.parameters import Parameters
from napari_sbd.core.search import PACED, Search
from napari_sbd.core.steps import Snapshot

KERNEL, MAP = np.ones((1, 1, 3, 3), np.float32), np.zeros((1, 5, 5), np.float32)


def descent(values):
    """Stage I with these ψ after its steps, which ends at the last."""
    for value in values:
        last = Iterate(KERNEL, MAP, value)
        yield Snapshot("stage I", 1.0, last)
    return last


def test_a_course_is_followed_some_steps_at_a_time_to_its_end():
    course = Course(descent([3.0, 2.0, 1.0]))
    assert [snapshot.iterate.objective for snapshot in course.ahead(2)] == [3.0, 2.0]
    assert course.values == [3.0, 2.0]
    assert course.here.objective == 2.0
    assert not course.ended
    assert [snapshot.iterate.objective for snapshot in course.ahead(5)] == [1.0]
    assert course.ended
    assert list(course.ahead(1)) == []


@pytest.mark.parametrize(
    ("steps", "levels", "order", "made"),
    [
        ((60, 60), (2.0, 1.0), [1, 0], 2 * PACED),
        ((60, 60), (1.0, 2.0), [0, 1], 2 * PACED),
        ((5, 60), (2.0, 1.0), [0, 1], 5),
        ((60, 5), (2.0, 1.0), [0, 1], PACED + 5),
        ((60,), (1.0,), [0], PACED),
    ],
    ids=["second is better", "first is better", "first ends soon", "second ends soon", "only one"],
)
def test_the_better_of_two_slow_starts_comes_first(steps, levels, order, made):
    courses = [Course(descent(np.linspace(9, level, n))) for n, level in zip(steps, levels, strict=True)]
    search = Search(domain=None, parameters=Parameters(kernel_size=(3, 3)), penalty=Penalty(1.0))
    search.patches, search.places = [KERNEL + n for n in range(len(steps))], [(n, n) for n in order]
    places = [search.places[n] for n in order]
    before = list(courses)
    assert len(list(search._better_first(courses))) == made
    assert courses == [before[n] for n in order]
    assert [float(patch[0, 0, 0, 0]) - 1 for patch in search.patches] == order
    assert search.places == places
