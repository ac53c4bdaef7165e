"""A recipe proposed from the image itself: each step only if the image shows that it is needed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import fft

from napari_sbd.core.noise import robust_std
from napari_sbd.core.observation import Observation
from napari_sbd.prepare.background import smooth_background
from napari_sbd.prepare.hum import spectrum_along
from napari_sbd.prepare.lattice import SMALLEST as LATTICE_SMALLEST
from napari_sbd.prepare.lattice import Model, fit_lattice, pursued
from napari_sbd.prepare.operation import Bool, Real, biweight, filled
from napari_sbd.prepare.recipe import Recipe, Step, operation
from napari_sbd.prepare.scars import scars_of
from napari_sbd.prepare.spikes import spikes_of
from napari_sbd.prepare.terraces import terrace_heights, terraces_of

MOST_SPIKES, MOST_SCARS = 0.01, 0.1  # shares above which they are the image, not its faults
DEGREES = (1, 2, 3)
FLATTER = 0.04  # share by which a background has to lower the deviation for each degree
ALIKE = 0.3  # correlation of the offsets of lines' halves, above which they are the lines'
OFFSETS = 0.08  # least deviation of the offsets, in deviations of the noise
HUM = 0.25  # least share of the hum in the noise
LONGER = 3.0  # times as much of it as across the lines
STEP = 4.0  # least height of a step edge in deviations of the terraces
SELECTION = 12  # highest peaks, on which the lattice's smoothness is chosen
VARIATIONS = ((0, 0), (1, 1), (2, 2), (4, 2), (4, 4), (8, 4))
JITTER = 3


def suggest(observation: Observation) -> Recipe:
    """Propose a recipe for an image.

    Each fault is looked for in the image as the steps before leave it, and a step is proposed only where the
    fault is found: a clean image gets an empty recipe. Of a stack the slice in the middle decides, but for
    the lattice, which all decide.

    Parameters
    ----------
    observation : Observation

    Returns
    -------
    Recipe

    Examples
    --------
    >>> from napari_sbd.core.observation import observe
    >>> rng = np.random.default_rng(0)
    >>> rows, cols = np.indices((96, 96))
    >>> image = rng.normal(size=(96, 96)) + 0.3 * rows + 4 * np.cos(0.9 * cols + 0.5 * rows)
    >>> [step.operation for step in suggest(observe(image)).steps]
    ['background', 'lattice']
    >>> suggest(observe(rng.normal(size=(96, 96)))).steps
    ()
    """
    state = _State(observation)
    searches: tuple[Callable[[_State], Step | None], ...] = (
        _spikes,
        _scars,
        _terraces,
        _background,
        _lattice,
        _rows,
        _columns,
        _hum,
        _columns,
        _lattice,
        _background,
    )
    for search in searches:
        state.add(search(state))
    return Recipe(tuple(state.steps))


class _State:
    """The image as it is after the steps proposed so far."""

    def __init__(self, observation: Observation) -> None:
        self.data = np.stack([filled(*pair) for pair in zip(observation.data, observation.mask, strict=True)])
        self.mask, self.pixel_size = observation.mask, observation.pixel_size
        self.steps: list[Step] = []

    @property
    def image(self) -> Real:
        return np.asarray(self.data[len(self.data) // 2])

    @property
    def inside(self) -> Bool:
        return np.asarray(self.mask[len(self.mask) // 2])

    def add(self, step: Step | None) -> None:
        if step is not None:
            done = operation(step.operation)(self.data, self.mask, pixel_size=self.pixel_size, **step.settings)
            self.data, self.mask = done.data, done.mask
            self.steps.append(step)


def _spikes(state: _State) -> Step | None:
    found, _ = spikes_of(state.image, 8.0)
    return Step("spikes") if 0 < (found & state.inside).mean() < MOST_SPIKES else None


def _scars(state: _State) -> Step | None:
    share = (scars_of(state.image, 4.0, 16, 2) & state.inside).mean()
    return Step("scars") if 0 < share < MOST_SCARS else None


def _terraces(state: _State) -> Step | None:
    """Steps that are high over what is left on the terraces once they are levelled."""
    if min(state.image.shape) < 24:
        return None
    labels = terraces_of(state.image, 6.0, 0.04)
    heights = terrace_heights(state.image, state.inside, labels)
    if len(heights) < 2:
        return None
    level = state.image - heights[labels]
    level = level - smooth_background(level[None], state.inside[None], 1)[0]
    rest = robust_std(level[state.inside])
    return Step("terraces") if np.ptp(heights) > STEP * rest else None


def _background(state: _State) -> Step | None:
    """The least degree after which higher ones flatten little more."""
    values, used = state.image, state.inside
    best, least = 0, robust_std(values[used])
    for degree in DEGREES:
        flat = values - smooth_background(values[None], used[None], degree)[0]
        deviation = robust_std(flat[used])
        if deviation < least * (1 - FLATTER) ** (degree - best):
            best, least = degree, deviation
    return Step("background", {"degree": best}) if best else None


def _rows(state: _State) -> Step | None:
    return _lines(state, "rows")


def _columns(state: _State) -> Step | None:
    return _lines(state, "columns")


def _lines(state: _State, along: str) -> Step | None:
    """Offsets that both halves of the lines agree on."""
    if any(step.operation == "lines" and step.settings["along"] == along for step in state.steps):
        return None
    turned = along == "columns"
    image, used = (part.T if turned else part for part in (state.image, state.inside))
    ordinary = np.where(used & (biweight(image - np.median(image[used]), used, 4.0) > 0), image, np.nan)
    halves = []
    for half in np.array_split(ordinary, 2, axis=1):
        steps = np.diff(half, axis=0)
        whole = np.isfinite(steps).sum(axis=1) >= 4
        halves.append(np.where(whole, _nan_median(steps), 0.0))
    common = float(np.mean(halves[0] * halves[1]))
    size = float(np.sqrt(np.mean(halves[0] ** 2) * np.mean(halves[1] ** 2)))
    noise = robust_std(np.diff(image, axis=0)[used[1:] & used[:-1]])
    if common > ALIKE * size and common > (OFFSETS * noise) ** 2:
        return Step("lines", {"along": along})
    return None


def _nan_median(steps: Real) -> Real:
    return np.array([np.median(row[np.isfinite(row)]) if np.isfinite(row).any() else 0.0 for row in steps])


def _hum(state: _State) -> Step | None:
    """Noise that is longer along the lines than across them."""
    image, used = state.image, state.inside
    if min(image.shape) < LATTICE_SMALLEST:
        return None
    along, across = (_hum_share(*pair) for pair in ((image, used), (image.T, used.T)))
    if along > HUM and along > LONGER * across:
        return Step("hum", {"along": "rows"})
    if across > HUM and across > LONGER * along:
        return Step("hum", {"along": "columns"})
    return None


def _hum_share(image: Real, used: Bool) -> float:
    centred = image - np.median(image[used])
    power, white = spectrum_along(centred, biweight(centred, used, 3.5) > 0)
    return float(power.mean() / (power.mean() + white)) if white > 0 else 0.0


def _lattice(state: _State) -> Step | None:
    """Peaks, if there are any, and as smooth amplitudes as explain the image."""
    if min(state.image.shape) < LATTICE_SMALLEST:
        return None
    model = Model()
    peaks = pursued(state.data, state.mask, model)
    if not len(peaks):
        return None
    middle = np.s_[len(state.data) // 2 : len(state.data) // 2 + 1]
    data, mask = state.data[middle], state.mask[middle]
    best, least = (0, 0, 0), np.inf
    for rows, cols in VARIATIONS:
        cost = _cost(data, mask, Model(degrees=(rows, cols)), peaks[:SELECTION])
        if cost < least:
            best, least = (rows, cols, 0), cost
    moved = _cost(data, mask, Model(degrees=best[:2], jitter=JITTER), peaks[:SELECTION])
    if moved < least:
        best = (*best[:2], JITTER)
    return Step("lattice", {"rows": best[0], "cols": best[1], "jitter": best[2]})


def _cost(data: Real, mask: Bool, model: Model, peaks: Real) -> float:
    """Bayesian information of a fit: pixels that are correlated count for less."""
    fitted = fit_lattice(data, mask, model, peaks)
    rest, used = fitted.rest[0], mask[0]
    count = int(used.sum()) / _correlated(rest * (fitted.weights[0] > 0))
    deviation = max(robust_std(rest[used]), 1e-9 * robust_std(data[0][used]), np.finfo(float).tiny)
    i, j = (n + 1 for n in model.degrees)
    numbers = 2 * len(peaks) * (i * j + 1) / 2 + (2 * sum(data.shape[1:]) if model.jitter else 0)
    return float(2 * count * np.log(deviation) + numbers * np.log(max(count, 2.0)))


def _correlated(rest: Real) -> float:
    """Number of pixels whose noise is one."""
    power = np.abs(fft.fft2(rest)) ** 2
    total = float(power.sum()) ** 2
    return float(power.size * np.sum(power**2) / total / 2) if total > 0 else 1.0


