"""Whether an image fits into memory, said before work begins: what a recovery needs, and what there is."""

from __future__ import annotations

import psutil

Pair = tuple[int, int]

# Measured as peak memory above the loaded image; `python -m benchmarks scale` measures it again.
SETTLED = 60e6  # bytes: the search in its region, tiles
OF_A_PIXEL = 34.0  # bytes for each pixel of each slice: image, mask, what is worked with, what is left
OF_A_PLACE = 6.0  # bytes for each place of each type's map
# Where defects crowd: bytes more for each pixel of each slice, which are transformed as a whole, and for each
# pixel once, pairs of sites and their patches; together 430 to 740 at θ 1e-2 and 3e-2.
CROWDED, OF_PAIRS = 110.0, 600.0
# The same on a graphics card: transforms of some slices, and what stays there of two images.
SETTLED_THERE = 500e6  # bytes
OF_A_PIXEL_THERE = 20.0  # bytes
TYPES = 2  # that are allowed for where their number is left to the data


class TooLarge(ValueError):
    """An image does not fit into the memory that is free."""


def needed(slices: int, shape: Pair, types: int | None = None, crowded: bool = False) -> int:
    """Bytes that a recovery takes at most, the image itself not counted.

    Parameters
    ----------
    slices : int
    shape : tuple of int
        Rows and columns of the image.
    types : int, optional
        Number of defect types, where it is known.
    crowded : bool
        Whether defects crowd.

    Examples
    --------
    >>> needed(1, (4096, 4096), types=1) // 10**6
    731
    """
    pixels = shape[0] * shape[1]
    each, once = OF_A_PIXEL, (types or TYPES) * OF_A_PLACE
    if crowded:
        each, once = each + CROWDED, once + OF_PAIRS
    return int(SETTLED + pixels * (slices * each + once))


def available() -> int:
    """Bytes of memory that are free."""
    return int(psutil.virtual_memory().available)


def problem(slices: int, shape: Pair, types: int | None = None, crowded: bool = False) -> str:
    """Why an image does not fit, and the remedy; empty where it does."""
    need, free = needed(slices, shape, types, crowded), available()
    if need <= free:
        return ""
    crowd = " where defects crowd as here" if crowded else ""
    fewer = ", take fewer slices" if slices > 1 else ""
    return (
        f"{_what(slices, shape)} need about {_size(need)} of memory{crowd}, and {_size(free)} are free: "
        f"crop the image, make its pixels larger (Resample in Prepare){fewer} or close other programs"
    )


def check(slices: int, shape: Pair, types: int | None = None, crowded: bool = False) -> None:
    """Raise TooLarge, which says need and remedy, unless an image fits into the memory that is free."""
    text = problem(slices, shape, types, crowded)
    if text:
        raise TooLarge(text)


def check_there(slices: int, shape: Pair, free: int) -> None:
    """Raise TooLarge unless an image fits into so many bytes that are free on a graphics card."""
    need = int(SETTLED_THERE + slices * shape[0] * shape[1] * OF_A_PIXEL_THERE)
    if need > free:
        raise TooLarge(
            f"{_what(slices, shape)} need about {_size(need)} of a graphics card's memory, and {_size(free)} "
            "are free there: choose device='cpu', which gives the same result"
        )


def _what(slices: int, shape: Pair) -> str:
    return f"{shape[0]}×{shape[1]} px" + (f" in {slices} slices" if slices > 1 else "")


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
