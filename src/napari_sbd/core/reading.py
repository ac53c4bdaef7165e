"""Arrays that need not lie in memory, read once and piece by piece: Dask, Zarr, memory-mapped files."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGE = 2**22  # pixels, above which single precision has to do where the image holds no more
PIECE = 2**22  # pixels that are read at a time, where the file does not say how it lies


def read_whole(array: Any) -> NDArray[np.floating]:
    """A copy (slices, rows, cols) of an array (rows, cols) or (slices, rows, cols), in memory.

    Double precision; single precision of large arrays that hold no more than that or that are read from disk,
    so that there is never more than one copy.

    Parameters
    ----------
    array : array-like
        Anything with shape and dtype that can be sliced and turned into a NumPy array.

    Examples
    --------
    >>> read_whole(np.eye(2)).shape
    (1, 2, 2)
    """
    shape = (1,) * (3 - len(array.shape)) + tuple(array.shape)
    whole = np.empty(shape, _precision(array))
    view = whole if len(array.shape) == 3 else whole[0]
    for part in _pieces(array):
        view[part] = np.asarray(array[part])
    return whole


def _precision(array: Any) -> type[np.floating]:
    if int(np.prod(array.shape)) <= LARGE:
        return np.float64
    exact = np.can_cast(array.dtype, np.float32, "safe")
    return np.float32 if exact or _on_disk(array) else np.float64


def _on_disk(array: Any) -> bool:
    return isinstance(array, np.memmap) or not isinstance(array, np.ndarray)


def _pieces(array: Any) -> Iterator[tuple[slice, ...]]:
    """Parts that are read at a time: the array's own chunks, or else some rows."""
    shape = tuple(array.shape)
    chunks = getattr(array, "chunks", None) if _on_disk(array) else None
    if chunks is None:
        rows = max(1, PIECE // shape[-1])
        chunks = (1,) * (len(shape) - 2) + (rows, shape[-1])
    spans = [_spans(n, chunk) for n, chunk in zip(shape, chunks, strict=True)]
    return product(*spans)


def _spans(length: int, chunk: Any) -> list[slice]:
    """Slices of one axis: Dask tells the sizes of all chunks, Zarr that of one."""
    ends = np.cumsum(chunk) if isinstance(chunk, tuple) else np.arange(chunk, length + chunk, chunk)
    starts = np.concatenate([[0], ends[:-1]])
    return [slice(int(a), min(int(b), length)) for a, b in zip(starts, ends, strict=True) if a < length]
