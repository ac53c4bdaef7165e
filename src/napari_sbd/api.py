"""What users import: `recover` and `iter_recover` for napari layers and arrays, and their Recovery."""

from __future__ import annotations

import operator
import os
from collections.abc import Generator, Sequence
from dataclasses import fields, replace
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core import recover as core
from napari_sbd.core.observation import Observation, narrowed, observe
from napari_sbd.core.parameters import Parameters
from napari_sbd.core.recover import State
from napari_sbd.core.recovery import Recovery as CoreRecovery
from napari_sbd.io import Channel
from napari_sbd.layers import (
    Frame,
    Source,
    energies_of,
    energy_axis,
    in_handy_unit,
    is_image,
    is_layer,
    marked,
    ready,
    source_of,
    start_of,
)
from napari_sbd.prepare import suggest
from napari_sbd.prepare.recipe import Recipe, recipe_of
from napari_sbd.results import Recovery, load

__all__ = ["ALL", "At", "Recovery", "follow", "iter_recover", "load", "read", "recover", "suggest_recipe"]

ALL = "all"
At = int | Sequence[int] | str | None

SUGGEST = "suggest"


States = Generator[State, None, Recovery]


def recover(image: Any, *, stop: Event | None = None, **options: Any) -> Recovery:
    """Recover the kernel, the activation map and the defects of an image.

    Parameters
    ----------
    image : napari layer or array-like
        See `iter_recover`.
    stop : threading.Event, optional
        Once set, the best until then is returned, marked as cancelled.
    **options
        What `iter_recover` takes.

    Returns
    -------
    Recovery

    Examples
    --------
    In napari's console::

        import napari_sbd as sbd
        sbd.recover(viewer.layers["topo"]).add_to(viewer)

    With an array:

    >>> image = np.zeros((40, 40))
    >>> image[10:13, 20:23] = image[30:33, 8:11] = [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    >>> recovery = recover(image + np.random.default_rng(0).normal(0, 0.05, image.shape), kernel_size=5)
    >>> sorted(recovery.defects["row"].round().astype(int))
    [11, 31]
    """
    recovery = None
    for state in iter_recover(image, stop=stop, **options):
        recovery = state.recovery
    assert isinstance(recovery, Recovery)
    return recovery


def iter_recover(
    image: Any,
    *,
    at: At = None,
    mask: Any = None,
    leave_out: Any = None,
    recipe: Any = None,
    start: Any = None,
    pixel_size: float | tuple[float, float] | None = None,
    unit: str | None = None,
    energies: Sequence[float] | None = None,
    energy_unit: str | None = None,
    name: str | None = None,
    stop: Event | None = None,
    **options: Any,
) -> States:
    """Recover step by step: yields its state about ten times a second, and ends with the result.

    Parameters
    ----------
    image : napari Image or Labels layer, array-like, Channel of a file or Observation
        An array is an image (rows, cols) or a stack of energies (slices, rows, cols) that share their
        defects. So is a layer with three axes whose energies are known; of other layers with more axes
        than an image, `at` chooses.
    at : int, sequence of int or "all", optional
        Index along all axes of a layer but the last two, such as ``viewer.dims.current_step[:-2]``; or
        ``"all"`` slices of a stack, as energies that share one activation map.
    mask, leave_out : layer or array-like, optional
        Pixels that count, and pixels that do not: where an array or a Labels layer is not zero, or inside the
        shapes of a Shapes layer. A Labels layer of the image's own shape is taken pixel by pixel; any other
        layer, as the viewer shows it over the image.
    recipe : Recipe, str or path, optional
        Steps that prepare the image first, as its JSON text or the path of its file, too; ``"suggest"``
        takes those that `suggest_recipe` proposes. Results lie over the image as it is given.
    start : Shapes or kernel layer, array-like or Recovery, optional
        Where to begin instead of salient patches: boxes, each round a whole defect, as the shapes of a layer
        or as corners (n, 2, 2) in pixels, ((row, col), (row, col)); a kernel, as an array or the layer of an
        earlier one; or an earlier recovery. A kernel found on one slice may start all slices of a stack.
    pixel_size : float or tuple of float, optional
        Length of a pixel (along rows, along columns); a layer's own by default, else 1.
    unit : str, optional
        Unit of length; a layer's own by default, else ``"px"``.
    energies : sequence of float, optional
        Energy of each slice; a layer's own by default.
    energy_unit : str, optional
        Their unit, such as ``"mV"``; a layer's own by default.
    name : str, optional
        What messages and layers call the image; a layer's own by default.
    stop : threading.Event, optional
        Once set, the recovery ends within one step, with the best until then; while the image is still being
        prepared, there is none, and `napari_sbd.prepare.stopping.Stopped` is raised.
    **options
        Settings, see `napari_sbd.Parameters`.

    Yields
    ------
    State
        The last one holds the Recovery, which is the generator's return value, too.

    Raises
    ------
    ValueError
        If the image, the mask or an option cannot be used; the message names it and the remedy. It comes
        before any work.

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(size=(32, 32))
    >>> [state.stage for state in iter_recover(image, kernel_size=5)][-1]
    'finished'
    """
    seen, source = read(
        image,
        at=at,
        mask=mask,
        leave_out=leave_out,
        pixel_size=pixel_size,
        unit=unit,
        energies=energies,
        energy_unit=energy_unit,
        name=name,
    )
    given = start_of(start, source, _index(at)) if is_layer(start) else start
    if recipe is not None:
        Parameters.from_options(options)  # what is wrong with them is said before the work
    chosen = suggest.suggest_recipe(seen, stop) if recipe == SUGGEST else recipe_of(recipe)
    image = ready(seen, source, chosen, given, stop)
    return follow(image.seen, image.source, stop, **image.known(), **options)


def suggest_recipe(
    image: Any, stop: Event | None = None, *, at: At = None, mask: Any = None, leave_out: Any = None
) -> Recipe:
    """Propose a recipe for an image: steps that take out what the image shows not to be its defects.

    Each fault is looked for in the image as the steps before leave it, and a step is proposed only where the
    fault is found: a clean image gets an empty recipe. Of a stack the slice in the middle decides, but for
    the lattice, which all decide.

    Parameters
    ----------
    image : napari layer, Channel, Observation or array
        As `recover` takes it.
    stop : threading.Event, optional
        Once set, an exception ends the search.
    at, mask, leave_out : optional
        Which slice of a layer, and what of it counts, as for `recover`.

    Returns
    -------
    Recipe
        Steps in the order in which they should be taken: change it, save it, or replay it on other images.

    Examples
    --------
    >>> rows, cols = np.indices((96, 96))
    >>> noise = np.random.default_rng(0).normal(size=(96, 96))
    >>> [step.operation for step in suggest_recipe(noise + 0.3 * rows + 4 * np.cos(0.9 * cols)).steps]
    ['background', 'lattice']
    """
    seen, _ = read(image, at=at, mask=mask, leave_out=leave_out)
    return suggest.suggest_recipe(seen, stop)


def read(
    image: Any,
    *,
    at: At = None,
    mask: Any = None,
    leave_out: Any = None,
    pixel_size: float | tuple[float, float] | None = None,
    unit: str | None = None,
    energies: Sequence[float] | None = None,
    energy_unit: str | None = None,
    name: str | None = None,
) -> tuple[Observation, Source]:
    """Observation and Source of an image; takes what `iter_recover` takes and raises what it raises.

    Examples
    --------
    >>> seen, source = read([[1, 2, 3], [4, 5, 6], [7, 8, 9]], name="topo")
    >>> seen.shape, source.name
    ((3, 3), 'topo')
    """
    _check_kind(image)
    if isinstance(image, Observation):
        if mask is not None or leave_out is not None:
            raise ValueError("an Observation has its own mask: give yours to observe")
        return image, _source_of_array(image.pixel_size, image.unit, name)
    if isinstance(image, Channel):
        # What the file says, unless something else is given.
        if image.pixel_size_nm and pixel_size is None and unit is None:
            pixel_size, unit = image.pixel_size_nm, "nm"
        if image.energies is not None and energies is None and image.data.ndim == 3:
            energies, energy_unit = image.energies.tolist(), energy_unit or image.energy_unit
        # In the unit in which napari shows it, so that amplitudes are the same everywhere.
        image, name = in_handy_unit(image)[0], name or image.label
    if not is_layer(image):
        if at not in (None, ALL):
            raise ValueError("at chooses a slice of a layer: index the array instead")
        source = _source_of_array(pixel_size, unit, name)
        data = image
    else:
        source = source_of(image)
        source = replace(source, unit=unit or source.unit, name=name or source.name)
        data = _plane(image, at)
    size = source.pixel_size if pixel_size is None else pixel_size
    seen = observe(data, pixel_size=size, unit=source.unit, name=source.name)
    given = {"mask": mask, "leave_out": leave_out}
    areas = {what: _area(what, area, seen, source, at) for what, area in given.items() if area is not None}
    if areas:
        inside = areas.get("mask", True) & ~areas.get("leave_out", np.False_)
        if not inside.any():
            raise ValueError(f"no pixel of {source.name} is left: mark another part of it")
        seen = narrowed(seen, inside, source.name)
    return seen, _with_energies(source, len(seen.data), energies, energy_unit)


def _check_kind(image: Any) -> None:
    """Say what helps who gives the path of a file."""
    if isinstance(image, str | os.PathLike):
        path = os.fspath(image)
        raise ValueError(f"{path} is the path of a file: give one of its channels, read({path!r})[0]")


def _with_energies(source: Source, slices: int, energies: Sequence[float] | None, unit: str | None) -> Source:
    """The source with the energies of its slices, those given before its own."""
    if energies is not None:
        if len(energies) != slices:
            raise ValueError(f"energies holds {len(energies)} numbers and {source.name} {slices} slices")
        return replace(source, **energy_axis(energies, unit or ""))
    if slices == 1:
        return replace(source, energies=(), energy_unit="")
    return source if unit is None else replace(source, energy_unit=unit)


def follow(
    seen: Observation,
    source: Source,
    stop: Event | None = None,
    recipe: str | None = None,
    frame: Frame | None = None,
    **options: Any,
) -> States:
    """Recover from an Observation; the Recovery knows its Source, and the recipe that it went through."""
    states = core.iter_recover(seen, stop=stop, **options)
    return _with_source(states, source, recipe=recipe, frame=frame)


def _with_source(states: Generator[State, None, CoreRecovery], source: Source, **kept: Any) -> States:
    for state in states:
        if state.recovery is None:
            yield state
        else:
            plain = {item.name: getattr(state.recovery, item.name) for item in fields(CoreRecovery)}
            recovery = Recovery(**plain, source=source, **kept)
            yield replace(state, recovery=recovery)
    return recovery


def _source_of_array(
    pixel_size: float | tuple[float, float] | None, unit: str | None, name: str | None
) -> Source:
    rows, cols = np.broadcast_to(1.0 if pixel_size is None else np.asarray(pixel_size, float), 2)
    unit = unit or "px"
    units = ("pixel" if unit == "px" else unit,) * 2
    return Source(name or "image", scale=(float(rows), float(cols)), units=units, unit=unit)


def _plane(layer: Any, at: At) -> Any:
    """The image of a layer; of a layer with more axes, the one at this index, or all of a stack."""
    if not is_image(layer):
        raise ValueError(f"{layer.name} is no image: choose an Image or a Labels layer")
    data = layer.data[0] if layer.multiscale else layer.data
    leading = len(data.shape) - 2 - bool(getattr(layer, "rgb", False))
    index = _index(at)
    whole = at == ALL or (at is None and bool(energies_of(layer)[0]))
    if whole and leading == 1:
        return data
    if len(index) == leading and at != ALL:
        return data[index]
    if not leading:
        raise ValueError(f"{layer.name} is one image: leave out at={at!r}")
    raise ValueError(
        f"{layer.name} holds many images, along {leading} {'axis' if leading == 1 else 'axes'}: choose one "
        f"with at=…, such as at=viewer.dims.current_step[:{leading}]"
        + (f", or at={ALL!r} for slices that share their defects" if leading == 1 else "")
    )


def _index(at: At) -> tuple[int, ...]:
    if at is None or at == ALL:
        return ()
    try:
        several = isinstance(at, Sequence) and not isinstance(at, str)
        return tuple(operator.index(n) for n in (at if several else [at]))  # type: ignore[arg-type, union-attr]
    except TypeError:
        raise ValueError(f"at must be a whole number, several, or {ALL!r}, not {at!r}") from None


def _area(what: str, area: Any, seen: Observation, source: Source, at: At) -> NDArray[np.bool_]:
    """Pixels that a mask marks."""
    found = marked(area, source, seen.shape, _index(at)) if is_layer(area) else np.asarray(area) != 0
    if found.shape not in (seen.shape, seen.data.shape):
        wanted = seen.shape if len(seen.data) == 1 else seen.data.shape
        raise ValueError(f"{what} has shape {found.shape}: it must be the image's, {wanted}")
    return found
