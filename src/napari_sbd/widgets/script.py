"""Copy as Python: the lines that repeat a recovery in napari's console."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def python_lines(
    layer_name: str,
    options: dict[str, Any],
    at: Sequence[int] | int | str | None = None,
    others: Mapping[str, str] | None = None,
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
    return f"import napari_sbd as sbd\nsbd.recover({', '.join(arguments)}).add_to(viewer)"


def _layer(name: str) -> str:
    return f"viewer.layers[{json.dumps(name, ensure_ascii=False)}]"
