"""Hum: noise that runs along the fast axis and differs from line to line, 1/f or of single frequencies."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import fft, linalg, ndimage

from napari_sbd.core.noise import robust_std
from napari_sbd.core.parameters import Setting
from napari_sbd.prepare.operation import (
    ALONG,
    Bool,
    Operation,
    Outcome,
    Real,
    biweight,
    filled,
    outcome,
    stacked,
)
from napari_sbd.prepare.stopping import go_on

REJECTED = 3.5  # deviations beyond which a pixel is a defect's, not the hum's
ROUNDS = 30
TAILS = 4  # px around a defect's pixels that do not count either
JUMPS = 0.782  # variance that white noise of 1 has about the median of three lines
FINE = 3.0  # deviations of white noise, beyond which a jump is no hum's
STRONG = 2.0  # deviations of the noise, from which on a hum is told from defects where they overlap
BENEATH = 2  # rounds in which hum and defects are told apart where they overlap
STEPS, ACCURACY = 100, 1e-6  # of conjugate gradients
SHRINK = 0.88  # of the scale at which pixels are rejected, per round at most
SMALLEST = 16
ACROSS = 0.25  # cycles per line above which the image holds noise only
SLOW = 0.06  # cycles per line up to which what lines share is the image's


def hum(image: Any, mask: Any = None, *, along: str = "rows", strength: float = 1.0) -> Outcome:
    """Subtract noise that is correlated along a scan line but not from line to line.

    Its power along the line is read off where the image itself has none: at high frequencies across the
    lines. With that power as prior, and what is white as noise, each line's hum is the most probable one
    (a Gaussian process, so that the line's ends are treated like its middle). Pixels of defects deviate and
    do not count; below them the hum is continued from both sides, and what jumps from line to line there is
    hum, too. What the hum so found shares with neighbouring lines belongs to the image and is given back.

    Remove lattice and background first: they are no hum.

    Parameters
    ----------
    image : array (rows, cols) or (slices, rows, cols)
    mask : array of bool, optional
        True where a pixel counts.
    along : {'rows', 'columns'}
        Which way the scan lines run.
    strength : float
        Factor of the hum's power; larger values remove more of it.

    Returns
    -------
    Outcome
        Found: ``removed`` what was subtracted, and its ``share`` of the image's variance.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> buzz = np.sin(0.5 * np.arange(128) + rng.uniform(0, 6.3, (128, 1)))
    >>> done = hum(buzz + 0.1 * rng.normal(size=(128, 128)))
    >>> round(float(done.data.std()), 1)
    0.1
    """
    data, used = stacked(image, mask, "hum", SMALLEST)
    if along not in ("rows", "columns"):
        raise ValueError(f"hum: along must be 'rows' or 'columns', not {along!r}")
    turned = along == "columns"
    removed = np.zeros_like(data)
    for number, (values, inside) in enumerate(zip(data, used, strict=True)):
        found = hum_of(values.T, inside.T, strength).T if turned else hum_of(values, inside, strength)
        removed[number] = found
    left = data - removed
    share = float(1 - np.var(left[used]) / (np.var(data[used]) or 1.0)) if used.any() else 0.0
    return outcome(image, left, used, removed=removed, share=share)


def hum_of(image: Real, mask: Bool, strength: float) -> Real:
    """Hum of an image whose lines are its rows."""
    if not mask.any():
        return np.zeros_like(image)
    level = float(np.median(image[mask]))
    seen = filled(image - level, mask)
    power, white = spectrum_along(seen, biweight(seen, mask, REJECTED) > 0)
    if white <= 0 or not power.any():
        return np.zeros_like(image)
    covariance = linalg.toeplitz(fft.irfft(strength * power)[: image.shape[1]])
    weights = _ordinary(seen, mask, covariance, white)
    found = _continued(seen, weights, covariance, white)
    found = _beneath(seen, found, (weights <= 0) & mask, weights, covariance, white)
    return found - _shared(found)


def _ordinary(seen: Real, mask: Bool, covariance: Real, white: float) -> Real:
    """Weights of the pixels: 0 where a defect is."""
    smoother = linalg.solve(covariance + white * np.eye(len(covariance)), covariance, assume_a="pos")
    found, scale = np.zeros_like(seen), robust_std(seen[mask])
    for _ in range(ROUNDS):
        go_on()
        rest = seen - found
        alike = _steady(rest)
        # Not at once as narrow as the rest is: strong hum that is not fitted yet is no defect.
        scale = max(SHRINK * scale, robust_std(alike[mask]))
        weights = np.where(mask, np.square(np.clip(1 - np.square(alike / (REJECTED * scale)), 0, None)), 0.0)
        found = (found + weights * rest) @ smoother
    # A defect's tails are weaker than the noise, and lost in the hum if they count.
    blobs = ndimage.binary_opening(weights <= 0, np.ones((3, 3), bool))
    return np.where(ndimage.binary_dilation(blobs, iterations=TAILS), 0.0, weights)


def _continued(seen: Real, weights: Real, covariance: Real, white: float) -> Real:
    """Most probable hum of each line, given its weighted pixels; conjugate gradients for all at once."""
    roots = np.sqrt(weights)
    rest = roots * seen
    solved, towards = np.zeros_like(rest), rest
    power = np.sum(rest**2, axis=1, keepdims=True)
    enough = ACCURACY * power.max()
    for _ in range(STEPS):
        go_on()
        if not power.max() > enough:
            break
        image = roots * ((roots * towards) @ covariance) + white * towards
        step = power / np.maximum(np.sum(towards * image, axis=1, keepdims=True), np.finfo(float).tiny)
        solved = solved + step * towards
        rest = rest - step * image
        power, before = np.sum(rest**2, axis=1, keepdims=True), power
        towards = rest + power / np.maximum(before, np.finfo(float).tiny) * towards
    return np.asarray((roots * solved) @ covariance)


def _beneath(seen: Real, found: Real, defects: Bool, weights: Real, covariance: Real, white: float) -> Real:
    """Hum with what jumps from line to line beneath defects, which themselves go on across lines.

    Where something finer than that jumps, it is a defect's, and does not count. A hum hardly stronger than
    the noise is left as it is, for details of the defects are of that size.
    """
    if not defects.any() or covariance[0, 0] < STRONG**2 * white:
        return found
    counted = np.where(defects, 1.0, weights)
    for _ in range(BENEATH):
        steady = np.where(defects, _steady(seen - found), 0.0)
        found = _continued(seen - steady, counted, covariance, white)
        rest = seen - found
        unlike = np.square(rest - _steady(rest)) / (FINE**2 * JUMPS * white)
        counted = np.where(defects, np.square(np.clip(1 - unlike, 0, None)), weights)
    return found


def _steady(image: Real) -> Real:
    """What neighbouring lines have in common."""
    return np.asarray(ndimage.median_filter(image, (3, 1), mode="nearest"))


def spectrum_along(image: Real, ordinary: Bool) -> tuple[Real, float]:
    """Power of the hum at each frequency along a line, on twice its length, and that of the white noise.

    Noise of variance σ² that is white has the power σ².
    """
    rows, cols = image.shape
    quiet = np.where(ordinary, image, 0.0)
    taper = np.hanning(cols + 2)[1:-1]
    tapered = quiet * taper * np.hanning(rows + 2)[1:-1, None]
    lines = np.abs(fft.fft(fft.rfft(tapered, 2 * cols, axis=1), axis=0)) ** 2
    across = np.abs(fft.fftfreq(rows)) >= ACROSS
    scale = np.sum(taper**2) * np.sum(np.hanning(rows + 2)[1:-1] ** 2)
    power = lines[across].mean(axis=0) / scale
    high = power[len(power) // 2 :]
    white = float(np.median(high))
    # The estimate itself scatters: what lies within that is white.
    scatter = 1 + 3 * np.sqrt(1.5 / max(1, across.sum()))
    return np.where(power > scatter * white, power - white, 0.0), white


def _shared(found: Real) -> Real:
    """What neighbouring lines of the hum have in common, above what independent lines would."""
    size = tuple(fft.next_fast_len(2 * n, real=True) for n in found.shape)
    before = [(0, m - n) for m, n in zip(size, found.shape, strict=True)]
    padded = np.pad(found, before, mode="symmetric")
    spectrum = fft.fft2(padded)
    power = ndimage.uniform_filter(np.abs(spectrum) ** 2, 5, mode="wrap")
    across = np.abs(fft.fftfreq(size[0])) >= ACROSS
    own = power[across].mean(axis=0)
    gain = np.clip(1 - 2 * own / np.maximum(power, np.finfo(float).tiny), 0, None)
    gain *= np.clip(2 - np.abs(fft.fftfreq(size[0])) / SLOW, 0, 1)[:, None]
    shared = fft.ifft2(gain * spectrum).real
    return np.asarray(shared[: found.shape[0], : found.shape[1]])


OPERATION = Operation(
    name="hum",
    label="Remove hum",
    help="Subtracts noise that runs along the scan lines and differs from line to line: 1/f noise, mains "
    "hum, vibrations. Defects stay.",
    settings=(
        ALONG,
        Setting(
            "strength",
            "Strength",
            "Factor of the hum's power as it is measured; larger values remove more.",
            1.0,
            low=0.05,
            high=20.0,
            step=0.05,
        ),
    ),
    function=hum,
)
