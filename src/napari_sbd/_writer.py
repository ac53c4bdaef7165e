"""Save the selected layers of a recovery as ``.sbd.h5``: what napari calls from its File menu."""

from __future__ import annotations

from typing import Any

from napari_sbd.io.recovery_file import save, with_ending
from napari_sbd.layers import looks_of, recovery_of
from napari_sbd.layers.result import LayerData


def write_recovery(path: str, layers: list[LayerData]) -> list[str]:
    """Save the one recovery to which the layers belong, whichever of them are selected.

    Parameters
    ----------
    path : str
    layers : list of tuple
        (data, attributes, layer type).

    Returns
    -------
    list of str
        The file that was written.

    Raises
    ------
    RuntimeError
        If the layers belong to no recovery, or to several.
    """
    recovery = _only_recovery(layers)
    place = with_ending(path)
    if str(place) != str(path) and place.exists():
        # Whoever was asked about replacing a file was asked about another name.
        raise FileExistsError(f"{place} exists already: give its whole name to replace it")
    looks, others = looks_of(recovery, layers)
    save(recovery, place, looks)
    if others:
        names, verb = ", ".join(others), "is" if len(others) == 1 else "are"
        _warn(f"{names} {verb} not in {place.name}: it holds the recovery of {recovery.source.name} only")
    return [str(place)]


def _warn(text: str) -> None:
    """Say it in the window: napari hides ordinary warnings of a writer."""
    from napari.utils.notifications import show_warning

    show_warning(text)


def _only_recovery(layers: list[LayerData]) -> Any:
    # Not ValueError, which napari takes for “cannot write this kind of file” and does not show.
    owners = {
        id(found): found for _, attributes, _ in layers if (found := recovery_of(attributes["metadata"]))
    }
    if not owners:
        raise RuntimeError(
            "none of these layers is the result of a recovery: select such as “· kernel” or “· defects”"
        )
    if len(owners) > 1:
        names = ", ".join(str(a["name"]) for _, a, _ in layers if recovery_of(a["metadata"]))
        raise RuntimeError(f"{names} are of {len(owners)} recoveries: select the layers of one of them")
    return next(iter(owners.values()))
