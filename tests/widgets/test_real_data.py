"""A real map through the widget's own button; it lies beside the repository and is not part of it.

Further seeds are in tests/core/test_real_data.py, five with every window in `python -m benchmarks real`.
"""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat
from skimage.transform import resize

import napari_sbd as sbd

FOLDER = Path(__file__).parents[2].parent / "shared" / "data" / "nafeas"


@pytest.mark.skipif(not FOLDER.is_dir(), reason="needs ../shared/data/nafeas, which is not there")
def test_the_button_finds_the_dimer_of_nafeas(viewer, widget, recover):
    viewer.add_image(loadmat(FOLDER / "realdata.mat")["Y"], name="NaFeAs")
    widget.image.combo.value = viewer.layers["NaFeAs"]
    reference = resize(np.load(FOLDER / "reference_kernel_2x.npy"), (10, 10), order=3, anti_aliasing=True)
    found = recover(widget, kernel_size=(10, 10), seed=4)
    assert sbd.kernel_similarity(found.kernels[0], reference) >= 0.94
    np.testing.assert_array_equal(viewer.layers["NaFeAs · kernel"].data, found.kernels[0, 0])
