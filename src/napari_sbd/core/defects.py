"""From activation map to table of defects: centres between pixels, amplitudes, their errors, border flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import fft, ndimage, signal, spatial

Real = NDArray[np.floating]

SMOOTHING = 0.7  # px, of the map in which peaks are sought: joins what one defect split over neighbours
REACH = 1.5  # px around a peak whose activations are one defect
SPARSE_REACH = 2.3  # the same where defects are far apart
WEAKEST = 0.3  # amplitude over the typical one below which an activation is no defect
NEIGHBOURS = 60  # that take part in one amplitude's standard error
CANDIDATE_COLUMNS = ["strength", "left_out", "outside"]
REGULAR = 1e4  # norm of a column of an inverse, above which a matrix counts as singular
SMALLEST_SHARE = 1e-3  # of a kernel, below which its error is not told from infinite


@dataclass(frozen=True)
class Peaks:
    """Defects of one type: centres (n, 2) on the image's grid, row and col, and amplitudes (n,)."""

    centres: Real
    amplitudes: Real

    def chosen(self, which: NDArray[np.bool_]) -> Peaks:
        """The peaks where `which` is true."""
        return Peaks(self.centres[which], self.amplitudes[which])


def find_peaks(extended: Real, kernel_shape: tuple[int, int]) -> Peaks:
    """Gather the activations of an extended map into defects.

    Strongest first, a maximum of the lightly smoothed map takes the activations around it: their sum is
    the amplitude, their centroid the centre.

    Parameters
    ----------
    extended : array (n1 + k1 - 1, n2 + k2 - 1)
        Activation map on the extended domain.
    kernel_shape : tuple of int
        Window of the kernel.

    Examples
    --------
    >>> extended = np.zeros((12, 12))
    >>> extended[5, 5:7] = 1, 3
    >>> peaks = find_peaks(extended, (3, 3))
    >>> peaks.centres.tolist(), peaks.amplitudes.tolist()
    ([[4.0, 4.75]], [4.0])
    """
    smooth = ndimage.gaussian_filter(np.abs(extended), SMOOTHING, mode="constant")
    summits = np.argwhere((smooth == ndimage.maximum_filter(smooth, 3)) & (smooth > 0))
    order = np.argsort(-smooth[tuple(summits.T)], kind="stable")
    active = np.argwhere(extended != 0)
    if not len(active):
        return Peaks(np.empty((0, 2)), np.empty(0))
    values = extended[tuple(active.T)].astype(float)
    reach = _reach(summits)
    near = spatial.KDTree(active).query_ball_point(summits, reach)
    free = np.ones(len(active), bool)
    centres, amplitudes = [], []
    for number in order:
        members = [m for m in near[number] if free[m]]
        strength = values[members].sum()
        if not members or strength == 0:
            continue
        free[members] = False
        weight = np.abs(values[members])
        centres.append(weight @ active[members] / weight.sum())
        amplitudes.append(strength)
    offset = [k // 2 for k in kernel_shape]
    return Peaks(np.array(centres) - offset, np.array(amplitudes))


def _reach(summits: NDArray[np.intp]) -> float:
    if len(summits) < 2:
        return SPARSE_REACH
    nearest = np.asarray(spatial.KDTree(summits).query(summits, 2)[0])[:, 1]
    return SPARSE_REACH if np.percentile(nearest, 10) > 2 * SPARSE_REACH else REACH


def typical_amplitude(amplitudes: Real) -> float:
    """Amplitude above which half of the whole activation lies: the many weak ones hardly count.

    Examples
    --------
    >>> typical_amplitude(np.array([0.01] * 50 + [2.0, 2.1, 2.2]))
    2.1
    """
    size = np.sort(np.abs(amplitudes))[::-1]
    if not len(size):
        return 0.0
    return float(size[np.searchsorted(np.cumsum(size), size.sum() / 2)])


def standard_errors(
    peaks: Peaks, kernel: Real, mask: NDArray[np.bool_], noise: float, neighbours: int = NEIGHBOURS
) -> Real:
    """Standard error of each amplitude: pixel noise through the least squares of overlapping atoms.

    `σ √((AᵀA)⁻¹)ᵢᵢ` with the Gram matrix of a defect and its nearest neighbours, and only the part of the
    kernel that the mask lets through.

    Parameters
    ----------
    peaks : Peaks
    kernel : array (slices, k1, k2)
        Of unit norm.
    mask : array of bool (slices, rows, cols)
    noise : float
        Standard deviation of the noise of a pixel, in the image's unit.
    neighbours : int
        How many defects take part in the error of one.
    """
    if not len(peaks.centres):
        return np.empty(0)
    visible = _visible_energy(peaks.centres, kernel, mask)
    overlap = autocorrelation(kernel)
    middle = np.array(overlap.shape) // 2
    count = min(neighbours, len(peaks.centres))
    _, near = spatial.KDTree(peaks.centres).query(peaks.centres, count)
    near = near.reshape(len(peaks.centres), count)
    grams = np.empty((len(near), count, count))
    for number, group in enumerate(near):
        points = peaks.centres[group]
        lags = (points[:, None] - points[None]) + middle
        gram = ndimage.map_coordinates(overlap, lags.reshape(-1, 2).T, order=1).reshape(count, count)
        seen = np.sqrt(visible[group])
        grams[number] = gram * seen[:, None] * seen
        grams[number][np.diag_indices(count)] = visible[group] * (1 + 1e-6)
    return np.asarray(noise * np.sqrt(np.maximum(_first_of_inverses(grams), 1 / visible[near[:, 0]])))


def _first_of_inverses(grams: Real) -> Real:
    """Upper left element of the inverse of each matrix (n, m, m); of a pseudoinverse where it is singular."""
    unit = np.zeros(grams.shape[-1])
    unit[0] = 1
    try:
        columns = np.linalg.solve(grams, np.broadcast_to(unit[:, None], (*grams.shape[:2], 1)))[..., 0]
    except np.linalg.LinAlgError:
        columns = np.full(grams.shape[:2], np.inf)
    for number in np.flatnonzero(~(np.linalg.norm(columns, axis=1) < REGULAR)):
        columns[number] = np.linalg.lstsq(grams[number], unit, rcond=1e-6)[0]
    return columns[:, 0]


def autocorrelation(kernel: Real) -> Real:
    """Autocorrelation of a kernel (slices, k1, k2), summed over slices; zero lag in the middle."""
    shape = tuple(2 * k - 1 for k in kernel.shape[1:])
    power = np.abs(fft.rfft2(kernel.astype(float), shape)) ** 2
    return np.asarray(fft.fftshift(fft.irfft2(power.sum(0), shape)))


def _visible_energy(centres: Real, kernel: Real, mask: NDArray[np.bool_]) -> Real:
    """Share of the kernel's energy that falls on pixels which count, for a defect at each centre."""
    shares = [
        signal.correlate(inside.astype(float), np.square(a, dtype=float), "full", method="fft")
        for inside, a in zip(mask, kernel, strict=True)
    ]
    share = np.sum(shares, axis=0)
    places = np.rint(centres).astype(int) + [k // 2 for k in kernel.shape[1:]]
    places = np.clip(places, 0, np.array(share.shape) - 1)
    return np.asarray(np.maximum(share[tuple(places.T)], SMALLEST_SHARE))


def chosen_rows(table: pd.DataFrame, snr: float, strength: float, outside: bool = False) -> pd.DataFrame:
    """The candidates that are defects by these thresholds, by type and falling amplitude.

    Parameters
    ----------
    table : pandas.DataFrame
        See `candidate_table`.
    snr, strength : float
        Smallest amplitude over its standard error, and over the typical one of the type.
    outside : bool
        Whether those outside the frame are listed, too; they have a column of their own then.
    """
    real = (table["snr"] >= snr) & (table["strength"] >= strength) & (outside | ~table["outside"])
    chosen = table[real].reset_index(drop=True)
    return chosen.drop(columns=CANDIDATE_COLUMNS if not outside else CANDIDATE_COLUMNS[:-1])


def candidate_table(
    peaks: Sequence[Peaks],
    kernels: Real,
    mask: NDArray[np.bool_],
    noise: float | Sequence[float],
    left: Sequence[tuple[Peaks, Real]] = (),
    pixel_size: tuple[float, float] = (1.0, 1.0),
    unit: str = "px",
    neighbours: int = NEIGHBOURS,
) -> pd.DataFrame:
    """Table of all candidates for defects: weak ones, those outside the frame, and those the fit left out.

    Parameters
    ----------
    peaks : sequence of Peaks
        Candidates of each type, amplitudes in the image's unit.
    kernels : array (types, slices, k1, k2)
        Of unit norm.
    mask : array of bool (slices, rows, cols)
    noise : float or sequence of float
        Standard deviation of the noise that an amplitude meets, in the image's unit; one for each type.
    left : sequence of (Peaks, standard errors), optional
        For each type, candidates that are not part of the model.
    pixel_size, unit : tuple of float, str
        Length of a pixel along rows and columns.

    Returns
    -------
    pandas.DataFrame
        By type and falling amplitude: type, row, col (pixels, between them), y and x in `unit`, amplitude,
        amplitude_error, snr, near_border (part of the kernel lies outside the frame), strength (amplitude
        over the typical one of the type), left_out (not part of the model) and outside (of the frame).
    """
    tables = []
    levels = np.broadcast_to(np.asarray(noise, float), len(kernels))
    for kind, (found, kernel) in enumerate(zip(peaks, kernels, strict=True)):
        typical = typical_amplitude(found.amplitudes)
        strong = np.abs(found.amplitudes) >= WEAKEST * typical
        errors: Real = np.empty(len(strong))
        # Strong ones are judged as if the weak ones were noise.
        errors[strong] = standard_errors(found.chosen(strong), kernel, mask, float(levels[kind]), neighbours)
        if not strong.all():
            errors[~strong] = standard_errors(found, kernel, mask, float(levels[kind]), neighbours)[~strong]
        in_model = np.ones(len(strong), bool)
        if left:
            found, errors, in_model = _joined(found, errors, *left[kind])
        tables.append(_table(kind, found, errors, mask.shape[1:], kernels.shape[-2:], typical, ~in_model))
    table = pd.concat(tables, ignore_index=True)
    length_row, length_col = pixel_size
    table.insert(3, f"y_{unit}", table["row"] * length_row)
    table.insert(4, f"x_{unit}", table["col"] * length_col)
    return table


def _joined(
    found: Peaks, errors: Real, left: Peaks, left_errors: Real
) -> tuple[Peaks, Real, NDArray[np.bool_]]:
    joined = Peaks(
        np.concatenate([found.centres, left.centres]), np.concatenate([found.amplitudes, left.amplitudes])
    )
    in_model = np.arange(len(joined.amplitudes)) < len(found.amplitudes)
    return joined, np.concatenate([errors, left_errors]), in_model


def _table(
    kind: int,
    peaks: Peaks,
    errors: Real,
    shape: tuple[int, ...],
    window: tuple[int, ...],
    typical: float,
    left_out: NDArray[np.bool_],
) -> pd.DataFrame:
    centres, limit = peaks.centres, np.array(shape)
    size = np.abs(peaks.amplitudes)
    before = centres < [(k - 1) // 2 for k in window]
    after = centres > limit - 1 - [k // 2 for k in window]
    table = pd.DataFrame(
        {
            "type": kind,
            "row": centres[:, 0],
            "col": centres[:, 1],
            "amplitude": peaks.amplitudes,
            "amplitude_error": errors,
            "snr": size / errors if len(errors) else errors,
            "near_border": (before | after).any(1),
            "strength": size / typical if typical > 0 else np.zeros(len(size)),
            "left_out": left_out,
            "outside": (centres < -0.5).any(1) | (centres > limit - 0.5).any(1),
        }
    )
    return table.sort_values("amplitude", key=np.abs, ascending=False, ignore_index=True)
