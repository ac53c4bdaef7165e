"""Recipe: operations in their order, with their settings; it is JSON, and can be replayed on any image."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from napari_sbd.core.observation import Observation, observe
from napari_sbd.prepare import (
    background,
    borders,
    crop,
    drift,
    hum,
    lattice,
    lines,
    resample,
    scars,
    spikes,
    terraces,
)
from napari_sbd.prepare.operation import Operation, Outcome, Real, unmoved
from napari_sbd.prepare.stopping import go_on, stoppable

FORMAT, VERSION = "napari-sbd recipe", 1

# In the order in which they are usually taken.
_ALL = (
    crop.OPERATION,
    resample.OPERATION,
    spikes.OPERATION,
    scars.OPERATION,
    terraces.OPERATION,
    background.OPERATION,
    lines.OPERATION,
    drift.OPERATION,
    lattice.OPERATION,
    hum.OPERATION,
    borders.OPERATION,
)


def operations() -> tuple[Operation, ...]:
    """All operations, in the order in which they are usually taken.

    Examples
    --------
    >>> [operation.name for operation in operations()][:4]
    ['crop', 'resample', 'spikes', 'scars']
    """
    return _ALL


def operation(name: str) -> Operation:
    """The operation of this name.

    Raises
    ------
    ValueError
        If there is none; the message names the nearest one.

    Examples
    --------
    >>> operation("latice")
    Traceback (most recent call last):
    ValueError: unknown operation 'latice': did you mean 'lattice'?
    """
    for known in _ALL:
        if known.name == name:
            return known
    names = [known.name for known in _ALL]
    near = difflib.get_close_matches(str(name), names, 1)
    remedy = f"did you mean {near[0]!r}?" if near else "the operations are " + ", ".join(names)
    raise ValueError(f"unknown operation {name!r}: {remedy}")


@dataclass(frozen=True)
class Step:
    """One operation with its settings; checked when made.

    Parameters
    ----------
    operation : str
        Its name.
    settings : dict
        Those that are given; the others have their defaults, and all are filled in.
    on : bool
        Whether the step is taken.

    Examples
    --------
    >>> Step("background", {"degree": 2}).settings
    {'degree': 2}
    """

    operation: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    on: bool = True

    def __post_init__(self) -> None:
        known = operation(self.operation)
        if not isinstance(self.settings, Mapping):
            raise ValueError(f"{self.operation}: settings must be names with values, not {self.settings!r}")
        if not isinstance(self.on, bool):
            raise ValueError(f"{self.operation}: on must be true or false, not {self.on!r}")
        object.__setattr__(self, "settings", known.checked(self.settings))

    def __hash__(self) -> int:
        return hash((self.operation, tuple(self.settings.items()), self.on))


@dataclass(frozen=True)
class Prepared:
    """An Observation that went through a recipe, and what each step found on the way.

    Parameters
    ----------
    observation : Observation
    outcomes : tuple of (Step, Outcome)
        The steps that were taken, in their order.
    matrix : array (3, 3)
        Takes (row, col, 1) of the prepared image's pixels to those of the image given.
    """

    observation: Observation
    outcomes: tuple[tuple[Step, Outcome], ...]
    matrix: Real

    def original(self, points: Any) -> Real:
        """Positions (n, 2) of the prepared image, in pixels, as positions in the image given.

        Examples
        --------
        >>> done = Recipe([Step("crop", {"top": 3})]).run(np.eye(20))
        >>> done.original([[0.0, 5.0]]).tolist()
        [[3.0, 5.0]]
        """
        given = np.asarray(points, float).reshape(-1, 2)
        return np.asarray(given @ self.matrix[:2, :2].T + self.matrix[:2, 2])


@dataclass(frozen=True)
class Recipe:
    """Steps in their order; never changed once made.

    Parameters
    ----------
    steps : sequence of Step

    Raises
    ------
    ValueError
        If a step or a setting does not exist or a value is out of its limits; the message names the step.

    Examples
    --------
    >>> rows, cols = np.indices((32, 32))
    >>> recipe = Recipe([Step("background", {"degree": 1})])
    >>> bool(abs(recipe.apply(2.0 * rows + cols).data).max() < 1e-3)
    True
    >>> Recipe.from_json(recipe.to_json()) == recipe
    True
    """

    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        steps = tuple(self.steps)
        for number, step in enumerate(steps, 1):
            if not isinstance(step, Step):
                raise ValueError(f"step {number} of the recipe must be a Step, not {step!r}")
        object.__setattr__(self, "steps", steps)

    @property
    def taken(self) -> tuple[Step, ...]:
        """The steps that are on."""
        return tuple(step for step in self.steps if step.on)

    def apply(self, image: Any) -> Observation:
        """The Observation, or the image given as an array, after all steps."""
        return self.run(image).observation

    def run(self, image: Any, stop: Event | None = None) -> Prepared:
        """Take all steps; what each found comes along.

        Parameters
        ----------
        image : Observation, Channel or array-like
        stop : threading.Event, optional
            Once set, Stopped is raised, also within the steps that take long.

        Raises
        ------
        ValueError
            If the image cannot be prepared that way; the message names the step.
        """
        with stoppable(stop):
            return self._run(observed(image))

    def _run(self, observation: Observation) -> Prepared:
        data, mask = observation.data, observation.mask
        matrix, size, done = unmoved(), np.array(observation.pixel_size), []
        for number, step in enumerate(self.steps, 1):
            if not step.on:
                continue
            go_on()
            try:
                found = operation(step.operation)(data, mask, pixel_size=(size[0], size[1]), **step.settings)
            except ValueError as error:
                raise ValueError(f"step {number} of the recipe: {error}") from error
            if not found.mask.any():
                raise ValueError(
                    f"step {number} of the recipe: {step.operation} leaves no pixel: change its settings"
                )
            data, mask = found.data, found.mask
            matrix, size = matrix @ found.matrix, size * found.scale
            done.append((step, found))
        pixel_size = (float(size[0]), float(size[1]))
        seen = Observation(np.where(mask, data, 0.0), mask, pixel_size, observation.unit)
        return Prepared(seen, tuple(done), matrix)

    def to_json(self) -> str:
        """The recipe as text."""
        steps = [
            {"operation": step.operation, "settings": dict(step.settings)}
            | ({} if step.on else {"on": False})
            for step in self.steps
        ]
        return json.dumps({"format": FORMAT, "version": VERSION, "steps": steps}, indent=2)

    @classmethod
    def from_json(cls, text: str | bytes) -> Recipe:
        """Recipe from text.

        Raises
        ------
        ValueError
            If the text is no recipe, or one that this version cannot follow; the message says where and why.

        Examples
        --------
        >>> Recipe.from_json('{"steps": []}')
        Traceback (most recent call last):
        ValueError: this is no recipe: 'format' must be 'napari-sbd recipe', not None
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"this is no recipe, for it is no JSON: {error}") from None
        return cls(tuple(_step(number, given) for number, given in enumerate(_steps(document), 1)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the recipe to a JSON file; an older one is replaced in one go."""
        target = Path(path)
        partial = target.with_name(target.name + ".partial")
        try:
            partial.write_text(self.to_json() + "\n", encoding="utf-8")
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recipe:
        """Recipe from a JSON file; a ValueError names the file and what is wrong with it."""
        try:
            return cls.from_json(Path(path).read_bytes())
        except ValueError as error:
            raise ValueError(f"{Path(path).name}: {error}") from None


def recipe_of(given: Any) -> Recipe:
    """A recipe from whatever a user gives as one: itself, its JSON text, the path of its file, or None.

    Raises
    ------
    ValueError
        If it is none of these; the message names the remedy.

    Examples
    --------
    >>> recipe = Recipe([Step("background")])
    >>> recipe_of(recipe.to_json()) == recipe_of(recipe) == recipe, recipe_of(None).steps
    (True, ())
    """
    if given is None:
        return Recipe()
    if isinstance(given, Recipe):
        return given
    if isinstance(given, str) and given.lstrip().startswith("{"):
        return Recipe.from_json(given)
    if not isinstance(given, (str, os.PathLike)):
        raise ValueError(f"recipe must be a Recipe, its JSON text or the path of its file, not {given!r}")
    try:
        return Recipe.load(given)
    except OSError as error:
        cause = (error.strerror or str(error)).lower()
        raise ValueError(f"recipe {os.fspath(given)} cannot be read ({cause}): check its name") from error


def observed(image: Any) -> Observation:
    """An Observation as it is, or that of a file's channel; an array, checked and made one."""
    if isinstance(image, Observation):
        return image
    if hasattr(image, "observation"):  # io, which knows channels, is no room that this one may know
        return observed(image.observation())
    if hasattr(image, "as_layer_data_tuple"):
        raise ValueError("a recipe prepares arrays and observations: give it the layer's data")
    return observe(image)


def _steps(document: Any) -> list[Any]:
    """Steps of a parsed recipe, its head checked."""
    if not isinstance(document, dict):
        raise ValueError("this is no recipe: it must be a JSON object with 'format', 'version' and 'steps'")
    if document.get("format") != FORMAT:
        raise ValueError(f"this is no recipe: 'format' must be {FORMAT!r}, not {document.get('format')!r}")
    version = document.get("version")
    if version != VERSION or isinstance(version, bool):
        raise ValueError(
            f"this recipe has version {version!r}, and this program follows version {VERSION}: "
            "use the program that made it, or a newer one"
        )
    unknown = sorted(set(document) - {"format", "version", "steps"})
    if unknown:
        raise ValueError(f"the recipe has an unknown part {unknown[0]!r}: remove it")
    if not isinstance(document.get("steps"), list):
        raise ValueError("the recipe has no list of 'steps'")
    return list(document["steps"])


def _step(number: int, given: Any) -> Step:
    if not isinstance(given, dict) or not isinstance(given.get("operation"), str):
        raise ValueError(f"step {number} of the recipe must be an object with 'operation' and 'settings'")
    unknown = sorted(set(given) - {"operation", "settings", "on"})
    if unknown:
        raise ValueError(f"step {number} of the recipe has an unknown part {unknown[0]!r}: remove it")
    try:
        return Step(given["operation"], given.get("settings", {}), given.get("on", True))
    except ValueError as error:
        raise ValueError(f"step {number} of the recipe: {error}") from None
