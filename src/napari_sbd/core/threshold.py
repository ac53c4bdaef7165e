"""The threshold of the defect table: from the noise, with the false positives that it lets through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, optimize, spatial, stats

from napari_sbd.core.defects import SPARSE_REACH, WEAKEST, Peaks
from napari_sbd.core.noise import robust_std
from napari_sbd.core.revisit import Revisit

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
        Smallest amplitude over the typical one of its type.
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
        return float((1 + self.both_signs) * self.places * min(smooth, stats.norm.sf(snr)))


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
    """A residual seen through the matched filter of one type.

    Parameters
    ----------
    amplitudes : array (n1 + k1 - 1, n2 + k2 - 1)
        Amplitude that least squares give a single atom at each place of the extended map.
    errors : array of the same shape
        Their standard errors; infinite where hardly anything of an atom is seen.
    field : NoiseMaxima
    """

    amplitudes: Real
    errors: Real
    field: NoiseMaxima


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
    model = past.objective.convolution
    known = np.concatenate([p.centres for p in listed]) + [k // 2 for k in model.kernel_shape]
    weak = np.where(_near(known, model.map_shape), 0, past.found.maps)
    explained = model.predict(model.kernel_spectra(past.found.kernels), model.map_spectra(weak))
    left = np.where(past.objective.mask, past.rest + model.frame(explained), 0)
    rest = past.objective.replaced(left.astype(past.objective.data.dtype))
    result = []
    for kernel, level, norm in zip(past.found.kernels, noise, past.norms, strict=True):
        share = rest.visible_share(kernel[None])[0].astype(float)
        seen = share > SMALLEST_SHARE
        share = np.where(seen, share, 1)
        amplitudes = np.where(seen, rest.correlation(kernel[None])[0] / share, 0) * norm
        errors = np.where(seen, level / np.sqrt(share), np.inf)
        field = _field(rest.convolution.on_frame(amplitudes / errors), both_signs)
        result.append(Filtered(amplitudes, errors, field))
    return result


def _near(places: Real, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels of an extended map that may belong to the defects at these places."""
    free = np.ones(shape, bool)
    if not len(places):
        return ~free
    inside = np.clip(np.rint(places).astype(int), 0, np.array(shape) - 1)
    free[tuple(inside.T)] = False
    return np.asarray(ndimage.distance_transform_edt(free) <= SPARSE_REACH)


def _field(snr: Real, both_signs: bool) -> NoiseMaxima:
    variance = robust_std(snr) ** 2
    steps = [robust_std(np.diff(snr, axis=axis)) ** 2 for axis in range(2)]
    roughness = float(np.sqrt(steps[0] * steps[1])) / variance if variance > 0 else 0.0
    return NoiseMaxima(int((snr != 0).sum()), roughness, both_signs)


def left_out(past: Revisit, seen: Sequence[Filtered], listed: Sequence[Peaks]) -> list[tuple[Peaks, Real]]:
    """Candidates that the fit left out: maxima of the filtered residual, with their errors, by type.

    Of several types at one place the one of highest SNR, none where a defect is listed already.

    Parameters
    ----------
    past : Revisit
    seen : sequence of Filtered
        The residual through each type's filter.
    listed : sequence of Peaks
        Defects of the model, by type; centres in pixels of the frame.
    """
    heights = np.array([f.amplitudes / f.errors for f in seen])
    if seen[0].field.both_signs:
        heights = np.abs(heights)
    best = heights.max(0)
    summits = np.argwhere((best == ndimage.maximum_filter(best, 3)) & (best >= LOWEST_SNR))
    kinds = heights.argmax(0)[tuple(summits.T)]
    offset = np.array([k // 2 for k in past.objective.convolution.kernel_shape])
    known = np.concatenate([p.centres for p in listed]) + offset
    if len(known) and len(summits):
        far = spatial.KDTree(known).query(summits)[0] > SPARSE_REACH
        summits, kinds = summits[far], kinds[far]
    result = []
    for kind, found in enumerate(seen):
        here = summits[kinds == kind]
        places = tuple(here.T)
        centres = here + _beside_summit(heights[kind], here) - offset
        result.append((Peaks(centres, found.amplitudes[places]), found.errors[places]))
    return result


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
