"""A figure of a recovery as a file: PNG, SVG or PDF."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sbd.io.whole import check_place, ending_in, write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES = ("overview", "kernel", "map", "qpi")
ENDINGS = (".png", ".svg", ".pdf")
DPI = 200
# Text stays text, so that a journal's fonts can be chosen; the same result gives the same file.
STYLE: Any = {"svg.fonttype": "none", "svg.hashsalt": "napari-sbd", "pdf.fonttype": 42, "font.size": 9}
METADATA: dict[str, dict[str, Any]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}


def save_figure(recovery: Any, path: str | os.PathLike[str], what: str = "overview") -> Path:
    """Save a figure of a recovery.

    Parameters
    ----------
    recovery : Recovery
        With its source.
    path : str or path-like
        Its ending says what it becomes: ``.png`` (added where there is none), ``.svg`` or ``.pdf``.
    what : {'overview', 'kernel', 'map', 'qpi'}

    Returns
    -------
    Path
    """
    if what not in FIGURES:
        raise ValueError(f"there is no figure {what!r}: choose among {', '.join(FIGURES)}")
    place = ending_in(path, *ENDINGS)
    check_place(place)
    need_matplotlib()
    return write_whole(place, _drawn(recovery, what, place.suffix.lower()))


def need_matplotlib() -> None:
    """Raise ImportError, with the remedy, where Matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise ImportError("figures need Matplotlib: pip install 'napari-sbd[figures]'")


def _drawn(recovery: Any, what: str, ending: str) -> memoryview:
    import matplotlib as mpl

    from napari_sbd.figures import draw

    figures: dict[str, Callable[[Any], Figure]] = {
        "overview": draw.overview,
        "kernel": draw.kernels,
        "map": draw.image_with_defects,
        "qpi": draw.spectra,
    }
    memory = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure = figures[what](recovery)
        # The overview is laid out as a whole; of the others, what is empty is cut off.
        figure.savefig(
            memory,
            format=ending[1:],
            dpi=DPI,
            metadata=METADATA.get(ending),
            bbox_inches="tight",
            pad_inches=0.05,
        )
    return memory.getbuffer()
