"""Observation: the image as the recovery sees it. Every input is checked here, once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.parameters import SMALLEST_WINDOW
from napari_sbd.core.reading import read_whole

Real = NDArray[np.floating]

# JPEG-like compression lets equal channels of a grey picture differ by a count or two.
GREY_TOLERANCE = 0.02


@dataclass(frozen=True)
class Observation:
    """One image, or one stack of slices that share their defects, with a mask and a pixel size.

    Make it with `observe`, which checks everything.

    Parameters
    ----------
    data : array (slices, rows, cols)
        Finite; masked pixels are zero. float64, or float32 of large images that hold no more than that and of
        what is read from disk piece by piece.
    mask : array of bool (slices, rows, cols)
        True where a pixel counts.
    pixel_size : tuple of float
        Length of a pixel along rows and columns, in `unit`.
    unit : str
        Unit of length.
    """

    data: Real
    mask: NDArray[np.bool_]
    pixel_size: tuple[float, float] = (1.0, 1.0)
    unit: str = "px"

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the frame."""
        return self.data.shape[1], self.data.shape[2]


def observe(
    image: Any,
    *,
    mask: Any = None,
    pixel_size: float | tuple[float, float] = 1.0,
    unit: str = "px",
    name: str = "image",
) -> Observation:
    """Check an image and make an Observation of it.

    Parameters
    ----------
    image : array-like (rows, cols), (slices, rows, cols) or RGB with equal channels
        Any real dtype and byte order. NaN and infinite pixels are masked. Large arrays of Dask, Zarr and
        memory-mapped files are read once, piece by piece.
    mask : array-like of bool, optional
        True where a pixel counts; shape (rows, cols), or that of the stack.
    pixel_size : float or tuple of float
        Length of a pixel (along rows, along columns), in `unit`.
    unit : str
        Unit of length.
    name : str
        What error messages call the image.

    Raises
    ------
    ValueError
        If the image is empty, of a wrong dimension, complex, coloured, without finite pixels or constant,
        or if the mask does not fit it. The message names the input and the remedy.

    Examples
    --------
    >>> seen = observe([[1, 2, 3], [4, 5, float("nan")], [7, 8, 9]])
    >>> seen.data.shape, int(seen.mask.sum())
    ((1, 3, 3), 8)
    """
    data = _stack(_real(image, name), name)
    used = np.isfinite(data)
    if mask is not None:
        used &= _mask(mask, data.shape)
    _blank(data, used, name, masked=mask is not None)
    rows, cols = np.broadcast_to(np.asarray(pixel_size, float), 2)
    if not (rows > 0 and cols > 0 and np.isfinite(rows + cols)):
        raise ValueError(f"pixel_size must be positive, not {pixel_size!r}")
    return Observation(data, used, (float(rows), float(cols)), unit)


def narrowed(seen: Observation, mask: Any, name: str = "image") -> Observation:
    """An Observation of which only what a mask marks counts; the image is not read again.

    Raises
    ------
    ValueError
        As `observe` does for an image with that mask.

    Examples
    --------
    >>> seen = narrowed(observe([[1, 2, 3], [4, 5, 6], [7, 8, 9]]), [[1, 1, 1], [1, 1, 1], [0, 0, 0]])
    >>> seen.data.max(), int(seen.mask.sum())
    (np.float64(6.0), 6)
    """
    used = seen.mask & _mask(mask, seen.data.shape)
    data = seen.data.copy()
    _blank(data, used, name, masked=True)
    return replace(seen, data=data, mask=used)


def _blank(data: Real, used: NDArray[np.bool_], name: str, *, masked: bool) -> None:
    """Zeros where a pixel does not count; a ValueError where nothing is left to recover from."""
    if not used.any():
        what = "has no finite pixel inside the mask" if masked else "has no finite pixel"
        raise ValueError(f"{name} {what}: nothing can be recovered from it")
    if not used.all():
        data[~used] = 0
    for number, (values, inside) in enumerate(zip(data, used, strict=True)):
        seen = values if inside.all() else values[inside]
        if seen.size and np.ptp(seen) == 0:
            which = name if len(data) == 1 else f"slice {number} of {name}"
            raise ValueError(f"{which} is constant: choose an image with contrast")


def check_window(window: tuple[int, int], shape: tuple[int, int]) -> None:
    """Raise ValueError unless a kernel's window fits an image of this shape (rows, cols)."""
    if any(k > n for k, n in zip(window, shape, strict=True)):
        raise ValueError(
            f"kernel_size {window[0]}×{window[1]} px is larger than the image, {shape[0]}×{shape[1]} px: "
            "choose a smaller window"
        )


def _real(image: Any, name: str) -> Any:
    """The image, checked to hold real numbers; what is large or on disk is not read yet."""
    if not (hasattr(image, "dtype") and hasattr(image, "shape")):
        try:
            image = np.asarray(image)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} is not an array of numbers: {error}") from error
    if 0 in image.shape:
        raise ValueError(f"{name} is empty: choose an image with pixels")
    kind = np.dtype(image.dtype).kind
    if kind == "c":
        raise ValueError(f"{name} is complex: pass its real part, imaginary part, modulus or phase")
    if kind not in "fiub":
        raise ValueError(f"{name} holds {image.dtype}, not numbers: pass an array of real numbers")
    return image


def _stack(data: Any, name: str) -> Real:
    if len(data.shape) == 3 and data.shape[-1] in (3, 4) and min(data.shape[:2]) > 4:
        data = _grey(np.asarray(data), name)
    if len(data.shape) not in (2, 3):
        raise ValueError(
            f"{name} has {len(data.shape)} dimensions: pass an image (rows, cols) or a stack "
            "(slices, rows, cols)"
        )
    if min(data.shape[-2:]) < SMALLEST_WINDOW:
        raise ValueError(
            f"{name} is {data.shape[-2]}×{data.shape[-1]} px: it needs at least "
            f"{SMALLEST_WINDOW}×{SMALLEST_WINDOW}"
        )
    return read_whole(data)


def _grey(data: NDArray[Any], name: str) -> NDArray[Any]:
    colours = data[..., :3].astype(float)
    spread = np.nanmax(np.ptp(colours, axis=-1))
    if spread > GREY_TOLERANCE * np.nanmax(np.ptp(colours, axis=(0, 1))):
        raise ValueError(f"{name} is a colour image with unequal channels: convert it to grey first")
    return np.asarray(colours.mean(-1))


def _mask(mask: Any, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    inside = np.asarray(mask)
    if inside.shape not in (shape, shape[1:]):
        raise ValueError(
            f"mask has shape {inside.shape}: it must be the image's, {shape[1:] if shape[0] == 1 else shape}"
        )
    return np.broadcast_to(inside.astype(bool), shape)
