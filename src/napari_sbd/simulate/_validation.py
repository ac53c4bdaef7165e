"""Checks of the numbers that callers give to the simulations."""

from __future__ import annotations

from collections.abc import Sequence


def checked_shape(shape: Sequence[int], name: str = "shape", smallest: int = 8) -> tuple[int, int]:
    """Return `shape` as two ints, or raise ValueError naming it and the remedy."""
    sizes = tuple(int(n) for n in shape)
    if len(sizes) != 2 or min(sizes) < smallest:
        raise ValueError(
            f"{name} is {tuple(shape)}; give two sizes (rows, cols) in pixels, each at least {smallest}"
        )
    return sizes[0], sizes[1]


def checked_window(window: int) -> int:
    """Return an odd window size in pixels, or raise ValueError."""
    if int(window) != window or window < 3 or window % 2 == 0:
        raise ValueError(f"window is {window}; give an odd whole number of pixels, 3 or more")
    return int(window)


def checked_positive(value: float, name: str) -> float:
    """Return a positive finite number, or raise ValueError naming it."""
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} is {value}; give a positive finite number")
    return float(value)


def checked_count(value: int, name: str) -> int:
    """Return a whole number that is not negative, or raise ValueError naming it."""
    if int(value) != value or value < 0:
        raise ValueError(f"{name} is {value}; give a whole number, 0 or more")
    return int(value)
