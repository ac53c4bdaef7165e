"""Verdicts: whether a type of defect is real, or noise, a copy, a correction of another, or a lattice."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, spatial

from napari_sbd.core.atoms import atoms_of
from napari_sbd.core.descent import Iterate
from napari_sbd.core.kernel_size import support
from napari_sbd.core.noise import grain, median, robust_std, whiteness
from napari_sbd.core.objective import Objective, misfit
from napari_sbd.core.peaks import WEAKEST, Peaks, typical_amplitude
from napari_sbd.core.quality import kernel_similarity
from napari_sbd.core.sparsity import matched_noise
from napari_sbd.core.start import coarse_energy
from napari_sbd.core.tiles import in_one_piece

Real = NDArray[np.floating]

FEWEST_DEFECTS = 3
MOST_TYPES = 6  # that are sought when their number is left to the data
ALIKE = 0.8  # similarity of two types, above which they may be one
MARGIN = 1.25  # times its price, that a further type must explain: rests of a lattice come near it
SAME = 0.9  # similarity of two kernels above which they are one
COINCIDENT = 0.5  # share of a type's defects on another's, above which it corrects that one's kernel
MISFIT = 10.0  # colour of a first type's residual, up to which it may be a crowded map's own misfit
PIXEL_PRICE = 3.0
FITTED = 3  # numbers of a defect: its place and its amplitude
SAME_PLACE = 1.5  # px
BRAGG_PEAKS = 6  # pairs of them that are looked at
FEWEST_IN_A_LATTICE = 16
PERIODIC = 0.85  # share of the power in them, above which a lattice was found
LITTLE = 0.03  # of an image's energy: a crowded one of which no more is left is explained
# The same besides noise: one right kernel, sampled, leaves .001 at 20 dB, one for two types or signs .014.
MISPLACED = 0.005
UNSURE = 0.01  # of a residual's energy, up to which noise may be mistaken
WHITE = 1.1  # deviation over that of the pixel noise, up to which a residual may be noise
OUTSTANDING = 7.0  # deviations of the local energy of a residual that noise does not reach


# What one iterate leaves of one image is judged more than once; it goes with the iterate.
_LEFT: WeakKeyDictionary[Iterate, tuple[Objective, Real]] = WeakKeyDictionary()
_NOISE: WeakKeyDictionary[Iterate, tuple[Objective, bool]] = WeakKeyDictionary()


def residual_of(objective: Objective, found: Iterate) -> Real:
    """Model less image (slices, rows, cols), the bias in closed form; not to be written to."""
    known = _LEFT.get(found)
    if known is None or known[0] is not objective:
        left = objective.left(found.kernels, found.maps)
        left.flags.writeable = False
        known = _LEFT[found] = objective, left
    return known[1]


def strong_peaks(peaks: Peaks) -> Peaks:
    """Those that may be defects: not weak against the typical one."""
    return peaks.chosen(np.abs(peaks.amplitudes) >= WEAKEST * typical_amplitude(peaks.amplitudes))


def worth(
    objective: Objective,
    before: Iterate,
    after: Iterate,
    kernels: int,
    defects: int,
    share: float = 1.0,
    white: bool = False,
) -> bool:
    """Whether the misfit falls by more than the price of new parameters, as in an information criterion.

    A defect, chosen among all places, costs `3 ln N` as in the Bayesian criterion, times the power of the
    noise that its amplitude meets over the pixels' (`colour`); a pixel of a kernel, which is not chosen,
    costs 3 (noise alone gains 1 to 1.3 a pixel).

    Parameters
    ----------
    objective : Objective
    before, after : Iterate
        Without and with what is judged.
    kernels, defects : int
        How many of them are new; a defect has a place and an amplitude.
    share : float
        Share of the price that must be reached.
    white : bool
        Whether noise counts as white, whatever its colour.
    """
    count = int(objective.counted)
    rest = residual_of(objective, after)
    old, new = _misfit(objective, before), misfit(rest)
    price = PIXEL_PRICE * kernels * after.kernels[0].size
    power = 1.0 if white else colour(objective, rest, after.kernels[-1])
    if power <= MISFIT and not before.maps.any():
        power = 1.0
    price += 3 * np.log(count) * power * defects
    # So many fitted numbers of noise leave it smaller than it is.
    free = max(count - kernels * after.kernels[0].size - FITTED * defects, 1)
    return bool(new > 0 and count * np.log(old / new * free / count) > share * price)


def description(
    objective: Objective, found: Iterate, defects: int, power: float = 1.0, types: int | None = None
) -> float:
    """Misfit and price of all kernels and defects together, by which results of several windows compare.

    The same prices as in `worth`, of a kernel's pixels only for the window that it fills; `power` is that of
    the noise that an amplitude meets, see `colour`.
    """
    count = int(objective.counted)
    rest = residual_of(objective, found)
    share = 1.0 if types is None else types / len(found.kernels)
    price = PIXEL_PRICE * share * _filled(objective, found, rest) + 3 * np.log(count) * power * defects
    return float(count * np.log(max(misfit(rest), np.finfo(float).tiny)) + price)


def _filled(objective: Objective, found: Iterate, rest: Real) -> int:
    """Pixels of the windows that the kernels fill, of all slices and types."""
    spread, extent = robust_std(rest[objective.mask]), grain(rest, objective.mask)
    pixels = 0
    for kernel, size in zip(found.kernels, np.linalg.norm(found.maps, axis=(1, 2)), strict=True):
        if size > 0:
            filled = zip(support(kernel, spread / float(size), extent), kernel.shape[1:], strict=True)
            pixels += len(kernel) * int(np.prod([min(pair) for pair in filled]))
    return pixels


def _misfit(objective: Objective, found: Iterate) -> float:
    return misfit(residual_of(objective, found)) if found.maps.any() else objective.field.energy


def colour(objective: Objective, rest: Real, kernel: Real) -> float:
    """Power of the noise that an amplitude meets, over that of the pixels: 1 where noise is white."""
    pixels = objective.of_residual(rest).deviation
    return (matched_noise(objective, rest, kernel) / pixels) ** 2 if pixels > 0 else 1.0


@dataclass(frozen=True)
class Coincidence:
    """Share of a type's defects that sit at one `offset` from those of another type, the `host`."""

    share: float = 0.0
    host: int = 0
    offset: tuple[float, float] = (0.0, 0.0)


def coincidence(new: Peaks, others: list[Peaks], window: tuple[int, int]) -> Coincidence:
    """Where most of a type's defects sit at one and the same offset from another type's."""
    best = Coincidence()
    half = np.array(window) / 2
    tree = spatial.KDTree(new.centres / half) if len(new.centres) else None
    for number, other in enumerate(others):
        if tree is None or not len(other.centres):
            continue
        pairs = tree.query_ball_tree(spatial.KDTree(other.centres / half), 1.0, p=np.inf)
        own = np.repeat(np.arange(len(pairs)), [len(its) for its in pairs])
        near = new.centres[own] - other.centres[np.concatenate([*pairs, []]).astype(int)]
        if len(near):
            crowds = np.asarray(spatial.KDTree(near).query_ball_point(near, SAME_PLACE, return_length=True))
            share = float(crowds.max()) / len(new.centres)
            if share > best.share:
                row, col = near[int(crowds.argmax())]
                best = Coincidence(share, number, (float(row), float(col)))
    return best


def are_types_of_their_own(found: Iterate) -> bool:
    """Whether every type has some defects, and is neither a copy of another nor what corrects it."""
    peaks = [strong_peaks(p) for p in atoms_of(found).peaks(found)]
    window = (found.kernels.shape[-2], found.kernels.shape[-1])
    for number, (kernel, own) in enumerate(zip(found.kernels, peaks, strict=True)):
        if len(own.amplitudes) < FEWEST_DEFECTS:
            return False
        if any(kernel_similarity(kernel, other) > SAME for other in found.kernels[:number]):
            return False
        others = peaks[:number] + peaks[number + 1 :]
        if coincidence(own, others, window).share > COINCIDENT:
            return False
    return True


def fills_a_lattice(model: Real) -> bool:
    """Whether what is explained (slices, rows, cols) repeats as a crystal does: few sharp Fourier peaks.

    Of defects that take a share p of a lattice's places at random, a share p of the power is in its Bragg
    peaks, the rest is diffuse.
    """
    shape = model.shape[1:]
    taper = np.outer(*(np.hanning(n + 2)[1:-1] for n in shape)).astype(model.dtype)
    faded = [(m - m.mean()) * taper for m in model]
    half: Real = np.asarray(sum(_power(fft.rfft2(m)) for m in faded))
    half[np.ix_([-1, 0, 1], [0, 1])] = 0
    total = 2 * float(half.sum()) - float(half[:, 0].sum())
    if shape[1] % 2 == 0:
        total -= float(half[:, -1].sum())
    if 2 * BRAGG_PEAKS * 9 * float(half.max()) <= PERIODIC * total:
        return False
    power: Real = np.asarray(sum(_power(fft.fft2(m)) for m in faded))
    power[np.ix_([-1, 0, 1], [-1, 0, 1])] = 0
    sharp = 0.0
    for _ in range(2 * BRAGG_PEAKS):
        row, col = np.unravel_index(int(power.argmax()), shape)
        here = np.ix_(*(np.arange(at - 1, at + 2) % n for at, n in zip((row, col), shape, strict=True)))
        sharp += float(power[here].sum())
        power[here] = 0
    return total > 0 and sharp > PERIODIC * total


def _power(spectra: NDArray[np.complexfloating]) -> Real:
    return np.asarray(np.square(spectra.real) + np.square(spectra.imag))


def looks_like_noise(residual: Real, mask: NDArray[np.bool_], window: tuple[int, int]) -> bool:
    """Whether a residual is white, and nowhere the energy of a window stands out of what it is elsewhere."""
    return whiteness(residual, mask) <= WHITE and _is_even(residual, mask, window)


def _is_even(residual: Real, mask: NDArray[np.bool_], window: tuple[int, int]) -> bool:
    """Whether nowhere the energy of a window stands out of what it is elsewhere."""
    energy, whole, apart = _energies(residual, mask, window)
    values = energy[whole]
    spread = robust_std(values)
    if not (values.size and spread > 0):
        return False
    limit = median(values) + OUTSTANDING * spread
    if apart == 0:
        return bool(values.max() < limit)
    # A large image has room for one or two places where two defects were taken for one.
    places = np.argwhere(whole & (energy >= limit))
    return len(set(map(tuple, places // apart))) < FEWEST_DEFECTS


def leaves_noise(objective: Objective, found: Iterate) -> bool:
    """Whether what an iterate leaves of an image looks like noise; kept with the iterate."""
    known = _NOISE.get(found)
    if known is None or known[0] is not objective:
        rest, window = residual_of(objective, found), objective.convolution.kernel_shape
        white = objective.of_residual(rest).whiteness <= WHITE
        known = _NOISE[found] = objective, white and _is_even(rest, objective.mask, window)
    return known[1]


def all_explained(objective: Objective, found: Iterate, share: float) -> bool:
    """Whether only noise is left, and what may be above it is less than a share of what is explained.

    That tells in images with little noise only: noise is known to a hundredth of its energy.
    """
    left, noise = misfit(residual_of(objective, found)), _noise(objective, found)
    above = max(left - noise, 0.0) + UNSURE * noise
    return above < share * (objective.field.energy - left) and leaves_noise(objective, found)


def little_left(objective: Objective, found: Iterate, share: float = LITTLE) -> bool:
    """Whether so little is left of a crowded image that it may be what misplaced defects leave."""
    return misfit(residual_of(objective, found)) < share * objective.field.energy


def only_misplaced(objective: Objective, found: Iterate) -> bool:
    """Whether so little is left besides noise that it is what sampled defects leave on wrong pixels."""
    above = misfit(residual_of(objective, found)) - _noise(objective, found)
    return above < MISPLACED * objective.field.energy


def share_left(objective: Objective, found: Iterate) -> float:
    """Of the image's energy besides noise, how much is left."""
    noise = _noise(objective, found)
    signal = objective.field.energy - noise
    return (misfit(residual_of(objective, found)) - noise) / signal if signal > 0 else 0.0


def _noise(objective: Objective, found: Iterate) -> float:
    """The misfit that is noise, as neighbouring pixels tell it."""
    pixel_noise = objective.of_residual(residual_of(objective, found)).pixel_noise
    return float(0.5 * int(objective.counted) * pixel_noise**2)


def _energies(
    residual: Real, mask: NDArray[np.bool_], window: tuple[int, int]
) -> tuple[Real, NDArray[np.bool_], int]:
    """Energy of windows, which of them lie inside the mask, and how far apart they have nothing in common.

    Not around every pixel. Of an image in one piece the distance is given as 0.
    """
    energy, step = coarse_energy(residual, mask, window)
    rows, cols = energy.shape
    seen: NDArray[np.bool_] = np.ones((rows, cols), bool)
    if not mask.all():
        blocks = mask[:, : rows * step, : cols * step].reshape(len(mask), rows, step, cols, step)
        seen = np.asarray(blocks.all((0, 2, 4)))
    size = [max(1, k // step) for k in window]
    whole = ndimage.uniform_filter(seen.astype(float), size=size, mode="constant") > 0.99
    small = in_one_piece(len(residual), (residual.shape[1], residual.shape[2]))
    return energy, whole, 0 if small else max(size)
