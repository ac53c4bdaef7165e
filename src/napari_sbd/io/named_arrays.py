"""Arrays by name, as MATLAB and NumPy files hold them: which are images, and what calibrates them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sbd.io.channel import Channel, pixel_size
from napari_sbd.io.errors import ReadError

PIXEL_SIZE = "pixel_size_nm"
ENERGIES = ("energies", "bias")
SMALLEST = 2


def channels_of(path: Path, arrays: Mapping[str, NDArray[Any]], *, slices_last: bool) -> tuple[Channel, ...]:
    """Channels of the arrays that are images; largest first.

    Parameters
    ----------
    path : Path
        The file they come from.
    arrays : mapping of str to array
        Also ``pixel_size_nm``, one number or (rows, cols), and ``energies`` or ``bias``, one for each slice.
    slices_last : bool
        Whether a stack is (rows, cols, slices), as MATLAB's habit is, or (slices, rows, cols).

    Raises
    ------
    ReadError
        If none is an image.

    Examples
    --------
    >>> arrays = {"Y": np.zeros((8, 9, 3)), "pixel_size_nm": np.array([[0.1]])}
    >>> [channel] = channels_of(Path("y.mat"), arrays, slices_last=True)
    >>> channel.data.shape, channel.pixel_size_nm
    ((3, 8, 9), (0.1, 0.1))
    """
    images = {name: np.asarray(array) for name, array in arrays.items() if _is_image(name, array)}
    if not images:
        found = ", ".join(f"{name} {'×'.join(map(str, a.shape))}" for name, a in arrays.items()) or "nothing"
        raise ReadError(
            path,
            f"holds no image ({found[:200]})",
            "save an array of real numbers with two axes, or three for a stack, of at least "
            f"{SMALLEST}×{SMALLEST} pixels",
        )
    size = _pixel_size(path, arrays)
    channels = []
    for name, image in sorted(images.items(), key=lambda item: -item[1].size):
        stack = np.moveaxis(image, -1, 0) if image.ndim == 3 and slices_last else image
        data = np.ascontiguousarray(stack, stack.dtype.newbyteorder("="))
        energies = _energies(arrays, data)
        unit = "V" if energies is not None else ""
        channels.append(Channel(name, data, pixel_size_nm=size, energies=energies, energy_unit=unit))
    return tuple(channels)


def _is_image(name: str, array: NDArray[Any]) -> bool:
    if name.rpartition(".")[2] in (PIXEL_SIZE, *ENERGIES) or array.dtype.kind not in "fiub":
        return False
    return array.ndim in (2, 3) and min(array.shape) >= 1 and sorted(array.shape)[-2] >= SMALLEST


def _pixel_size(path: Path, arrays: Mapping[str, NDArray[Any]]) -> tuple[float, float] | None:
    given = arrays.get(PIXEL_SIZE)
    if given is None:
        return None
    try:
        rows, cols = np.broadcast_to(np.asarray(given, float).ravel(), 2)
    except (TypeError, ValueError):
        rows = cols = np.nan
    size = pixel_size(rows, cols)
    if size is None:
        raise ReadError(
            path, f"has {PIXEL_SIZE} {np.asarray(given).ravel()[:4]}", "give one positive number, or two"
        )
    return size


def _energies(arrays: Mapping[str, NDArray[Any]], data: NDArray[Any]) -> NDArray[np.floating] | None:
    if data.ndim != 3:
        return None
    for name in ENERGIES:
        given = arrays.get(name)
        if given is not None and given.dtype.kind in "fiu" and given.size == len(data):
            return np.asarray(given, float).ravel()
    return None
