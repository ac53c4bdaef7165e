"""Whether numba is at hand, whose machine code draws the places of crowded defects faster."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_sbd.core.compiled_draws import CompiledDraws

log = logging.getLogger(__name__)


@cache
def compiled_draws() -> type[CompiledDraws] | None:
    """Draws in machine code; None where numba is not installed, does not work, or is switched off.

    Compiled when this is first asked, and kept on disk for the next process. Switched off by numba's own
    `NUMBA_DISABLE_JIT=1`.
    """
    try:
        import numba

        if getattr(numba.config, "DISABLE_JIT", False):
            return None
        from napari_sbd.core.compiled_draws import CompiledDraws, compile_now

        compile_now()
    except ImportError:
        return None
    except Exception as error:  # whatever numba does not get on with here, NumPy does
        log.warning("numba is installed but does not work, places are drawn by NumPy: %s", error)
        return None
    return CompiledDraws
