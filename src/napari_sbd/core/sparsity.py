"""The sparsity penalty λ from the data: its scale λ_max, and where the continuation ends."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.noise import noise_floor, robust_std, sampled, whiteness
from napari_sbd.core.objective import Objective

Real = NDArray[np.floating]

# Above this fraction of λ_max a kernel's matched filter is full of defects and tells nothing about noise.
FILLED = 0.35
DENSE_LIMITS = (0.02, 0.1)
LARGEST_LAST = 0.7
# Final λ over the level that noise alone reaches; dense images in white noise allow the smaller one.
CAUTIOUS, BOLD = 1.0, 0.5
FILTERED_SHARE = 0.5  # of the matched filter's level, whose output holds defects, too
# Level that noise alone reaches over λ_max, above which dense images need the larger λ, too.
NOISY = 0.08
# Deviation of a residual over that of its pixel noise, above which structure is left in it.
STRUCTURED = 1.3
LARGEST_CAUTIOUS = 0.15
THINNED = (
    3  # of the values of a matched filter's output, the share that is enough for its level: one in so many
)
COLOURED = 0.6  # share of the matched filter's level that stage I leaves, above which it is noise


@dataclass(frozen=True)
class Levels:
    """The penalties of one recovery, in the unit of the normalised image.

    `last` is where the continuation ends; `dense` says that defects crowd, `noisy` that noise is not small
    (see `is_noisy`), `fixed` that the user asked for `last`.
    """

    largest: float
    first: float
    last: float
    dense: bool = False
    fixed: bool = False
    noisy: bool = False


def largest_penalty(objective: Objective, kernels: Real, nonnegative: bool) -> float:
    """λ_max of one start: the smallest λ for which the activation map is empty, `max C_aᵀ(y - b)`."""
    return _largest(objective.correlation(kernels), nonnegative)


def _largest(correlation: Real, nonnegative: bool) -> float:
    top = float(correlation.max() if nonnegative else np.abs(correlation).max())
    return max(top, float(np.finfo(np.float32).tiny))


def crowding(objective: Objective, patches: list[Real], nonnegative: bool) -> float:
    """Level of the matched filter's noise as its median output suggests, over λ_max; median over patches."""
    extreme, ratios = _extreme(objective), []
    for patch in patches:
        level = extreme * robust_std(objective.filtered(patch, THINNED))
        ratios.append(level / _largest(objective.correlation(patch), nonnegative))
    return float(np.median(ratios))


def levels(
    objective: Objective,
    kernels: Real,
    largest: float,
    first: float,
    last: float | None,
    noise: float | None = None,
    rest: Real | None = None,
) -> Levels:
    """Choose the penalties, from the best kernel of stage I and the noise.

    Parameters
    ----------
    objective : Objective
        The image.
    kernels : array (types, slices, k1, k2)
        Best kernel of stage I.
    largest : float
        λ_max.
    first, last : float or None
        Fractions of λ_max that the user asks for; None leaves the last one to the data.
    noise : float, optional
        Deviation of the noise where it is known: that of an image that was whitened, as defects crowd in it.
    rest : array (slices, rows, cols), optional
        Residual of stage I, its activations debiased. Where the matched filter's output is as large on it as
        on the image, this is not defects but noise with a colour, such as a lattice's rests.

    Notes
    -----
    The largest of N normal numbers is about `√(2 ln N)` deviations: of the pixel noise, which a kernel of
    unit norm passes on, or, where noise is not white, of the matched filter's output.
    """
    top = first * largest
    if last is not None:
        return Levels(largest, top, min(last * largest, top), fixed=True)
    filtered = _filtered_level(objective, kernels)
    if rest is not None and _filtered_level(objective.of_residual(rest), kernels) > COLOURED * filtered:
        return Levels(largest, top, min(CAUTIOUS * filtered, top))
    sparse = noise is None and filtered <= FILLED * largest
    pixels = noise or (objective.pixel_noise if sparse else noise_floor(objective.data, objective.mask))
    grain = _extreme(objective) * pixels
    noisy = is_noisy(objective, pixels, largest)
    if sparse:
        end = min(max(CAUTIOUS * grain, FILTERED_SHARE * filtered), LARGEST_LAST * largest)
        return Levels(largest, top, min(end, top), noisy=noisy)
    least, most = (fraction * largest for fraction in DENSE_LIMITS)
    if noisy:
        most, share = LARGEST_CAUTIOUS * largest, CAUTIOUS
    else:
        share = BOLD
    return Levels(largest, top, min(max(share * grain, least), most, top), dense=True, noisy=noisy)


def is_noisy(objective: Objective, noise: float, largest: float) -> bool:
    """Whether noise of this deviation reaches far, so that a dense image needs the larger λ."""
    return noise_reach(objective, noise) > NOISY * largest


def noise_reach(objective: Objective, noise: float) -> float:
    """The largest that white noise of this deviation gives in a matched filter: `√(2 ln N)` deviations."""
    return _extreme(objective) * noise


def widened(found: Levels, lam: float, part: Objective, whole: Objective) -> Levels:
    """Penalties of a part at whose end λ was `lam`, for the whole image: noise reaches higher there."""
    if found.fixed:
        return found
    return replace(found, last=min(lam * _extreme(whole) / _extreme(part), found.first))


def matched_noise(objective: Objective, residual: Real, kernel: Real) -> float:
    """Deviation of the noise that an amplitude of a kernel (slices, k1, k2) meets, from a residual.

    That of a pixel where noise is white, more where it is correlated: what the matched filter makes of it.
    """
    rest = objective.of_residual(residual)
    filtered = robust_std(rest.filtered(kernel[None], THINNED))
    return max(filtered, rest.deviation)


def penalty_from_residual(residual: Real, objective: Objective, kernels: Real, levels: Levels) -> float:
    """Penalty that a residual (slices, rows, cols) asks for: what its noise alone reaches.

    Half of that where defects crowd and the residual is white; never above stage I's penalty, nor below the
    least of a dense image.
    """
    bold = levels.dense and whiteness(residual, objective.mask) <= STRUCTURED
    if bold:
        wanted = robust_std(sampled(residual, objective.mask))
        wanted *= BOLD if _extreme(objective) * wanted <= NOISY * levels.largest else CAUTIOUS
    else:
        wanted = CAUTIOUS * max(matched_noise(objective, residual, kernel) for kernel in kernels)
    wanted *= _extreme(objective)
    most = LARGEST_CAUTIOUS * levels.largest if levels.dense else levels.first
    return min(max(wanted, DENSE_LIMITS[0] * levels.largest), most, levels.first)


def _filtered_level(objective: Objective, kernels: Real) -> float:
    return _extreme(objective) * robust_std(objective.filtered(kernels))


def _extreme(objective: Objective) -> float:
    return float(np.sqrt(2 * np.log(max(2, objective.places))))
