"""Sparse blind deconvolution of STM and TEM images: what one defect looks like, and where every defect sits.

Public names are imported when they are first used, so that ``import napari_sbd`` is quick and imports
neither napari nor Qt.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sbd.api import Recovery, iter_recover, load, recover, suggest_recipe
    from napari_sbd.batch import iter_recover_many, recover_many
    from napari_sbd.core.observation import Observation, observe
    from napari_sbd.core.parameters import Parameters, settings
    from napari_sbd.core.quality import kernel_similarity
    from napari_sbd.core.recover import State
    from napari_sbd.io import Channel, ReadError, read
    from napari_sbd.prepare.recipe import Recipe, Step

_HOMES = {
    "Channel": "napari_sbd.io",
    "Observation": "napari_sbd.core.observation",
    "Parameters": "napari_sbd.core.parameters",
    "ReadError": "napari_sbd.io",
    "Recipe": "napari_sbd.prepare.recipe",
    "Recovery": "napari_sbd.api",
    "State": "napari_sbd.core.recover",
    "Step": "napari_sbd.prepare.recipe",
    "iter_recover": "napari_sbd.api",
    "iter_recover_many": "napari_sbd.batch",
    "kernel_similarity": "napari_sbd.core.quality",
    "load": "napari_sbd.api",
    "observe": "napari_sbd.core.observation",
    "read": "napari_sbd.io",
    "recover": "napari_sbd.api",
    "recover_many": "napari_sbd.batch",
    "settings": "napari_sbd.core.parameters",
    "suggest_recipe": "napari_sbd.api",
}

__all__ = [
    "Channel",
    "Observation",
    "Parameters",
    "ReadError",
    "Recipe",
    "Recovery",
    "State",
    "Step",
    "iter_recover",
    "iter_recover_many",
    "kernel_similarity",
    "load",
    "observe",
    "read",
    "recover",
    "recover_many",
    "settings",
    "suggest_recipe",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
