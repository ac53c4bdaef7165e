"""The engine on real images, which lie beside the repository and are not part of it."""

import numpy as np
import pytest
from scipy.io import loadmat
from skimage.io import imread
from skimage.transform import resize

from napari_sbd import api
from napari_sbd.core.quality import kernel_similarity
from napari_sbd.core.recover import recover


@pytest.fixture(scope="module")
def nafeas(shared):
    folder = shared / "data" / "nafeas"
    if not (folder / "realdata.mat").is_file():
        pytest.skip("needs ../shared/data/nafeas, which is not there")
    reference = np.load(folder / "reference_kernel_2x.npy")
    return loadmat(folder / "realdata.mat")["Y"], resize(reference, (10, 10), order=3, anti_aliasing=True)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_dimer_of_nafeas_is_found_as_by_the_methods_authors(nafeas, seed):
    image, reference = nafeas
    recovery = recover(image, kernel_size=10, seed=seed)
    assert kernel_similarity(recovery.kernels[0], reference) > 0.94
    assert len(recovery.defects) > 100


def test_dopants_in_a_lattice_are_found_from_the_raw_image(shared):
    """A part of the HAADF image, prepared as is suggested: its eight bright dopants, and no other."""
    folder = shared / "data" / "haadf_tmd"
    if not (folder / "re05.tiff").is_file():
        pytest.skip("needs ../shared/data/haadf_tmd, which is not there")
    corner, end = np.array((280, 380)), np.array((680, 740))
    rows, cols = (slice(*pair) for pair in zip(corner, end, strict=True))
    bright = np.load(folder / "reference_bright.npy") - corner
    bright = bright[((bright >= 0) & (bright < end - corner)).all(axis=1)]
    image = imread(folder / "re05.tiff")[rows, cols, 0].astype(float)
    found = api.recover(image, recipe="suggest", kernel_size=25).defects
    found = found.loc[found["amplitude"] > 0, ["row", "col"]].to_numpy()
    apart = np.linalg.norm(found[:, None] - bright[None], axis=2)
    assert len(bright) == len(found) == 8
    assert apart.min(axis=0).max() < 4
