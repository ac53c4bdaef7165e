"""Ready: an image as it is recovered from, prepared by a recipe or as it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from threading import Event
from typing import Any

import numpy as np

from napari_sbd.core.observation import Observation
from napari_sbd.layers.frame import Frame, overlaid_source, straight_source
from napari_sbd.layers.result import LayerData
from napari_sbd.layers.slots import suffix_of
from napari_sbd.layers.source import NAMESPACE, Source
from napari_sbd.prepare.recipe import Prepared, Recipe

PREPARED = "prepared"


@dataclass(frozen=True)
class Ready:
    """An image that a recovery can begin with, and where its pixels come from.

    Parameters
    ----------
    seen : Observation
    source : Source
        Lies over the image as it was given.
    start : object
        What the recovery starts from, in the pixels of `seen`.
    recipe : str, optional
        JSON text of the recipe that was taken; None for the image as it is.
    frame : Frame, optional
        Where its pixels lie in the image given; None if that is where they are.
    """

    seen: Observation
    source: Source
    start: Any = None
    recipe: str | None = None
    frame: Frame | None = None

    def known(self) -> dict[str, Any]:
        """What a recovery is told besides image and source."""
        return {"start": self.start, "recipe": self.recipe, "frame": self.frame}


def ready(
    seen: Observation, source: Source, recipe: Recipe, start: Any = None, stop: Event | None = None
) -> Ready:
    """Take the steps of a recipe; without any, the image stays as it is.

    Parameters
    ----------
    seen : Observation
    source : Source
    recipe : Recipe
    start : object
        As `iter_recover` takes it; boxes are in the pixels of the image given.
    stop : threading.Event, optional
        Once set, Stopped is raised.

    Examples
    --------
    >>> from napari_sbd.prepare.recipe import Step
    >>> seen = Observation(np.ones((1, 20, 20)), np.ones((1, 20, 20), bool))
    >>> done = ready(seen, Source("topo"), Recipe([Step("crop", {"top": 4})]), [[[5, 5], [9, 9]]])
    >>> done.seen.shape, done.source.translate, done.start.tolist()
    ((16, 20), (4.0, 0.0), [[[1.0, 5.0], [5.0, 9.0]]])
    """
    if not recipe.taken:
        return Ready(seen, source, start)
    done = recipe.run(seen, stop)
    frame, new = frame_of(seen, done), done.observation
    # The colours of the raw image do not suit what is left of it.
    placed = replace(source, contrast_limits=None)
    if frame is not None:
        placed = overlaid_source(placed, frame, new.pixel_size)
        start = _boxes_within(start, frame)
    return Ready(new, placed, start, recipe.to_json(), frame)


def frame_of(seen: Observation, done: Prepared) -> Frame | None:
    """Where the pixels of a prepared image lie; None if each stayed in its place."""
    if done.observation.shape == seen.shape and np.array_equal(done.matrix, np.eye(3)):
        return None
    return Frame(tuple(tuple(row) for row in done.matrix.tolist()), seen.pixel_size)


def prepared_layer(seen: Observation, source: Source, recipe: Recipe, existing: set[str]) -> LayerData:
    """Layer of the image as a recipe prepares it; what is masked is NaN, which the viewer leaves clear.

    Parameters
    ----------
    seen : Observation
        The image as it was given.
    source : Source
    recipe : Recipe
    existing : set of str
        Names that are taken.
    """
    done = recipe.run(seen)
    frame, new = frame_of(seen, done), done.observation
    placed = source if frame is None else straight_source(source, frame, new.pixel_size)
    data = np.where(new.mask, new.data, np.nan)
    stacked = len(data) > 1
    own = {"role": PREPARED, "source": source.name, **source.origin, "recipe": recipe.to_json()}
    attributes = placed.placed(stacked=stacked) | {
        "name": _free_name(f"{source.name} · {PREPARED}", existing),
        "colormap": source.colormap,
        "contrast_limits": _limits(data),
        "metadata": {NAMESPACE: own},
    }
    return data if stacked else data[0], attributes, "image"


def _boxes_within(start: Any, frame: Frame) -> Any:
    """Boxes in the pixels of the prepared image; kernels and recoveries stay as they are."""
    if start is None or hasattr(start, "kernels"):
        return start
    given = np.asarray(start, float)
    return frame.prepared(given) if given.ndim == 3 and given.shape[1:] == (2, 2) else start


def _free_name(name: str, existing: set[str]) -> str:
    number = 1
    while name + suffix_of(number) in existing:
        number += 1
    return name + suffix_of(number)


def _limits(data: Any) -> tuple[float, float]:
    """Grey values from nearly the lowest to nearly the highest."""
    low, high = (float(value) for value in np.nanpercentile(data, (0.1, 99.9)))
    return (low, high) if high > low else (low, low + 1.0)
