"""Whether numba is at hand, whose machine code does faster what takes longest where defects crowd."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_sbd.core.board import Board, Groups
    from napari_sbd.core.compiled_draws import CompiledDraws
    from napari_sbd.core.moves import Moves, Odds, Rules

log = logging.getLogger(__name__)


@cache
def compiled_draws() -> type[CompiledDraws] | None:
    """Draws in machine code; None where numba is not installed, does not work, or is switched off.

    Compiled when this is first asked, and kept on disk for the next process. Switched off by numba's own
    `NUMBA_DISABLE_JIT=1`.
    """
    module = _compiled("compiled_draws", "places are drawn")
    return None if module is None else module.CompiledDraws


@cache
def compiled_moves() -> Callable[[Board, Groups, Odds, Rules], Moves] | None:
    """The best moves in machine code, or None, as `compiled_draws`."""
    module = _compiled("compiled_moves", "defects are moved")
    return None if module is None else module.best_moves


def _compiled(name: str, what: str) -> ModuleType | None:
    """A module of machine code that is tried once, for `what` NumPy does otherwise."""
    try:
        import numba

        if getattr(numba.config, "DISABLE_JIT", False):
            return None
        module = import_module(f"napari_sbd.core.{name}")
        module.compile_now()
    except ImportError:
        return None
    except Exception as error:  # whatever numba does not get on with here, NumPy does
        log.warning("numba is installed but does not work, %s by NumPy: %s", what, error)
        return None
    return module
