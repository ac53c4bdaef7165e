import numpy as np
import pytest

from napari_sbd.core import atoms
from napari_sbd.core.atoms import Atoms, fit_atoms
from napari_sbd.core.objective import Objective, misfit
from napari_sbd.core.sphere import project
from napari_sbd.simulate import ldos_kernel
from napari_sbd.simulate.fields import convolved


@pytest.mark.parametrize("types", [1, 2])
def test_a_crowd_is_fitted_between_pixels_as_a_few_are(types, monkeypatch):
    rng = np.random.default_rng(1)
    kernels = project(np.stack([ldos_kernel(9, energy)[None] for energy in (-1.8, -2.5)[:types]]))
    places = rng.choice(120 * 120, 288, replace=False)
    centres = np.column_stack(np.divmod(places, 120)) + rng.uniform(-0.3, 0.3, (288, 2))
    truth = Atoms(centres, np.full(288, 5.0), np.arange(288) % types)
    image = convolved(truth.maps(types, (120, 120), np.dtype(float)), kernels[:, 0])
    image += rng.normal(0, 0.1, image.shape)
    objective = Objective(image[None], np.ones((1, *image.shape), bool), (9, 9))
    begin = Atoms(np.rint(centres), truth.amplitudes, truth.kinds)
    crowd = fit_atoms(objective, kernels, begin)
    monkeypatch.setattr(atoms, "CROWD", 1.0)
    few = fit_atoms(objective, kernels, begin)
    inside = ((centres > 8) & (centres < 111)).all(1)
    off = [np.median(np.abs(fitted.centres - centres)[inside]) for fitted in (crowd, few)]
    assert off[0] < 1.1 * off[1] < 0.05
    left = [
        misfit(objective.left(kernels, a.maps(types, (120, 120), np.dtype(float)))) for a in (crowd, begin)
    ]
    assert left[0] < 0.6 * left[1]
