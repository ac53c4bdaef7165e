"""The engine on a real map, which lies beside the repository and is not part of it."""

import numpy as np
import pytest
from scipy.io import loadmat
from skimage.transform import resize

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
