"""Lattice and charge-density wave: found, fitted to the image's own pixels, and taken out.

No Fourier notch: that treats the image as periodic and leaves 10 to 40 px of lattice along every border.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_sbd.core.parameters import Setting
from napari_sbd.prepare.harmonics import ROUNDS, Displacement, Harmonics, displacement
from napari_sbd.prepare.operation import Bool, Operation, Outcome, Real, outcome, stacked
from napari_sbd.prepare.peaks import PROMINENCE, bragg_peaks

SMALLEST = 16
PURSUITS = 4  # searches for peaks, each in what the one before left
STARTING = (1, 1)  # degrees while peaks are still being found
QUICK = 4  # rounds meanwhile, and until all displacements are known


def lattice(
    image: Any,
    mask: Any = None,
    *,
    peaks: int = 150,
    prominence: float = 8.0,
    rows: int = 2,
    cols: int = 2,
    background: int = 3,
    jitter: int = 0,
) -> Outcome:
    """Take the lattice, and whatever else is a sharp Fourier peak, out of an image.

    The peaks are found in the spectrum, the highest first, then weaker ones in what those leave. Each is a
    plane wave whose complex amplitude varies as a polynomial over the image; all are fitted together with a
    slow background. Defects deviate and do not count in the fit (Tukey's biweight), so they stay as they are.
    Only the waves are subtracted. Slices share the peaks and the displacements.

    Parameters
    ----------
    image : array (rows, cols) or (slices, rows, cols)
    mask : array of bool, optional
        True where a pixel counts.
    peaks : int
        How many pairs of peaks at most.
    prominence : float
        Least height of a peak over the spectrum around it.
    rows, cols : int
        Degree of the polynomial that a wave's amplitude follows from row to row, and along the rows.
    background : int
        Degree of the background that is fitted along with them, and stays.
    jitter : int
        Rounds in which each row and each column finds how far it is displaced.

    Returns
    -------
    Outcome
        Found: ``peaks`` in cycles per pixel, ``removed`` what was subtracted.

    Examples
    --------
    >>> at, along = np.indices((64, 60))
    >>> wave = np.cos(0.9 * at + 0.4 * along)
    >>> noise = 0.1 * np.random.default_rng(0).normal(size=wave.shape)
    >>> done = lattice(wave + noise)
    >>> len(done.found["peaks"]), round(float(done.data.std()), 1)
    (1, 0.1)
    """
    data, used = stacked(image, mask, "lattice", SMALLEST)
    fitted = fit_lattice(data, used, Model(peaks, prominence, (rows, cols), background, jitter))
    return outcome(image, data - fitted.waves, used, peaks=fitted.peaks, removed=fitted.waves)


@dataclass(frozen=True)
class Model:
    """How a lattice is fitted: the settings of `lattice`."""

    peaks: int = 150
    prominence: float = 8.0
    degrees: tuple[int, int] = (2, 2)
    background: int = 3
    jitter: int = 0


@dataclass(frozen=True)
class Fitted:
    """A lattice that was fitted: its peaks, the waves, the rest without background, and the weights."""

    peaks: Real
    waves: Real
    rest: Real
    weights: Real


def fit_lattice(data: Real, mask: Bool, model: Model, known: Real | None = None) -> Fitted:
    """Fit a lattice to a stack; its peaks are looked for unless they are known."""
    frequencies = pursued(data, mask, model) if known is None else known
    if not len(frequencies):
        return Fitted(frequencies, np.zeros_like(data), data, mask.astype(float))
    moved = Displacement.none(data.shape[1:])
    background = (model.background, model.background)
    fits = [
        Fit(np.zeros(0), values, values, used.astype(float)) for values, used in zip(data, mask, strict=True)
    ]
    harmonics = None
    for number in range(model.jitter + 1):
        harmonics = Harmonics(data.shape[1:], frequencies, model.degrees, background, moved, harmonics)
        rounds = QUICK if number < model.jitter else ROUNDS
        pairs = zip(data, mask, fits, strict=True)
        fits = [
            _fit_slice(harmonics, values, used, rounds, before.coefficients) for values, used, before in pairs
        ]
        if number < model.jitter:
            moved = moved.plus(_common(fits))
    waves, rest, weights = (
        np.stack([getattr(fit, name) for fit in fits]) for name in ("waves", "rest", "weights")
    )
    return Fitted(frequencies, waves, rest, weights)


def pursued(data: Real, mask: Bool, model: Model) -> Real:
    """Peaks of the stack, then those of what the fit of the first ones leaves, and so on."""
    found = np.zeros((0, 2))
    rest, weights = data - np.median(data, axis=(1, 2), keepdims=True), mask.astype(float)
    background = (model.background, model.background)
    for _ in range(PURSUITS):
        new = bragg_peaks(rest * (weights > 0), model.peaks - len(found), model.prominence, found)
        if not len(new):
            break
        found = np.concatenate([found, new])
        degrees = tuple(min(pair) for pair in zip(STARTING, model.degrees, strict=True))
        harmonics = Harmonics(data.shape[1:], found, (degrees[0], degrees[1]), background)
        fits = [_fit_slice(harmonics, *slices, QUICK) for slices in zip(data, mask, strict=True)]
        rest, weights = np.stack([fit.rest for fit in fits]), np.stack([fit.weights for fit in fits])
    return found


@dataclass(frozen=True)
class Fit:
    """Fit of one slice."""

    coefficients: Real
    waves: Real
    rest: Real
    weights: Real


def _fit_slice(harmonics: Harmonics, image: Real, mask: Bool, rounds: int, start: Real | None = None) -> Fit:
    """Fit one slice, from the coefficients of an earlier fit if there are any."""
    if not mask.any():
        return Fit(np.zeros(0), *np.zeros((3, *image.shape)))
    centred = image - float(np.median(image[mask]))
    known = start is not None and len(start) > 0
    found, rest, weights = harmonics.fit(centred, mask, rounds, start if known else None)
    return Fit(found, harmonics.image(found, flat=False).astype(float), rest, weights)


def _common(fits: list[Fit]) -> Displacement:
    """Displacement that all slices share, for they were taken at the same time."""
    parts = []
    for fit in fits:
        unit = float(np.abs(fit.waves).max()) or 1.0
        parts.append(displacement(fit.rest / unit, fit.waves / unit, fit.weights))
    return Displacement(np.mean([part.rows for part in parts], 0), np.mean([part.cols for part in parts], 0))


OPERATION = Operation(
    name="lattice",
    label="Remove lattice",
    help="Finds the sharp peaks of the Fourier transform (lattice, charge-density wave, regular hum), fits "
    "them to the image and subtracts them. Defects stay, and nothing is left along the borders.",
    settings=(
        Setting("peaks", "Peaks", "How many pairs of Fourier peaks at most.", 150, low=0, high=400, step=1),
        PROMINENCE,
        Setting(
            "rows",
            "Variation along rows axis",
            "Degree of the polynomial that the waves' amplitudes and phases follow from row to row: larger "
            "where the scan drifts or creeps.",
            2,
            low=0,
            high=16,
            step=1,
        ),
        Setting(
            "cols",
            "Variation along columns axis",
            "The same along the rows, from column to column.",
            2,
            low=0,
            high=16,
            step=1,
        ),
        Setting(
            "background",
            "Background",
            "Degree of the slow background that is fitted along with the waves; it is not subtracted.",
            3,
            low=0,
            high=12,
            step=1,
            advanced=True,
        ),
        Setting(
            "jitter",
            "Line jitter",
            "Rounds in which every row and column finds how far the scanner displaced it; 0 for none.",
            0,
            low=0,
            high=10,
            step=1,
            advanced=True,
        ),
    ),
    function=lattice,
)
