"""Which recovery a layer belongs to."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from napari_sbd.layers.source import NAMESPACE


class Handle(str):
    """Name of a recovery, kept in its layers' metadata, by which the recovery itself can be had.

    It lives as long as one of the layers does. To whatever writes or copies metadata it is plain text, so
    that no other plugin meets an object that it cannot store.

    Parameters
    ----------
    recovery : Recovery

    Examples
    --------
    >>> import json
    >>> handle = Handle("a recovery")
    >>> handle.recovery, json.dumps(handle) == json.dumps(str(handle))
    ('a recovery', True)
    """

    __slots__ = ("recovery",)

    recovery: Any

    def __new__(cls, recovery: Any) -> Handle:
        """Make up a name."""
        made = super().__new__(cls, uuid4().hex)
        made.recovery = recovery
        return made

    def __copy__(self) -> Handle:
        return self

    def __deepcopy__(self, memo: Any) -> Handle:
        return self

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return str, (str(self),)


def recovery_of(metadata: Any) -> Any:
    """The recovery that the layer with this metadata belongs to, or None."""
    handle = handle_in(metadata)
    return None if handle is None else handle.recovery


def handle_in(metadata: Any) -> Handle | None:
    """The handle that a layer's metadata holds, or None."""
    own = metadata.get(NAMESPACE) if isinstance(metadata, dict) else None
    handle = own.get("recovery") if isinstance(own, dict) else None
    return handle if isinstance(handle, Handle) else None


def exchange_recovery(metadata: Any, recovery: Any) -> None:
    """Let a layer, and all that share its handle, belong to another version of their recovery."""
    handle = handle_in(metadata)
    if handle is not None:
        handle.recovery = recovery
        metadata[NAMESPACE].update(recovery.provenance())
