"""What a scanning instrument adds to an image: each a function of image, random generator and strength.

Rows are scan lines (the fast axis runs along a row), and rows are taken one after the other (the slow axis).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy import fft, ndimage

from napari_sbd.simulate.sample import FloatArray

Artefact = Callable[[FloatArray, np.random.Generator, float], FloatArray]


def line_offsets(image: FloatArray, rng: np.random.Generator, strength: float = 0.5) -> FloatArray:
    """Shift every scan line by a constant, as between lines the feedback or the current drifts.

    Parameters
    ----------
    image : (rows, cols) float array
    rng : numpy.random.Generator
    strength : float
        Standard deviation of the offsets in standard deviations of the image.

    Returns
    -------
    (rows, cols) float array

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> image = rng.standard_normal((64, 64))
    >>> change = line_offsets(image, rng) - image
    >>> bool(np.allclose(change, change[:, :1]))
    True
    """
    return np.asarray(image + strength * image.std() * rng.standard_normal((len(image), 1)))


def one_over_f(image: FloatArray, rng: np.random.Generator, strength: float = 0.4) -> FloatArray:
    """Add noise whose power falls as 1 / frequency along each scan line and that has no mean over the line.

    Parameters
    ----------
    image : (rows, cols) float array
    rng : numpy.random.Generator
    strength : float
        Standard deviation of the noise in standard deviations of the image.

    Returns
    -------
    (rows, cols) float array

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> image = rng.standard_normal((64, 64))
    >>> change = one_over_f(image, rng, 0.4) - image
    >>> round(float(change.std() / image.std()), 6)
    0.4
    """
    frequency = fft.rfftfreq(image.shape[1])
    shape = np.zeros_like(frequency)
    shape[1:] = frequency[1:] ** -0.5
    noise = fft.irfft(fft.rfft(rng.standard_normal(image.shape)) * shape, image.shape[1])
    return np.asarray(image + strength * image.std() * noise / noise.std())


def plane(image: FloatArray, rng: np.random.Generator, strength: float = 3.0) -> FloatArray:
    """Tilt the image: add a plane of random direction and mean 0.

    Parameters
    ----------
    image : (rows, cols) float array
    rng : numpy.random.Generator
    strength : float
        Range of the plane, highest less lowest value, in standard deviations of the image.

    Returns
    -------
    (rows, cols) float array

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> image = rng.standard_normal((64, 64))
    >>> change = plane(image, rng, 2.0) - image
    >>> round(float(np.ptp(change) / image.std()), 6)
    2.0
    """
    angle = rng.uniform(0, 2 * np.pi)
    rows, cols = (np.linspace(-1, 1, n) for n in image.shape)
    tilt = np.sin(angle) * rows[:, None] + np.cos(angle) * cols
    return np.asarray(image + strength * image.std() * tilt / np.ptp(tilt))


def drift(image: FloatArray, rng: np.random.Generator, strength: float = 4.0) -> FloatArray:
    """Let the sample creep under the tip from line to line: a shear along the rows, a stretch across.

    What comes in from outside the frame repeats the border; give an image with a margin and cut it off.
    `drifted_positions` gives the places of the defects in the result.

    Parameters
    ----------
    image : (rows, cols) float array
    rng : numpy.random.Generator
        Draws the direction only.
    strength : float
        Displacement between the middle and either end of the image, in pixels.

    Returns
    -------
    (rows, cols) float array

    Examples
    --------
    >>> image = np.zeros((64, 64)); image[32, 20] = 1
    >>> bool(drift(image, np.random.default_rng(0), 0.0).argmax() == image.argmax())
    True
    """
    towards = _drift_direction(rng) * _relative_drift(strength, len(image))
    rows, cols = np.indices(image.shape, float)
    time = rows - (len(image) - 1) / 2
    source = [rows - towards[0] * time, cols - towards[1] * time]
    return np.asarray(ndimage.map_coordinates(image, source, order=3, mode="nearest"))


def drifted_positions(
    positions: FloatArray, rows: int, rng: np.random.Generator, strength: float = 4.0
) -> FloatArray:
    """Return where `drift` takes the points of an image with that many rows.

    The generator is to be in the same state as the one given to `drift`.

    Parameters
    ----------
    positions : (n, 2) float array
        Row and column in pixels.
    rows : int
        Number of rows of the image that drifts.
    rng : numpy.random.Generator
    strength : float
        As in `drift`.

    Returns
    -------
    (n, 2) float array

    Examples
    --------
    >>> middle = np.array([[31.5, 20.0]])
    >>> drifted_positions(middle, 64, np.random.default_rng(0))
    array([[31.5, 20. ]])
    """
    towards = _drift_direction(rng) * _relative_drift(strength, rows)
    middle = (rows - 1) / 2
    time = (positions[:, 0] - middle) / (1 - towards[0])
    return np.stack([middle + time, positions[:, 1] + towards[1] * time], axis=1)


def _drift_direction(rng: np.random.Generator) -> FloatArray:
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.sin(angle), np.cos(angle)])


def _relative_drift(strength: float, rows: int) -> float:
    relative = strength / ((rows - 1) / 2)
    if not abs(relative) < 0.5:
        raise ValueError(
            f"the drift of {strength} px is too strong for {rows} rows; keep it below {rows // 4} px"
        )
    return relative


ARTEFACTS: dict[str, tuple[Artefact, float]] = {
    "drift": (drift, 4.0),
    "plane": (plane, 3.0),
    "line_offsets": (line_offsets, 0.5),
    "one_over_f": (one_over_f, 0.4),
}
"""Name of each artefact, its function and its usual strength."""


def chosen_strengths(artefacts: str | Sequence[str] | Mapping[str, float]) -> dict[str, float]:
    """Return the strength of each artefact that a caller names, usual ones where only names are given.

    Examples
    --------
    >>> chosen_strengths("plane"), chosen_strengths({"drift": 2.0})
    ({'plane': 3.0}, {'drift': 2.0})
    """
    names = [artefacts] if isinstance(artefacts, str) else list(artefacts)
    unknown = [name for name in names if name not in ARTEFACTS]
    if unknown:
        raise ValueError(f"artefacts names {unknown[0]!r}; choose among {', '.join(ARTEFACTS)}")
    given = artefacts if isinstance(artefacts, Mapping) else {}
    return {name: float(given.get(name, ARTEFACTS[name][1])) for name in names}
