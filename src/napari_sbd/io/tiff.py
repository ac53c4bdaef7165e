"""Images of a recovery as TIFF with their pixel size, as ImageJ, Fiji and Gwyddion read it."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_sbd.io.whole import ending_in, write_whole

# ImageJ's header is ASCII; these names it knows.
UNIT_NAMES = {"px": "pixel", "µm": "um", "μm": "um", "Å": "angstrom"}


def save_tiff(
    images: NDArray[np.floating],
    path: str | os.PathLike[str],
    pixel_size: tuple[float, float] = (1.0, 1.0),
    unit: str = "px",
) -> Path:
    """Save images as one TIFF of 32-bit floats with their pixel size.

    Parameters
    ----------
    images : array (types, slices, rows, cols) or (types, rows, cols) or (rows, cols)
        Types become channels and slices become slices of a hyperstack.
    path : str or path-like
        The ending ``.tif`` is added where there is none.
    pixel_size : tuple of float
        Length of a pixel along rows and columns.
    unit : str
        Unit of length.

    Returns
    -------
    Path
    """
    stack = np.asarray(images, np.float32)
    if stack.ndim == 2:
        stack = stack[None]
    if stack.ndim == 3:
        stack = stack[:, None]
    name = UNIT_NAMES.get(unit, unit)
    memory = io.BytesIO()
    tifffile.imwrite(
        memory,
        stack.swapaxes(0, 1),
        imagej=True,
        resolution=(1 / pixel_size[1], 1 / pixel_size[0]),
        resolutionunit="NONE",
        metadata={
            "axes": "ZCYX",
            "unit": name.encode("ascii", "replace").decode(),
            "mode": "grayscale",
            # So that ImageJ shows a stack with one contrast.
            "min": float(np.nanmin(stack)),
            "max": float(np.nanmax(stack)),
        },
    )
    return write_whole(ending_in(path, ".tif", ".tiff"), memory.getbuffer())
