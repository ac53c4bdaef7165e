"""Copy as Python: the lines that repeat a recovery in napari's console."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from napari_sbd.prepare.recipe import Recipe, Step, operation


def python_lines(
    layer_name: str,
    options: dict[str, Any],
    at: Sequence[int] | int | str | None = None,
    others: Mapping[str, str] | None = None,
    recipe: Recipe | None = None,
) -> str:
    """Lines that recover from this layer with these options and add the layers.

    Parameters
    ----------
    layer_name : str
    options : dict
        Those that differ from their defaults.
    at : sequence of int, int or str, optional
        Index of the image in a layer with more axes, or "all".
    others : mapping, optional
        Names of the layers that other arguments are.
    recipe : Recipe, optional
        Taken first.

    Examples
    --------
    >>> print(python_lines("topo", {"kernel_size": (31, 31)}))
    import napari_sbd as sbd
    sbd.recover(viewer.layers["topo"], kernel_size=(31, 31)).add_to(viewer)
    """
    given = ({} if at is None else {"at": at}) | options
    arguments = [_layer(layer_name)]
    arguments += [f"{argument}={_layer(name)}" for argument, name in (others or {}).items()]
    arguments += [f"{name}={value!r}" for name, value in given.items()]
    prepared = ""
    if recipe is not None and recipe.taken:
        prepared = f"recipe = sbd.Recipe([{', '.join(map(_step, recipe.taken))}])\n"
        arguments.insert(1, "recipe=recipe")
    return f"import napari_sbd as sbd\n{prepared}sbd.recover({', '.join(arguments)}).add_to(viewer)"


def _step(step: Step) -> str:
    """A step as Python, with the settings that differ from their defaults."""
    usual = {setting.name: setting.default for setting in operation(step.operation).settings}
    changed = {name: value for name, value in step.settings.items() if value != usual[name]}
    return f"sbd.Step({', '.join([json.dumps(step.operation), *([repr(changed)] if changed else [])])})"


def _layer(name: str) -> str:
    return f"viewer.layers[{json.dumps(name, ensure_ascii=False)}]"
