"""Machine code: functions compiled by numba at their first call, and kept on disk for the next process."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., object])


def machine_code(function: Function) -> Function:
    """The function compiled at its first call, and kept on disk where there is a place for that."""
    try:
        return _compiled(function, cache=True)
    except RuntimeError:  # no folder can be written to
        return _compiled(function, cache=False)


def _compiled(function: Function, cache: bool) -> Function:
    compile_ = njit(cache=cache, fastmath=True, error_model="numpy", nogil=True, forceinline=True)
    return cast(Function, compile_(function))
