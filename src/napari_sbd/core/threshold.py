"""The threshold of the defect table: from the noise, with the false positives that it lets through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, spatial, special

from napari_sbd.core.noise import ENOUGH, robust_std
from napari_sbd.core.objective import Objective
from napari_sbd.core.peaks import SPARSE_REACH, WEAKEST, Peaks
from napari_sbd.core.revisit import Revisit
from napari_sbd.core.sites import Sites, largest_of_neighbours
from napari_sbd.core.tiles import Tile

Real = NDArray[np.floating]

FALSE_POSITIVES = 0.1  # expected in an image, to which the default threshold is set
LOWEST_SNR, HIGHEST_SNR = 3.0, 30.0  # of thresholds; lower ones list noise by the hundred
SMALLEST_SHARE = 0.02  # of an atom's energy inside the frame, below which it cannot be known


@dataclass(frozen=True)
class Threshold:
    """What a candidate must have to stand in the table of defects.

    Parameters
    ----------
    snr : float or None
        Smallest amplitude over its standard error; None takes it from the noise.
    strength : float
        Smallest amplitude over the typical one of its type; up to the default, weaker ones that stand alone
        are listed, too, see `napari_sbd.core.alone`.
    outside : bool
        Whether defects outside the frame, seen by what reaches in, are listed.

    Raises
    ------
    ValueError
        If a number is out of its limits.

    Examples
    --------
    >>> Threshold(snr=0.5)
    Traceback (most recent call last):
    ValueError: snr must be a number from 3 to 1e+06, or None for that of the noise, not 0.5
    """

    snr: float | None = None
    strength: float = WEAKEST
    outside: bool = False

    def __post_init__(self) -> None:
        if self.snr is not None and not (_is_number(self.snr) and LOWEST_SNR <= self.snr <= 1e6):
            raise ValueError(
                f"snr must be a number from {LOWEST_SNR:g} to 1e+06, or None for that of the noise, "
                f"not {self.snr!r}"
            )
        if not (_is_number(self.strength) and 0 <= self.strength <= 1):
            raise ValueError(f"strength must be a number from 0 to 1, not {self.strength!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


@dataclass(frozen=True)
class NoiseMaxima:
    """How often noise alone reaches a height, in the output of one type's matched filter.

    Parameters
    ----------
    places : int
        Pixels at which a defect may sit.
    roughness : float
        Root of the product of the variances of the output's steps along rows and columns, over that of
        the output itself.
    both_signs : bool
        Whether minima count, too.
    """

    places: int
    roughness: float
    both_signs: bool = False

    def expected(self, snr: float) -> float:
        """Expected number of maxima of noise above so many standard errors.

        That of a smooth Gaussian field (its Euler characteristic), at most that of independent pixels.

        Examples
        --------
        >>> round(NoiseMaxima(256 * 256, 0.3).expected(4.0), 2)
        1.68
        """
        smooth = self.roughness * (2 * np.pi) ** -1.5 * snr * np.exp(-(snr**2) / 2)
        return float((1 + self.both_signs) * self.places * min(smooth, special.ndtr(-snr)))


def snr_for(fields: Sequence[NoiseMaxima], wanted: float = FALSE_POSITIVES) -> float:
    """The threshold, in standard errors, at which so many false positives are expected of all types.

    Examples
    --------
    >>> round(snr_for([NoiseMaxima(256 * 256, 0.3)]), 2)
    4.67
    """

    def excess(snr: float) -> float:
        return sum(field.expected(snr) for field in fields) - wanted

    if excess(LOWEST_SNR) <= 0:
        return LOWEST_SNR
    return float(optimize.brentq(excess, LOWEST_SNR, HIGHEST_SNR))


@dataclass(frozen=True, eq=False)
class Filtered:
    """What defects leave of the image, seen through the matched filter of one type.

    Parameters
    ----------
    field : NoiseMaxima
    left_out : Peaks
        Maxima of the filter's output where no defect is listed: centres in pixels of the frame, amplitudes
        that least squares give a single atom there. Of several types at one place the one of highest SNR.
    errors : array (n,)
        Standard errors of these amplitudes.
    """

    field: NoiseMaxima
    left_out: Peaks
    errors: Real


def filtered(
    past: Revisit, listed: Sequence[Peaks], noise: Sequence[float], both_signs: bool
) -> list[Filtered]:
    """What defects leave of the image, through the matched filter of each type, in the image's unit.

    Parameters
    ----------
    past : Revisit
    listed : sequence of Peaks
        Defects by type; activations farther from them than one defect's spread count as left over.
    noise : sequence of float
        Deviation of the noise that an amplitude of each type meets, in the image's unit.
    both_signs : bool
    """
    model, kernels = past.objective.convolution, past.found.kernels
    offset = np.array([k // 2 for k in model.kernel_shape])
    known = np.concatenate([p.centres for p in listed]) + offset
    strong = _strong(past.found.maps, known)
    summits = [_Summits.none()]
    samples = [_Sample(both_signs) for _ in kernels]
    every = max(1, past.objective.data[0].size // ENOUGH)
    scale = np.reshape(np.asarray(past.norms) / noise, (-1, 1, 1)).astype(kernels.dtype)
    slopes = past.objective.slopes(kernels, strong, halo=1)
    shares = past.objective.visible_shares(kernels, halo=1)
    for number, ((tile, around, slope), share) in enumerate(zip(slopes, shares, strict=True)):
        heights = slope * (scale / _roots(share))
        for sample, snr in zip(samples, heights, strict=True):
            sample.add(snr[_frame_of(tile, around, past.objective)], number % every == 0)
        summits.append(_summits(tile, around, heights, both_signs, share, np.asarray(noise, float)))
    found = _Summits.joined(summits)
    if len(known) and len(found.kinds):
        apart = np.asarray(spatial.KDTree(known).query(found.places)[0])
        found = found.chosen(apart > SPARSE_REACH)
    result = []
    for kind, sample in enumerate(samples):
        own = found.chosen(found.kinds == kind)
        peaks = Peaks(own.places + own.beside - offset, own.amplitudes)
        result.append(Filtered(sample.field(), peaks, own.errors))
    return result


def _roots(share: Real) -> Real:
    """Roots of the shares of atoms' energy that are seen; infinite where next to nothing is."""
    same = share[:, :1, :1] if share.strides[1] == share.strides[2] == 0 else share
    return np.asarray(np.sqrt(np.where(same > SMALLEST_SHARE, same, np.inf)))


def _strong(maps: Real, known: Real) -> Real:
    """The activations that may belong to the defects at these places, others zero."""
    sites = Sites.of(maps)
    if not len(known) or not len(sites):
        return np.zeros(maps.shape, maps.dtype)
    centres = np.clip(np.rint(known).astype(int), 0, np.array(maps.shape[1:]) - 1)
    apart = spatial.KDTree(centres).query(np.column_stack([sites.rows, sites.cols]))[0]
    return sites.write(np.where(apart <= SPARSE_REACH, sites.read(maps), 0), maps)


def _frame_of(tile: Tile, around: Tile, objective: Objective) -> tuple[slice, slice]:
    """The part of `around` that is in the tile and inside the frame."""
    spans = []
    for part, first, k, n in zip(
        (tile.rows, tile.cols),
        around.corner,
        objective.convolution.kernel_shape,
        objective.convolution.image_shape,
        strict=True,
    ):
        low, high = max(part.start, k // 2), min(part.stop, k // 2 + n)
        spans.append(slice(low - first, max(low, high) - first))
    return spans[0], spans[1]


class _Sample:
    """Values of a filter's output, from which its noise is told."""

    def __init__(self, both_signs: bool) -> None:
        self.both_signs, self.places = both_signs, 0
        self.values: list[Real] = []
        self.steps: tuple[list[Real], list[Real]] = ([], [])

    def add(self, snr: Real, kept: bool) -> None:
        """Count the places of a tile, and keep its values."""
        self.places += int(np.count_nonzero(snr != 0))
        if kept and snr.size:
            self.values.append(snr.ravel())
            for axis in range(2):
                self.steps[axis].append(np.diff(snr, axis=axis).ravel())

    def field(self) -> NoiseMaxima:
        """How often noise of this kind reaches a height."""
        variance = _joint_std(self.values) ** 2
        steps = [_joint_std(steps) ** 2 for steps in self.steps]
        roughness = float(np.sqrt(steps[0] * steps[1])) / variance if variance > 0 else 0.0
        return NoiseMaxima(self.places, roughness, self.both_signs)


def _joint_std(parts: list[Real]) -> float:
    """Robust deviation of all parts together; a single one is not copied."""
    return robust_std(parts[0] if len(parts) == 1 else np.concatenate(parts)) if parts else 0.0


@dataclass(frozen=True)
class _Summits:
    """Maxima of the filters' output: types, places (n, 2) on extended maps, how far beside; amplitudes."""

    kinds: NDArray[np.intp]
    places: NDArray[np.intp]
    beside: Real
    amplitudes: Real
    errors: Real

    @classmethod
    def none(cls) -> _Summits:
        pair = np.empty((0, 2))
        return cls(np.empty(0, np.intp), pair.astype(np.intp), pair, np.empty(0), np.empty(0))

    @classmethod
    def joined(cls, parts: Sequence[_Summits]) -> _Summits:
        names = cls.__dataclass_fields__
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def chosen(self, which: NDArray[np.bool_]) -> _Summits:
        return _Summits(*(getattr(self, name)[which] for name in self.__dataclass_fields__))


def _summits(tile: Tile, around: Tile, snr: Real, both_signs: bool, share: Real, noise: Real) -> _Summits:
    """The maxima in a tile."""
    heights = np.abs(snr) if both_signs else snr
    best = heights.max(0)[None]
    sites = largest_of_neighbours(best >= LOWEST_SNR, lambda *at: best[at])
    corner = np.array(around.corner)
    inside = Sites(sites.kinds, sites.rows + corner[0], sites.cols + corner[1]).within(tile)
    places = np.column_stack([inside.rows, inside.cols])
    here = places - corner
    kinds = heights[:, here[:, 0], here[:, 1]].argmax(0)
    at = (kinds, here[:, 0], here[:, 1])
    beside = np.empty(places.shape)
    for kind in range(len(heights)):
        own = kinds == kind
        beside[own] = _beside_summit(heights[kind], here[own])
    errors = noise[kinds] / np.sqrt(share[at].astype(float))
    return _Summits(kinds, places, beside, snr[at] * errors, errors)


def _beside_summit(heights: Real, places: NDArray[np.intp]) -> Real:
    """Where between pixels the maxima lie, by a parabola along each axis: at most half a pixel away."""
    padded = np.pad(heights, 1)
    moves = np.zeros(places.shape)
    for axis in range(2):
        step = np.eye(2, dtype=int)[axis]
        before, here, after = (padded[tuple((places + 1 + n * step).T)] for n in (-1, 0, 1))
        curve = 2 * here - before - after
        moves[:, axis] = np.where(curve > 0, (after - before) / (2 * np.where(curve > 0, curve, 1)), 0)
    return np.clip(moves, -0.5, 0.5)
