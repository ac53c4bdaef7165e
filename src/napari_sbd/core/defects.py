"""From activation map to table of defects: centres between pixels, amplitudes, their errors, border flags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import signal, spatial

from napari_sbd.core.amplitude_errors import NEIGHBOURS, standard_errors
from napari_sbd.core.noise import median
from napari_sbd.core.peaks import ALIKE, WEAKEST, Peaks, typical_amplitude, usual_amplitude

Real = NDArray[np.floating]
Columns = pd.DataFrame | dict[str, NDArray[Any]]

FAR = 6.0  # deviations of the others' amplitudes, by which it must be below
FEWEST_WHOLE = 3  # defects inside the frame, from which the typical amplitude is theirs
SHADOW = 2.5  # times as strong is a defect whose misfit passes for weaker ones where all of it lies
CORE = 0.9  # of a kernel's energy, that the disc holds in which it is strong
CANDIDATE_COLUMNS = ["odd", "strength", "left_out", "alone", "outside"]


def odd_ones(amplitudes: Real) -> NDArray[np.bool_]:
    """Which amplitudes are far weaker than those of their sign, where these are alike.

    Defects of one kind have one amplitude where nothing else tells them apart; what reaches a third of it
    there is a piece of something else.

    Examples
    --------
    >>> odd_ones(np.array([1.0, 0.98, 1.02, 0.97, 1.03, 0.99, 1.01, 1.0, 0.4])).nonzero()[0].tolist()
    [8]
    """
    odd = np.zeros(len(amplitudes), bool)
    for sign in (1, -1):
        here = np.sign(amplitudes) == sign
        size = np.abs(amplitudes[here])
        usual, spread = usual_amplitude(size)
        if np.isfinite(spread):
            odd[here] = size < min(ALIKE * usual, usual - FAR * spread)
    return odd


def shadowed(table: Columns, kernels: Real) -> NDArray[np.bool_]:
    """Which rows sit on a defect much stronger: they correct what the model leaves of it.

    No two defects are wholly alike, so that the strongest leave a misfit which passes for weak ones: hidden
    is what has less energy than a share of the stronger one's energy that lies within its own core.

    Parameters
    ----------
    table : mapping of columns
        With type, row, col and amplitude.
    kernels : array (types, slices, k1, k2)
        Of unit norm.
    """
    kinds, size = np.asarray(table["type"], int), np.abs(np.asarray(table["amplitude"], float))
    hidden = np.zeros(len(kinds), bool)
    if not len(kinds):
        return hidden
    centres, radii = zip(*(core(kernel) for kernel in kernels), strict=True)
    places = np.column_stack([table["row"], table["col"]])
    reach = 2 * max(radii)
    near = spatial.KDTree(places + np.array(centres)[kinds]).query_pairs(reach, output_type="ndarray")
    pairs = np.concatenate([near, near[:, ::-1]])
    strong, weak = pairs[SHADOW * size[pairs[:, 1]] <= size[pairs[:, 0]]].T
    for host, guest in set(zip(kinds[strong].tolist(), kinds[weak].tolist(), strict=True)):
        here = (kinds[strong] == host) & (kinds[weak] == guest)
        one, other = strong[here], weak[here]
        within = _energy_within(kernels[host], centres[guest], radii[guest], places[other] - places[one])
        hidden[other[(SHADOW * size[other]) ** 2 <= within * size[one] ** 2]] = True
    return hidden


def _energy_within(kernel: Real, centre: Real, radius: float, offsets: Real) -> Real:
    """Share of a kernel's energy within a disc about `centre` of windows that lie so far off."""
    energy = np.square(kernel, dtype=float).sum(0)
    energy /= max(float(energy.sum()), np.finfo(float).tiny)
    margin = int(np.ceil(radius)) + 1
    rows, cols = np.ogrid[-margin : margin + 1, -margin : margin + 1]
    shares = signal.convolve(energy, (np.hypot(rows, cols) <= radius).astype(float))
    middle = [(n - 1) // 2 + margin for n in energy.shape]
    at = np.rint(offsets + centre).astype(int) + middle
    seen = np.all((at >= 0) & (at < shares.shape), axis=1)
    within = np.zeros(len(at))
    within[seen] = shares[tuple(at[seen].T)]
    return within


def core(kernel: Real) -> tuple[Real, float]:
    """Centre of a kernel (slices, k1, k2) from its window's middle, and radius of the disc that it fills.

    Examples
    --------
    >>> rows, cols = np.mgrid[-20:21, -20:21]
    >>> centre, radius = core(np.where(np.hypot(rows, cols) <= 6, 1.0, 0.0)[None])
    >>> centre.tolist(), round(radius)
    ([0.0, 0.0], 6)
    """
    energy = np.square(kernel, dtype=float).sum(0)
    energy = np.maximum(energy - median(energy), 0)
    total = energy.sum()
    if not total > 0:
        return np.zeros(2), 0.0
    places = np.indices(energy.shape) - np.reshape([(n - 1) // 2 for n in energy.shape], (2, 1, 1))
    centre = (places * energy).sum((1, 2)) / total
    apart = np.square(places - centre[:, None, None]).sum(0)
    order = np.argsort(apart, axis=None)
    held = np.cumsum(energy.ravel()[order])
    return centre, float(np.sqrt(apart.ravel()[order[np.searchsorted(held, CORE * total)]]))


def chosen_rows(
    table: pd.DataFrame,
    snr: float,
    strength: float,
    outside: bool = False,
    sure: NDArray[np.bool_] | None = None,
) -> pd.DataFrame:
    """The candidates that are defects by these thresholds, by type and falling amplitude.

    Parameters
    ----------
    table : pandas.DataFrame
        See `candidate_table`.
    snr, strength : float
        Smallest amplitude over its standard error, and over the typical one of the type. At the default
        strength weaker ones that stand alone are listed, too, below it also odd ones.
    outside : bool
        Whether those outside the frame are listed, too; they have a column of their own then.
    sure : array of bool, optional
        Which may be listed at all.
    """
    column = {name: table[name].to_numpy() for name in ("snr", *CANDIDATE_COLUMNS)}
    real = (column["snr"] >= snr) & (column["strength"] >= strength) & (outside | ~column["outside"])
    if strength >= WEAKEST:
        real &= ~column["odd"]
    if strength <= WEAKEST:
        real |= column["alone"] & (column["snr"] >= snr)
    if sure is not None:
        real &= sure
    left_out = CANDIDATE_COLUMNS if not outside else CANDIDATE_COLUMNS[:-1]
    return pd.DataFrame({name: table[name].to_numpy()[real] for name in table if name not in left_out})


def candidate_table(
    peaks: Sequence[Peaks],
    kernels: Real,
    mask: NDArray[np.bool_],
    noise: float | Sequence[float],
    left: Sequence[tuple[Peaks, Real]] = (),
    pixel_size: tuple[float, float] = (1.0, 1.0),
    unit: str = "px",
    neighbours: int = NEIGHBOURS,
    types: Sequence[int] = (),
    windows: Sequence[tuple[int, int]] = (),
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
    neighbours : int
        See `standard_errors`.
    types : sequence of int, optional
        Type of each kernel, where several are orientations of one: what is typical is told by type.
    windows : sequence of (rows, cols), optional
        Of each kernel, where it is zero outside a smaller one in the middle.

    Returns
    -------
    pandas.DataFrame
        By type and falling amplitude: type, row, col (pixels, between them), y and x in `unit`, amplitude,
        amplitude_error, snr, near_border (part of the kernel lies outside the frame), odd (see
        `odd_ones` and `shadowed`), strength (amplitude over the typical one of the type), left_out (not part
        of the model), alone (see `napari_sbd.core.alone`; none here) and outside (of the frame).
    """
    parts = []
    levels = np.broadcast_to(np.asarray(noise, float), len(kernels))
    groups = np.asarray(types, int) if len(types) else np.arange(len(kernels))
    for kind, (found, kernel) in enumerate(zip(peaks, kernels, strict=True)):
        alike = [p for p, group in zip(peaks, groups, strict=True) if group == groups[kind]]
        typical = _typical_of_whole(alike, mask.shape[1:], kernels.shape[-2:])
        strong = np.abs(found.amplitudes) >= WEAKEST * typical
        errors: Real = np.empty(len(strong))
        # Strong ones are judged as if the weak ones were noise.
        errors[strong] = standard_errors(found.chosen(strong), kernel, mask, float(levels[kind]), neighbours)
        if not strong.all():
            level = float(levels[kind])
            errors[~strong] = standard_errors(found, kernel, mask, level, neighbours, which=~strong)
        in_model = np.ones(len(strong), bool)
        if left:
            found, errors, in_model = _joined(found, errors, *left[kind])
        window = windows[kind] if len(windows) else kernels.shape[-2:]
        parts.append(_columns(kind, found, errors, mask.shape[1:], window, typical, ~in_model))
    table = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    table["odd"] = _odd(table, kernels, groups)
    lengths = (pixel_size[0] * table["row"], pixel_size[1] * table["col"])
    return _laid_out(table, {f"y_{unit}": lengths[0], f"x_{unit}": lengths[1]})


def _odd(table: dict[str, NDArray[Any]], kernels: Real, groups: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which rows are shadowed or far weaker than all others of their type, which are alike."""
    odd = shadowed(table, kernels)
    kinds = groups[table["type"]]
    for kind in np.unique(groups):
        here = np.flatnonzero((kinds == kind) & ~(odd | table["left_out"] | table["outside"]))
        odd[here] = odd_ones(table["amplitude"][here])
    return odd


def _laid_out(table: dict[str, NDArray[Any]], lengths: dict[str, Real]) -> pd.DataFrame:
    """Columns as a table, positions in lengths behind those in pixels."""
    names = list(table)
    behind = names.index("col") + 1
    return pd.DataFrame(
        {name: table[name] for name in names[:behind]}
        | lengths
        | {name: table[name] for name in names[behind:]}
    )


def _typical_of_whole(peaks: list[Peaks], shape: tuple[int, ...], window: tuple[int, ...]) -> float:
    """Typical amplitude of defects that the frame does not cut, if there are some: others are less sure."""
    amplitudes = np.concatenate([p.amplitudes for p in peaks])
    whole = ~_cut_by_frame(np.concatenate([p.centres for p in peaks]), shape, window)
    return typical_amplitude(amplitudes[whole] if whole.sum() >= FEWEST_WHOLE else amplitudes)


def _cut_by_frame(centres: Real, shape: tuple[int, ...], window: tuple[int, ...]) -> NDArray[np.bool_]:
    before = centres < [(k - 1) // 2 for k in window]
    after = centres > np.array(shape) - 1 - [k // 2 for k in window]
    return np.asarray((before | after).any(1))


def _joined(
    found: Peaks, errors: Real, left: Peaks, left_errors: Real
) -> tuple[Peaks, Real, NDArray[np.bool_]]:
    joined = Peaks(
        np.concatenate([found.centres, left.centres]), np.concatenate([found.amplitudes, left.amplitudes])
    )
    in_model = np.arange(len(joined.amplitudes)) < len(found.amplitudes)
    return joined, np.concatenate([errors, left_errors]), in_model


def _columns(
    kind: int,
    peaks: Peaks,
    errors: Real,
    shape: tuple[int, ...],
    window: tuple[int, ...],
    typical: float,
    left_out: NDArray[np.bool_],
) -> dict[str, NDArray[Any]]:
    """Those of one type, by falling amplitude."""
    size = np.abs(peaks.amplitudes)
    order = np.argsort(-size, kind="stable")
    centres, size, errors = peaks.centres[order], size[order], errors[order]
    return {
        "type": np.full(len(size), kind),
        "row": centres[:, 0],
        "col": centres[:, 1],
        "amplitude": peaks.amplitudes[order],
        "amplitude_error": errors,
        "snr": size / errors,
        "near_border": _cut_by_frame(centres, shape, window),
        "odd": np.zeros(len(size), bool),
        "strength": size / typical if typical > 0 else np.zeros(len(size)),
        "left_out": left_out[order],
        "alone": np.zeros(len(size), bool),
        "outside": np.any((centres < -0.5) | (centres > np.array(shape) - 0.5), axis=1),
    }
