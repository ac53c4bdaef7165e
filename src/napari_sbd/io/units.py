"""Units as files write them: lengths in nm, and values in the prefix that suits them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

NANOMETRES = {
    "pm": 1e-3,
    "å": 0.1,
    "a": 0.1,
    "angstrom": 0.1,
    "ångström": 0.1,
    "nm": 1.0,
    "nanometer": 1.0,
    "um": 1e3,
    "µm": 1e3,
    "μm": 1e3,
    "micron": 1e3,
    "micrometer": 1e3,
    "mm": 1e6,
    "cm": 1e7,
    "m": 1e9,
    "meter": 1e9,
}
# What an instrument writes in SI units is read in these.
PREFIXES = ("f", "p", "n", "µ", "m", "", "k", "M", "G")
PREFIXED = {"A", "V", "Hz", "S", "A/V", "W", "N", "Pa", "F"}
MOST_SAMPLES = 100_000
LONG = 10_000  # nm, from which on lengths are read in µm


def nanometres(unit: str) -> float | None:
    """How many nm this unit of length is; None for what is no length.

    Examples
    --------
    >>> nanometres("µm"), nanometres("Å"), nanometres("1/nm")
    (1000.0, 0.1, None)
    """
    return NANOMETRES.get(unit.strip().lower())


def convenient(unit: str, values: NDArray[np.generic]) -> tuple[float, str]:
    """Factor and unit that bring values into a handy range; heights go into nm.

    Examples
    --------
    >>> factor, unit = convenient("A", np.array([-3e-11, 2e-11]))
    >>> f"{factor:g} {unit}"
    '1e+12 pA'
    """
    if unit == "m":
        return 1e9, "nm"
    if unit not in PREFIXED:
        return 1.0, unit
    sample = values.ravel()[:: max(1, values.size // MOST_SAMPLES)]
    sizes = np.abs(sample[np.isfinite(sample)].astype(float))
    largest = float(np.percentile(sizes, 99)) if sizes.size else 0.0
    if largest == 0:
        return 1.0, unit
    # 0.05 V is shown as 50 mV, 0.5 nA as 500 pA: the largest prefix that leaves no leading zero.
    step = int(np.clip(math.floor(math.log10(largest) / 3), -5, 3))
    return 10.0 ** (-3 * step), PREFIXES[step + 5] + unit


def size_text(rows: float, cols: float, unit: str, times: str = " × ") -> str:
    """Height and width of an image, to be read.

    Examples
    --------
    >>> size_text(4.0, 3.999999, "nm"), size_text(10039.2, 512.0, "nm")
    ('4 × 4 nm', '10.04 × 0.512 µm')
    """
    if unit == "nm" and max(rows, cols) >= LONG:
        rows, cols, unit = rows / 1000, cols / 1000, "µm"
    return f"{rows:.4g}{times}{cols:.4g} {unit}"
