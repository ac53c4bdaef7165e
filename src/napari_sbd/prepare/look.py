"""A look at what a recipe does: image and Fourier transform before and after, and what each step found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.observation import Observation
from napari_sbd.prepare.operation import Bool, Outcome, Real, filled
from napari_sbd.prepare.recipe import Recipe, Step

MOST = 512  # px a side of what is looked at
LITTLE = 0.1  # %, below which pixels are counted
WHOLE_FRAME = ("crop", "resample")  # quick, and they need to know the whole image


@dataclass(frozen=True)
class Look:
    """What a recipe does to the middle of an image.

    Parameters
    ----------
    before, after : array (rows, cols)
        Masked pixels are NaN.
    found : dict
        What each step that was taken found, in words, by its place in the recipe.
    peaks : array (n, 2)
        All that were found, in cycles per pixel of `before`.
    part : bool
        Whether it is only the middle of a larger image.
    failed : int, optional
        Place of the step that cannot be taken; `problem` says why.
    problem : str
    """

    before: Real
    after: Real
    found: dict[int, str]
    peaks: Real
    part: bool = False
    failed: int | None = None
    problem: str = ""


def look(observation: Observation, recipe: Recipe, most: int = MOST) -> Look:
    """Try a recipe on an image, of a stack on the slice in the middle, on so many pixels a side at most.

    Crops and resamplings that come first see the whole image; of a larger one, the other steps see the
    middle. A step that cannot be taken ends the look.

    Parameters
    ----------
    observation : Observation
    recipe : Recipe
    most : int

    Examples
    --------
    >>> seen = Observation(np.eye(30)[None], np.ones((1, 30, 30), bool))
    >>> seen_after = look(seen, Recipe([Step("crop", {"top": 10})]))
    >>> seen_after.after.shape, seen_after.found
    ((20, 30), {0: '20 × 30 px'})
    """
    number = len(observation.data) // 2
    middle = np.s_[number : number + 1]
    seen = replace(observation, data=observation.data[middle], mask=observation.mask[middle])
    steps = [(number, step) for number, step in enumerate(recipe.steps) if step.on]
    found: dict[int, str] = {}
    peaks: list[Real] = []
    begin, part = seen, max(seen.shape) > most
    if part:
        first = 0
        while first < len(steps) and steps[first][1].operation in WHOLE_FRAME:
            first += 1
        seen, failed, problem = _taken(seen, steps[:first], found, peaks)
        if failed is not None:
            return Look(_shown(begin), _shown(begin), found, np.zeros((0, 2)), False, failed, problem)
        begin = seen = _cut(seen, most)
        # What is cut off the sides is not in the middle anyway.
        steps = [pair for pair in steps[first:] if pair[1].operation != "crop"]
    seen, failed, problem = _taken(seen, steps, found, peaks)
    return Look(
        _shown(begin), _shown(seen), found, np.concatenate(peaks or [np.zeros((0, 2))]), part, failed, problem
    )


def spectrum(image: Real) -> Real:
    """Logarithm of the Fourier transform's magnitude, q = 0 in the middle; the image's edges are faded out.

    Examples
    --------
    >>> waves = np.cos(2 * np.pi * np.arange(64) / 4)[None] * np.ones((64, 1))
    >>> row, col = np.unravel_index(spectrum(waves).argmax(), (64, 64))
    >>> int(row), int(abs(col - 32))
    (32, 16)
    """
    rows, cols = image.shape
    whole = filled(np.nan_to_num(image), np.isfinite(image))
    faded = (whole - whole.mean()) * np.hanning(rows)[:, None] * np.hanning(cols)
    magnitude = np.abs(np.fft.fftshift(np.fft.fft2(faded)))
    least = 1e-6 * float(magnitude.max()) or 1.0
    return np.asarray(np.log10(np.maximum(magnitude, least)))


def _taken(
    seen: Observation, steps: list[tuple[int, Step]], found: dict[int, str], peaks: list[Real]
) -> tuple[Observation, int | None, str]:
    """The image after these steps, or until one that cannot be taken, and what is wrong with that."""
    moved = False
    for number, step in steps:
        try:
            done = Recipe((step,)).run(seen)
        except ValueError as error:
            return seen, number, str(error).removeprefix("step 1 of the recipe: ")
        _, outcome = done.outcomes[0]
        found[number] = words(outcome, seen.shape, done.observation.shape)
        moved = moved or not np.array_equal(done.matrix, np.eye(3))
        if "peaks" in outcome.found and not moved:
            peaks.append(np.asarray(outcome.found["peaks"], float).reshape(-1, 2))
        seen = done.observation
    return seen, None, ""


def words(outcome: Outcome, before: tuple[int, ...], after: tuple[int, ...]) -> str:
    """What a step found, in a few words."""
    found: dict[str, Any] = dict(outcome.found)
    parts = []
    if before != after:
        parts.append(f"{after[0]} × {after[1]} px")
    if "peaks" in found and "shear" not in found:
        parts.append(_counted(len(found["peaks"]), "peak"))
    if "heights" in found:
        parts.append(_counted(len(found["heights"]), "terrace"))
    if "shear" in found:
        parts.append(f"shear {found['shear']:.3f}, stretch {found['stretch']:.3f}".replace("-", "−"))
    if "mask" in found:
        parts.append(_share(np.asarray(found["mask"])))
    return ", ".join(parts)


def _share(mask: Bool) -> str:
    """How much is masked: a share, or few pixels."""
    share = 100 * float(mask.mean())
    return f"{share:.2g} % masked" if share >= LITTLE else f"{int(mask.sum())} px masked"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _cut(seen: Observation, most: int) -> Observation:
    begin = [max(0, (n - most) // 2) for n in seen.shape]
    part = np.s_[:, begin[0] : begin[0] + most, begin[1] : begin[1] + most]
    return replace(seen, data=seen.data[part], mask=seen.mask[part])


def _shown(seen: Observation) -> NDArray[np.floating]:
    mask: Bool = seen.mask[0]
    return np.where(mask, seen.data[0], np.nan)
