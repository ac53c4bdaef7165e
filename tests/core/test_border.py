"""Pairs of atoms that the frame cuts, by tables."""

import numpy as np
import pytest

from napari_sbd.core import support_model
from napari_sbd.core.border import summed_rows
from napari_sbd.core.objective import Objective
from napari_sbd.core.sites import Sites
from napari_sbd.core.sphere import project


@pytest.mark.parametrize(("frame", "window"), [((40, 33), (7, 10)), ((24, 50), (12, 5))])
@pytest.mark.parametrize("slices", [1, 2])
def test_they_are_what_the_pixels_say(rng, monkeypatch, frame, window, slices):
    data = rng.standard_normal((slices, *frame))
    shape = tuple(n + k - 1 for n, k in zip(frame, window, strict=True))
    places = np.sort(rng.choice(int(np.prod(shape)), 520, replace=False))
    sites = Sites(np.zeros(520, int), *np.divmod(places, shape[1]))
    kernels = project(rng.standard_normal((1, slices, *window)))

    def gram(many):
        monkeypatch.setattr(support_model, "MANY_HIDDEN", many)
        objective = Objective(data, np.ones(data.shape, bool), window)
        model = objective.model_of(sites, 1)
        assert (model._border is not None) == (many == 0)
        return model.gram(kernels) @ np.eye(520)

    np.testing.assert_allclose(gram(0), gram(10**9), atol=1e-12)


def test_of_sites_inside_nothing_is_hidden_and_at_a_corner_what_lies_outside():
    objective = Objective(np.zeros((1, 30, 30)), np.ones((1, 30, 30), bool), (5, 4))
    inside, corner = (Sites(*np.array([[0], [at], [at]])) for at in (12, 0))
    assert len(objective.field.hidden(inside).at) == 0
    hidden = objective.field.hidden(corner)
    # The last row and the last column of the patch alone meet in the frame, at one pixel.
    assert sorted(hidden.places.tolist()) == list(range(19))


def test_with_holes_in_the_mask_there_are_no_tables(rng, monkeypatch):
    monkeypatch.setattr(support_model, "MANY_HIDDEN", 0)
    mask = np.ones((1, 30, 30), bool)
    mask[0, 10:15, 12:18] = False
    sites = Sites(*np.array([[0, 0], [0, 20], [3, 20]]))
    assert Objective(np.zeros((1, 30, 30)), mask, (5, 5)).model_of(sites, 1)._border is None


def test_sums_of_rows(rng):
    kernel = rng.standard_normal((2, 4, 6))
    table = summed_rows(kernel)
    for rows, down, right in [(0, 1, 2), (2, 1, -3), (3, -1, 0), (3, 3, 5)]:
        total = sum(
            (kernel[:, r, c] * kernel[:, r + down, c + right]).sum()
            for r in range(rows)
            for c in range(6)
            if 0 <= r + down < 4 and 0 <= c + right < 6
        )
        assert table[rows, down + 3, right % table.shape[2]] == pytest.approx(total, abs=1e-12)
