"""From activation map to table of defects: centres between pixels, amplitudes, their errors, border flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage, spatial

from napari_sbd.core.amplitude_errors import NEIGHBOURS, standard_errors
from napari_sbd.core.noise import median, robust_std

Real = NDArray[np.floating]
Columns = pd.DataFrame | dict[str, NDArray[Any]]

SMOOTHING = 0.7  # px, of the map in which peaks are sought: joins what one defect split over neighbours
REACH = 1.5  # px around a peak whose activations are one defect
SPARSE_REACH = 2.3  # the same where defects are far apart
WEAKEST = 0.3  # amplitude over the typical one below which an activation is no defect
UNSPLIT = 0.5  # of the median activation, above which one of a sampled map is a defect
ALIKE = 0.6  # of the typical amplitude, below which one is odd where all others are alike
SEVERAL, SPREAD = 1.5, 0.2  # of the usual amplitude: what may be several, deviation of those alike
FAR = 6.0  # deviations of the others' amplitudes, by which it must be below
FEWEST_ALIKE = 8  # of one sign, to tell whether they are alike
FEWEST_WHOLE = 3  # defects inside the frame, from which the typical amplitude is theirs
SHADOW = 2.5  # times as strong is a defect whose misfit passes for weaker ones within its reach
CORE = 0.9  # of a kernel's energy, that the disc holds in which it is strong
BOXES = 512  # defects that are looked at together: memory stays bounded
CANDIDATE_COLUMNS = ["odd", "strength", "left_out", "outside"]


@dataclass(frozen=True)
class Peaks:
    """Defects of one type: centres (n, 2) on the image's grid, row and col, and amplitudes (n,)."""

    centres: Real
    amplitudes: Real

    def chosen(self, which: NDArray[np.bool_]) -> Peaks:
        """The peaks where `which` is true."""
        return Peaks(self.centres[which], self.amplitudes[which])


def find_peaks(extended: Real, kernel_shape: tuple[int, int], alike: bool = False) -> Peaks:
    """Gather the activations of an extended map into defects.

    Strongest first, a maximum of the lightly smoothed map takes the activations around it: their sum is
    the amplitude, their centroid the centre.

    Parameters
    ----------
    extended : array (n1 + k1 - 1, n2 + k2 - 1)
        Activation map on the extended domain.
    kernel_shape : tuple of int
        Window of the kernel.
    alike : bool
        Whether close activations are defects of their own where each is like others, and their sum is not.

    Examples
    --------
    >>> extended = np.zeros((12, 12))
    >>> extended[5, 5:7] = 1, 3
    >>> peaks = find_peaks(extended, (3, 3))
    >>> peaks.centres.tolist(), peaks.amplitudes.tolist()
    ([[4.0, 4.75]], [4.0])
    """
    active = np.column_stack(np.divmod(np.flatnonzero(extended != 0), extended.shape[1]))
    if not len(active):
        return Peaks(np.empty((0, 2)), np.empty(0))
    summits, heights = _summits(extended, active)
    values = extended[tuple(active.T)].astype(float)
    values = extended[tuple(active.T)].astype(float)
    owner = _owners(summits[np.argsort(-heights, kind="stable")], active)
    active, values, owner = active[owner >= 0], values[owner >= 0], owner[owner >= 0]
    if alike:
        owner = _apart(owner, active, values)
    weight, strength = np.abs(values), np.bincount(owner, values)
    there = strength != 0
    sums = [np.bincount(owner, weight * active[:, axis])[there] for axis in range(2)]
    centres = np.column_stack(sums) / np.bincount(owner, weight)[there, None]
    return Peaks(centres - [k // 2 for k in kernel_shape], strength[there])


def strong_activations(extended: Real, kernel_shape: tuple[int, int]) -> Peaks:
    """The activations of a map whose defects were sampled: each a defect, but for weak ones beside them.

    There defects sit a pixel or two apart, and none is split: `find_peaks` would take several for one.

    Examples
    --------
    >>> extended = np.zeros((12, 12))
    >>> extended[5, 5:8] = 4, 1, 3
    >>> strong_activations(extended, (3, 3)).centres.tolist()
    [[4.0, 4.0], [4.0, 6.0]]
    """
    active = np.argwhere(extended)
    values = extended[tuple(active.T)].astype(float)
    size = np.abs(values)
    strong = size >= UNSPLIT * median(size) if len(size) else size > 0
    return Peaks((active[strong] - [k // 2 for k in kernel_shape]).astype(float), values[strong])


def _owners(summits: NDArray[np.intp], active: NDArray[np.intp]) -> NDArray[np.intp]:
    """Number of the first summit near each activation; -1 where there is none."""
    near: Any = spatial.KDTree(active).query_ball_point(summits, _reach(summits))
    counts = [len(members) for members in near]
    owner = np.full(len(active), len(summits))
    members = np.concatenate([np.asarray(m, np.intp) for m in near])
    np.minimum.at(owner, members, np.repeat(np.arange(len(near)), counts))
    return np.where(owner < len(summits), owner, -1)


def _apart(owner: NDArray[np.intp], active: NDArray[np.intp], values: Real) -> NDArray[np.intp]:
    """The same, but for activations of one summit that are each like other defects, as their sum is not.

    Where defects are alike, that tells close ones from one that is split over neighbouring pixels.
    """
    sums: Real = np.abs(np.bincount(owner, values))
    usual, spread = _usual(sums[sums > 0])
    owner, number = owner.copy(), len(sums)
    for group in np.flatnonzero(sums > SEVERAL * usual) if spread < SPREAD * usual else ():
        members = np.flatnonzero(owner == group)
        whole = members[np.abs(values[members]) >= ALIKE * usual]
        if len(whole) < 2:
            continue
        nearest = spatial.KDTree(active[whole]).query(active[members])[1]
        sizes: Real = np.abs(np.bincount(nearest, values[members]))
        if np.square(sizes - usual).sum() < (sums[group] - usual) ** 2:
            owner[members] = number + nearest
            number += len(whole)
    return owner


def _summits(extended: Real, active: NDArray[np.intp]) -> tuple[NDArray[np.intp], Real]:
    """Maxima of the lightly smoothed map (n, 2), and their heights; of sparse maps box by box.

    An activation with no other in its box is one.
    """
    half = round(4 * SMOOTHING) + 1  # of what an active pixel can make a maximum of
    side = 4 * half + 1
    if len(active) * side**2 > extended.size:
        smooth = ndimage.gaussian_filter(np.abs(extended), SMOOTHING, mode="constant")
        summits = np.argwhere((smooth == ndimage.maximum_filter(smooth, 3)) & (smooth > 0))
        return summits, smooth[tuple(summits.T)]
    tree = spatial.KDTree(active)
    apart = np.asarray(tree.query(active, [2], p=np.inf, distance_upper_bound=2 * half + 1)[0])[:, 0]
    alone, close = active[np.isinf(apart)], active[np.isfinite(apart)]
    found = [alone]
    heights = [np.abs(extended[tuple(alone.T)]) * _smoothed_point(half)]
    steps = np.arange(side) - 2 * half
    for first in range(0, len(close), BOXES):
        some = close[first : first + BOXES]
        rows, cols = (some[:, axis, None] + steps for axis in range(2))
        inside = [(i >= 0) & (i < n) for i, n in zip((rows, cols), extended.shape, strict=True)]
        whole = inside[0][:, :, None] & inside[1][:, None, :]
        at = (np.clip(i, 0, n - 1) for i, n in zip((rows, cols), extended.shape, strict=True))
        down, right = at
        boxes = np.where(whole, np.abs(extended[down[:, :, None], right[:, None, :]]), 0)
        smooth = ndimage.gaussian_filter(boxes, SMOOTHING, mode="constant", axes=(1, 2))
        smooth[~whole] = -1
        highest = ndimage.maximum_filter(smooth, 3, axes=(1, 2))
        middle = slice(half, side - half)
        top = ((smooth == highest) & (smooth > 0))[:, middle, middle]
        box, row, col = np.nonzero(top)
        found.append(some[box] + np.column_stack([row, col]) - half)
        heights.append(smooth[box, row + half, col + half])
    summits = np.concatenate(found)
    _, once = np.unique(summits[:, 0] * extended.shape[1] + summits[:, 1], return_index=True)
    return summits[once], np.concatenate(heights)[once]


@cache
def _smoothed_point(half: int) -> float:
    """Height of a single activation of one, lightly smoothed."""
    point = np.zeros((2 * half + 1,) * 2)
    point[half, half] = 1
    return float(ndimage.gaussian_filter(point, SMOOTHING, mode="constant")[half, half])


def _reach(summits: NDArray[np.intp]) -> float:
    if len(summits) < 2:
        return SPARSE_REACH
    nearest = np.asarray(spatial.KDTree(summits).query(summits, 2)[0])[:, 1]
    return SPARSE_REACH if np.percentile(nearest, 10) > 2 * SPARSE_REACH else REACH


def typical_amplitude(amplitudes: Real, power: int = 2) -> float:
    """Amplitude above which half of the sum of their powers lies: the many weak ones hardly count.

    Examples
    --------
    >>> typical_amplitude(np.array([0.01] * 50 + [2.0, 2.1, 2.2]))
    2.1
    """
    size = np.sort(np.abs(amplitudes))[::-1]
    if not len(size):
        return 0.0
    held = np.cumsum(size.astype(float) ** power)
    return float(size[np.searchsorted(held, held[-1] / 2)])


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
        usual, spread = _usual(size)
        if np.isfinite(spread):
            odd[here] = size < min(ALIKE * usual, usual - FAR * spread)
    return odd


def _usual(sizes: Real) -> tuple[float, float]:
    """Median and deviation of those that are not weak; the latter infinite for less than eight."""
    strong = sizes[sizes >= typical_amplitude(sizes) / 2]
    if len(strong) < FEWEST_ALIKE:
        return 0.0, np.inf
    return float(np.median(strong)), robust_std(strong)


def shadowed(table: Columns, cores: Sequence[tuple[Real, float]]) -> NDArray[np.bool_]:
    """Which rows sit on a defect much stronger: they correct what the model leaves of it.

    No two defects are wholly alike, so that the strongest leave a misfit which passes for weak ones. `cores`
    are centre and radius of each type's kernel, see `core`.
    """
    kinds, size = np.asarray(table["type"], int), np.abs(np.asarray(table["amplitude"], float))
    hidden = np.zeros(len(kinds), bool)
    if not len(kinds):
        return hidden
    places = np.column_stack([table["row"], table["col"]]) + np.array([centre for centre, _ in cores])[kinds]
    reach = np.array([radius for _, radius in cores])[kinds]
    near = spatial.KDTree(places).query_pairs(reach.max(), output_type="ndarray")
    for strong, weak in (near.T, near.T[::-1]):
        inside = np.linalg.norm(places[strong] - places[weak], axis=1) <= reach[strong]
        hidden[weak[inside & (SHADOW * size[weak] <= size[strong])]] = True
    return hidden


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
    energy = np.maximum(energy - np.median(energy), 0)
    total = energy.sum()
    if not total > 0:
        return np.zeros(2), 0.0
    places = np.indices(energy.shape) - np.reshape([(n - 1) // 2 for n in energy.shape], (2, 1, 1))
    centre = (places * energy).sum((1, 2)) / total
    apart = np.square(places - centre[:, None, None]).sum(0)
    held = np.cumsum(energy.ravel()[np.argsort(apart, axis=None)])
    return centre, float(np.sqrt(np.sort(apart, axis=None)[np.searchsorted(held, CORE * total)]))


def chosen_rows(table: pd.DataFrame, snr: float, strength: float, outside: bool = False) -> pd.DataFrame:
    """The candidates that are defects by these thresholds, by type and falling amplitude.

    Parameters
    ----------
    table : pandas.DataFrame
        See `candidate_table`.
    snr, strength : float
        Smallest amplitude over its standard error, and over the typical one of the type. Below the default
        strength odd ones are listed, too.
    outside : bool
        Whether those outside the frame are listed, too; they have a column of their own then.
    """
    column = {name: table[name].to_numpy() for name in ("snr", *CANDIDATE_COLUMNS)}
    real = (column["snr"] >= snr) & (column["strength"] >= strength) & (outside | ~column["outside"])
    if strength >= WEAKEST:
        real &= ~column["odd"]
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
        of the model) and outside (of the frame).
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
            errors[~strong] = standard_errors(found, kernel, mask, float(levels[kind]), neighbours)[~strong]
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
    odd = shadowed(table, [core(kernel) for kernel in kernels])
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
        "outside": np.any((centres < -0.5) | (centres > np.array(shape) - 0.5), axis=1),
    }
