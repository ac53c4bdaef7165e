"""From what is given to tasks: files, arrays, layers; channels by name; frames; names for results."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_sbd import api
from napari_sbd.batch.plan import Plan, Task
from napari_sbd.core.observation import Observation
from napari_sbd.export import file_name
from napari_sbd.io import CHANNEL_FORMATS, Channel, ReadError, read
from napari_sbd.io.picture import SUFFIXES, read_picture
from napari_sbd.layers import Source, is_layer, source_of

# Two of which end a name: what is before them is the name.
DOUBLE_ENDINGS = (".sbd.h5",)
COLOURS = (3, 4)
RESERVED = "summary"  # of the table of all


def read_file(path: Path) -> tuple[Channel, ...]:
    """Channels of an instrument's file or a picture; raises ReadError."""
    if path.suffix.lower() in SUFFIXES:
        return read_picture(path)
    if path.suffix.lower() not in CHANNEL_FORMATS:
        raise ReadError(
            path,
            "is of a kind that is not read here",
            f"use {', '.join((*CHANNEL_FORMATS, *SUFFIXES))}",
        )
    return read(path)


def chosen_channel(channels: Sequence[Channel], wanted: str | None, path: Path) -> Channel:
    """The channel of this name, upper or lower case; the first, which is the topograph, by default.

    Examples
    --------
    >>> channels = (Channel("Z", np.eye(4), "m"), Channel("Current", np.eye(4), "A"))
    >>> chosen_channel(channels, "current", Path("scan.sxm")).name
    'Current'
    """
    if wanted is None:
        return channels[0]
    for names in ([c.label for c in channels], [c.name for c in channels]):
        folded = [name.casefold() for name in names]
        if wanted.casefold() in folded:
            return channels[folded.index(wanted.casefold())]
    raise ReadError(
        path, f"has no channel {wanted!r}", f"choose among {', '.join(c.label for c in channels)}"
    )


def image_of_file(path: Path, plan: Plan, frame: int | None) -> tuple[Observation, Source]:
    """Image, or stack, of a file as the plan says."""
    channels = read_file(path)
    channel = chosen_channel(channels, plan.channel, path)
    energies = None if channel.energies is None else [float(energy) for energy in channel.energies]
    origin: dict[str, Any] = {"file": path.name, "channel": channel.name, "direction": channel.direction}
    if frame is not None:
        origin |= {"frame": frame, "energy": None if energies is None else energies[frame]}
        channel = replace(channel, data=channel.data[frame], energies=None)
    else:
        origin["energies"] = energies
    origin["energy_unit"] = channel.energy_unit
    name = path.stem if len(channels) == 1 else f"{path.stem} · {channel.label}"
    seen, source = _observed(channel, plan, frame, name if frame is None else f"{name} [{frame}]")
    return seen, replace(source, origin=origin)


def tasks_of(images: Any, plan: Plan) -> list[Task]:
    """Tasks of all images; one that cannot be used becomes a task that says so.

    Examples
    --------
    >>> [task.label for task in tasks_of({"topo": np.eye(8)}, Plan())]
    ['topo']
    """
    given = _listed(images)
    names = _unique([_folder_and_name(name, image, n) for n, (name, image) in enumerate(given)])
    tasks = []
    for number, (name, (_, image)) in enumerate(zip(names, given, strict=True)):
        try:
            tasks += _tasks(name, number, image, plan)
        except (ValueError, TypeError, OSError) as error:
            tasks.append(Task(name, number, str(error)))
    return tasks


def _listed(images: Any) -> list[tuple[str | None, Any]]:
    if isinstance(images, Mapping):
        return [(str(name), image) for name, image in images.items()]
    if isinstance(images, (str, os.PathLike, Channel, Observation)) or is_layer(images):
        images = [images]
    if isinstance(images, np.ndarray) and images.ndim < 4:
        raise ValueError(
            f"images must be several, and this is one array of shape {images.shape}: give [image], or "
            "list(stack) for the frames of a stack"
        )
    if not isinstance(images, Iterable):
        raise ValueError(f"images must be files, arrays or layers, not {type(images).__name__}")
    listed: list[tuple[str | None, Any]] = [(None, image) for image in images]
    if not listed:
        raise ValueError("there are no images: give at least one")
    return listed


def _folder_and_name(name: str | None, image: Any, number: int) -> tuple[str, str, str]:
    """Folder, stem and ending of a file; of other images, the name only."""
    if isinstance(image, (str, os.PathLike)):
        path = Path(image)
        ending = next((end for end in DOUBLE_ENDINGS if path.name.lower().endswith(end)), path.suffix)
        stem = path.name[: len(path.name) - len(ending)] if ending else path.name
        return path.parent.name, name or stem, ending.lstrip(".").lower()
    return "", str(name or getattr(image, "label", None) or getattr(image, "name", f"image {number}")), ""


def _unique(parts: list[tuple[str, str, str]]) -> list[str]:
    """Names as short as they can be without two being equal, on any system."""
    kinds: tuple[Callable[[str, str, str], str], ...] = (
        lambda folder, stem, ending: stem,
        lambda folder, stem, ending: f"{stem}_{ending}" if ending else stem,
        lambda folder, stem, ending: f"{folder}_{stem}_{ending}".strip("_"),
    )
    names = [""] * len(parts)
    todo = list(range(len(parts)))
    for kind in kinds:
        tried = {n: file_name(kind(*parts[n])) for n in todo}
        many = Counter(name.casefold() for name in (*tried.values(), *filter(None, names), RESERVED))
        for n in list(todo):
            if many[tried[n].casefold()] == 1:
                names[n] = tried[n]
                todo.remove(n)
    for n in todo:
        base, count = file_name(kinds[0](*parts[n])), 2
        taken = {name.casefold() for name in names}
        while f"{base} {count}".casefold() in taken:
            count += 1
        names[n] = f"{base} {count}"
    return names


def _tasks(name: str, number: int, image: Any, plan: Plan) -> list[Task]:
    if isinstance(image, (str, os.PathLike)):
        path = Path(image).expanduser()
        if plan.stack != "frames":
            return [Task(name, number, path)]
        # Only counted here: the workers read their frames themselves.
        shape = chosen_channel(read_file(path), plan.channel, path).data.shape
        frames = range(shape[0]) if _is_stack(shape) else [None]
        return [Task(name, number, path, frame) for frame in frames]
    data = image.data if is_layer(image) or isinstance(image, (Channel, Observation)) else image
    shape = np.shape(data)
    rgb = bool(getattr(image, "rgb", False))
    if plan.stack != "frames" or rgb or not _is_stack(shape):
        return [Task(name, number, _observed(image, plan, None, name))]
    return [_frame_task(name, number, image, plan, frame) for frame in range(shape[0])]


def _is_stack(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[-1] not in COLOURS


def _frame_task(name: str, number: int, image: Any, plan: Plan, frame: int) -> Task:
    try:
        return Task(name, number, _observed(image, plan, frame, f"{name} [{frame}]"), frame)
    except (ValueError, TypeError) as error:
        return Task(name, number, str(error), frame)


def _observed(image: Any, plan: Plan, frame: int | None, name: str) -> tuple[Observation, Source]:
    """Observation and Source, checked."""
    mask = plan.mask
    if frame is not None and mask is not None and mask.ndim == 3:
        mask = mask[frame]
    size: dict[str, Any] = {"pixel_size": plan.pixel_size, "unit": plan.unit}
    if isinstance(image, Observation):
        if frame is not None:
            one = slice(frame, frame + 1)
            image = Observation(image.data[one], image.mask[one], image.pixel_size, image.unit)
        return api.read(image, mask=mask, name=name)
    if not is_layer(image):
        if isinstance(image, Channel):
            data = image.data if frame is None or image.data.ndim == 2 else image.data[frame]
            image = replace(image, data=data)
        elif frame is not None:
            image = image[frame]
        return api.read(image, mask=mask, name=name, **size)
    if frame is not None:
        return api.read(image, at=frame, mask=mask, name=name, **size)
    if np.ndim(image.data) == 2 or getattr(image, "rgb", False):
        return api.read(image, mask=mask, name=name, **size)
    # A stack of energies: the layer says where it lies.
    source = replace(source_of(image), name=name, unit=plan.unit or source_of(image).unit)
    given = source.pixel_size if plan.pixel_size is None else plan.pixel_size
    seen, _ = api.read(image.data, mask=mask, name=name, pixel_size=given, unit=source.unit)
    return seen, source
