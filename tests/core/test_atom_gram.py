"""Inner products of atoms between pixels and of their slopes."""

import numpy as np
import pytest

from napari_sbd.core import atom_gram
from napari_sbd.core.atom_gram import gram_with_slopes
from napari_sbd.core.objective import Objective
from napari_sbd.core.sites import Sites
from napari_sbd.core.sphere import project


def shown(objective, kernel, row, col):
    """One atom as the frame shows it, less its mean there."""
    maps = np.zeros((1, *objective.convolution.map_shape))
    maps[0, row, col] = 1
    model = objective.convolution
    seen = model.frame(model.predict(model.kernel_spectra(kernel[None]), model.map_spectra(maps)))[0]
    return (seen * objective.mask[0] - (seen * objective.mask[0]).sum() / objective.mask.sum())[
        objective.mask[0]
    ]


@pytest.mark.parametrize("dense", [0, 500])
def test_on_pixels_it_is_that_of_the_atoms_as_they_are_seen(rng, monkeypatch, dense):
    monkeypatch.setattr(atom_gram, "DENSE", dense)
    data, mask = rng.standard_normal((1, 40, 44)), np.ones((1, 40, 44), bool)
    mask[0, 12:18, 20:27] = False
    objective = Objective(data, mask, (7, 9))
    kernels = project(rng.standard_normal((2, 1, 7, 9)))
    basis = np.concatenate([kernels, *(-np.gradient(kernels, axis=axis) for axis in (-2, -1))])
    sites = Sites(*np.array([[0, 1, 0, 1], [2, 16, 19, 30], [3, 24, 27, 40]]))
    gram = gram_with_slopes(objective.model_of(sites, 2), basis, np.zeros((4, 2)))
    atoms = [
        shown(objective, basis[2 * part + kind], row, col)
        for part in range(3)
        for kind, row, col in zip(sites.kinds, sites.rows, sites.cols, strict=True)
    ]
    np.testing.assert_allclose(gram @ np.eye(12), np.array(atoms) @ np.array(atoms).T, atol=1e-10)


def test_between_pixels_inner_products_follow_the_offsets():
    places = np.mgrid[-7:8, -7:8]
    blob = np.exp(-np.square(places).sum(0) / 8.0)[None, None]
    objective = Objective(np.zeros((1, 60, 60)), np.ones((1, 60, 60), bool), (15, 15))
    basis = np.concatenate([blob, *(-np.gradient(blob, axis=axis) for axis in (-2, -1))])
    sites = Sites(*np.array([[0, 0], [30, 33], [30, 30]]))
    gram = gram_with_slopes(objective.model_of(sites, 1), basis, np.array([[0.0, 0.0], [0.5, 0.0]]))
    whole = np.asarray(gram @ np.eye(6))
    bias = blob.sum() ** 2 / 3600
    # Two Gaussians 3.5 px apart.
    expected = np.square(blob).sum() * np.exp(-(3.5**2) / 16)
    assert whole[0, 1] + bias == pytest.approx(expected, rel=2e-3)
