"""A recipe proposed from the image itself: each step only if the image shows that it is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from threading import Event
from typing import Any

import numpy as np

from napari_sbd.core.noise import robust_std
from napari_sbd.core.observation import Observation
from napari_sbd.prepare.background import smooth_background
from napari_sbd.prepare.borders import widths_of
from napari_sbd.prepare.hum import spectrum_along
from napari_sbd.prepare.lattice import SMALLEST as LATTICE_SMALLEST
from napari_sbd.prepare.lattice import Model, fit_lattice, pursued
from napari_sbd.prepare.operation import SMALLEST, Bool, Real, biweight, filled, row_medians
from napari_sbd.prepare.recipe import Recipe, Step, observed, operation
from napari_sbd.prepare.scars import scars_of
from napari_sbd.prepare.spikes import spikes_of
from napari_sbd.prepare.stopping import go_on, stoppable
from napari_sbd.prepare.terraces import terrace_heights, terraces_of

MOST_SPIKES, MOST_SCARS = 0.01, 0.1  # shares above which they are the image, not its faults
CLEAR = 12.0  # deviations beyond which a spike is one without doubt
DEGREES = (1, 2, 3)
FLATTER = 0.04  # share by which a background has to lower the deviation for each degree
ALIKE = 0.3  # correlation of the offsets of lines' halves, above which they are the lines'
OFFSETS = 0.08  # least deviation of the offsets, in deviations of the noise
HUM = 0.3  # least power of the hum over that of the white noise
LONGER = 4.0  # times as much of it as across the lines
STEP = 4.0  # least height of a step edge in deviations of the terraces
NOTHING = 1e-5  # of the image's deviation, which rounding leaves
SELECTION = 8  # highest peaks, on which the lattice's smoothness is chosen
VARIATIONS = ((1, 1), (2, 2), (4, 4), (8, 4))
BETTER = 0.985  # of the deviation, below which a less smooth lattice is worth its coefficients
JITTER = 3
RESTLESS = 1.5  # deviation of lines along an edge over that of the others


def suggest_recipe(image: Any, stop: Event | None = None) -> Recipe:
    """Propose a recipe for an image.

    Each fault is looked for in the image as the steps before leave it, and a step is proposed only where the
    fault is found: a clean image gets an empty recipe. Of a stack the slice in the middle decides, but for
    the lattice, which all decide.

    Parameters
    ----------
    image : Observation or array-like
        An array is an image (rows, cols) or a stack (slices, rows, cols).
    stop : threading.Event, optional
        Once set, Stopped is raised.

    Returns
    -------
    Recipe
        Steps are in the order in which they should be taken; change it, or replay it on other images.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> rows, cols = np.indices((96, 96))
    >>> image = rng.normal(size=(96, 96)) + 0.3 * rows + 4 * np.cos(0.9 * cols + 0.5 * rows)
    >>> [step.operation for step in suggest_recipe(image).steps]
    ['background', 'lattice']
    >>> suggest_recipe(rng.normal(size=(96, 96))).steps
    ()
    """
    with stoppable(stop):
        return _suggested(observed(image))


def _suggested(observation: Observation) -> Recipe:
    state = _State(observation)
    if min(state.image.shape) < SMALLEST:
        return Recipe()
    searches: tuple[Callable[[_State], Step | None], ...] = (
        _spikes,
        _scars,
        _terraces,
        _background,
        _lattice,
        _rows,
        _scars_between_jumps,
        _columns,
        _hum,
        _columns,
        _lattice,
        _background,
        _borders,
    )
    for search in searches:
        go_on()
        state.add(search(state))
    return Recipe(tuple(state.steps))


class _State:
    """The image as it is after the steps proposed so far."""

    def __init__(self, observation: Observation) -> None:
        self.data = np.stack([filled(*pair) for pair in zip(observation.data, observation.mask, strict=True)])
        self.mask, self.pixel_size = observation.mask, observation.pixel_size
        self.steps: list[Step] = []
        self.deviation = float(self.image.std())
        self.peaks: Real = np.zeros((0, 2))
        self._hum: tuple[float, float] | None = None

    @property
    def image(self) -> Real:
        """The slice that decides."""
        return np.asarray(self.data[len(self.data) // 2])

    @property
    def inside(self) -> Bool:
        """Its mask."""
        return np.asarray(self.mask[len(self.mask) // 2])

    @property
    def hum(self) -> tuple[float, float]:
        """Power of the hum along the rows and along the columns, over that of the white noise."""
        if self._hum is None:
            image, used = self.image, self.inside
            self._hum = _hum_power(image, used), _hum_power(image.T, used.T)
        return self._hum

    def add(self, step: Step | None) -> None:
        """Take a step, if there is one."""
        if step is not None:
            self._hum = None
            # Its peaks are known already.
            if step.operation == "lattice":
                self.data = self.data - fit_lattice(self.data, self.mask, _model(step), self.peaks).waves
                self.steps.append(step)
                return
            done = operation(step.operation)(
                self.data, self.mask, pixel_size=self.pixel_size, **step.settings
            )
            self.data, self.mask = done.data, done.mask
            self.steps.append(step)


def _spikes(state: _State) -> Step | None:
    found, _ = spikes_of(state.image, CLEAR)
    return Step("spikes") if 0 < (found & state.inside).mean() < MOST_SPIKES else None


def _scars(state: _State) -> Step | None:
    share = (scars_of(state.image, 4.0, 16, 2) & state.inside).mean()
    return Step("scars") if 0 < share < MOST_SCARS else None


def _scars_between_jumps(state: _State) -> Step | None:
    """Scars that the jumps between the lines hid until they were levelled."""
    levelled = bool(state.steps) and state.steps[-1].operation == "lines"
    known = any(step.operation == "scars" for step in state.steps)
    return _scars(state) if levelled and not known else None


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
    """Offsets that both halves of the lines agree on; under a hum, which hides them, always."""
    if any(step.operation == "lines" and step.settings["along"] == along for step in state.steps):
        return None
    hum = _hum(state)
    if hum is not None and hum.settings["along"] == along:
        return Step("lines", {"along": along})
    turned = along == "columns"
    image, used = (state.image.T, state.inside.T) if turned else (state.image, state.inside)
    ordinary = np.where(used & (biweight(image - np.median(image[used]), used, 4.0) > 0), image, np.nan)
    halves = []
    for half in np.array_split(ordinary, 2, axis=1):
        steps = np.diff(half, axis=0)
        whole = np.isfinite(steps).sum(axis=1) >= 4
        halves.append(np.where(whole, row_medians(steps, np.isfinite(steps)), 0.0))
    common = float(np.mean(halves[0] * halves[1]))
    size = float(np.sqrt(np.mean(halves[0] ** 2) * np.mean(halves[1] ** 2)))
    noise = robust_std(np.diff(image, axis=0)[used[1:] & used[:-1]])
    if common > ALIKE * size and common > (OFFSETS * noise) ** 2:
        return Step("lines", {"along": along})
    return None


def _hum(state: _State) -> Step | None:
    """Noise that is longer along the lines than across them."""
    if min(state.image.shape) < LATTICE_SMALLEST:
        return None
    along, across = state.hum
    if along > HUM and along > LONGER * across:
        return Step("hum", {"along": "rows"})
    if across > HUM and across > LONGER * along:
        return Step("hum", {"along": "columns"})
    return None


def _hum_power(image: Real, used: Bool) -> float:
    centred = image - np.median(image[used])
    power, white = spectrum_along(centred, biweight(centred, used, 3.5) > 0)
    return float(power.mean() / white) if white > 0 else 0.0


def _lattice(state: _State) -> Step | None:
    """Peaks, if there are any, and as smooth amplitudes as explain the image."""
    if min(state.image.shape) < LATTICE_SMALLEST:
        return None
    if state.image.std() < NOTHING * state.deviation:
        return None
    peaks = state.peaks = pursued(state.data, state.mask, Model())
    if not len(peaks):
        return None
    for step in state.steps:
        if step.operation == "lattice":
            return step
    middle = np.s_[len(state.data) // 2 : len(state.data) // 2 + 1]
    data, mask = state.data[middle], state.mask[middle]
    best, least = Model(degrees=VARIATIONS[0]), np.inf
    for model in [Model(degrees=degrees) for degrees in VARIATIONS]:
        left = _left(data, mask, model, peaks)
        if left > BETTER * least:
            break
        best, least = model, left
    moved = replace(best, jitter=JITTER)
    if _left(data, mask, moved, peaks) < BETTER * least:
        best = moved
    return Step("lattice", {"rows": best.degrees[0], "cols": best.degrees[1], "jitter": best.jitter})


def _borders(state: _State) -> Step | None:
    """Only where a lattice was taken out: it is what creep distorts."""
    if not any(step.operation == "lattice" for step in state.steps):
        return None
    return Step("borders") if any(widths_of(state.image, state.inside, RESTLESS)) else None


def _model(step: Step) -> Model:
    return Model(degrees=(step.settings["rows"], step.settings["cols"]), jitter=step.settings["jitter"])


def _left(data: Real, mask: Bool, model: Model, peaks: Real) -> float:
    """Deviation of what the highest peaks leave."""
    return robust_std(fit_lattice(data, mask, model, peaks[:SELECTION]).rest[mask])
