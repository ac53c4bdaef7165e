"""What is done to every image of a batch, and the part of it that one worker does at a time."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.observation import Observation
from napari_sbd.core.parameters import Parameters
from napari_sbd.layers import Source

Stack = Literal["energies", "frames", "kernel"]
STACKS: tuple[str, ...] = get_args(Stack)
SUGGEST = "suggest"


@dataclass(frozen=True, eq=False)
class Plan:
    """What is done to every image; checked when made, and sent to the workers.

    Parameters
    ----------
    options : mapping
        Settings of the recovery.
    recipe : Recipe or str, optional
        Applied before; 'suggest' proposes one from each image.
    channel : str, optional
        Name of a file's channel.
    stack : {'energies', 'frames', 'kernel'}
        What the images of a stack have in common.
    mask, start, pixel_size, unit
        See `napari_sbd.recover`.
    out : Path, optional
        Folder for the results.
    resume : bool
        Whether results that are there already stay, if file and settings are the same.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    recipe: Any = None
    channel: str | None = None
    stack: Stack = "energies"
    mask: NDArray[np.bool_] | None = None
    start: Any = None
    pixel_size: float | tuple[float, float] | None = None
    unit: str | None = None
    out: Path | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        Parameters.from_options(dict(self.options))
        if self.stack not in STACKS:
            raise ValueError(f"stack must be {' or '.join(map(repr, STACKS))}, not {self.stack!r}")
        if self.resume and self.out is None:
            raise ValueError("resume needs the folder of the earlier results: give out, too")
        if self.mask is not None:
            object.__setattr__(self, "mask", np.asarray(self.mask) != 0)
        object.__setattr__(self, "recipe", recipe_of(self.recipe))

    @property
    def recipe_text(self) -> str:
        """The recipe as JSON, 'suggest', or empty."""
        if self.recipe is None or self.recipe == SUGGEST:
            return self.recipe or ""
        return str(self.recipe.to_json())

    def fingerprint(self, content: bytes, frame: int | None) -> str:
        """The same for the same file with the same settings, another one otherwise."""
        parameters = Parameters.from_options(dict(self.options))
        settings = {name: getattr(parameters, name) for name in parameters.__dataclass_fields__}
        del settings["device"]  # on any, the result is the same
        rest = (self.channel, self.stack, frame, self.pixel_size, self.unit, self.recipe_text, _version())
        digest = hashlib.sha256(json.dumps([settings, rest], default=str).encode())
        start = getattr(self.start, "kernels", self.start)
        for array in (self.mask, None if start is None else np.asarray(start)):
            digest.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
        digest.update(hashlib.sha256(content).digest())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Task:
    """What a worker does at a time: one image of the batch, or one stack whose frames share a kernel.

    Parameters
    ----------
    name : str
        No two tasks have the same.
    number : int
        Place of the image among those given.
    image : Path, (Observation, Source) or str
        Where it is, or the image itself, or what is wrong with it.
    frame : int, optional
        Which image of a stack.
    """

    name: str
    number: int
    image: Path | tuple[Observation, Source] | str
    frame: int | None = None

    @property
    def label(self) -> str:
        """Name, with the number of the frame."""
        return self.name if self.frame is None else frame_name(self.name, self.frame)


def frame_name(name: str, frame: int) -> str:
    """Name of a frame's result, which sorts as the frames do."""
    return f"{name}_{frame:04d}"


def recipe_of(recipe: Any) -> Any:
    """A Recipe, from itself or from its JSON file; 'suggest' and None stay.

    Raises
    ------
    ValueError, OSError
        If it is no recipe or there is no such file.
    """
    if recipe is None or hasattr(recipe, "to_json"):
        return recipe
    if isinstance(recipe, str) and recipe == SUGGEST:
        import_module("napari_sbd.prepare.suggest")
        return recipe
    if not isinstance(recipe, (str, os.PathLike)):
        raise ValueError(
            f"recipe must be a Recipe, the path of its JSON file or {SUGGEST!r}, not {type(recipe).__name__}"
        )
    place = Path(recipe).expanduser()
    if not place.is_file():
        raise FileNotFoundError(f"there is no recipe {place}: check its name and folder")
    return import_module("napari_sbd.prepare.recipe").Recipe.load(place)


def suggested(seen: Observation) -> Any:
    """Recipe proposed from the image itself."""
    return import_module("napari_sbd.prepare.suggest").suggest_recipe(seen)


def _version() -> str:
    try:
        return metadata.version("napari-sbd")
    except metadata.PackageNotFoundError:
        return "unknown"
