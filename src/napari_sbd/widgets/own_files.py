"""napari told that files of our ending are ours, so that it opens them without asking which reader to use."""

from __future__ import annotations

from napari.settings import get_settings

from napari_sbd.io.recovery_file import ENDING

PATTERN = f"*{ENDING}"


def claim_own_files() -> None:
    """Make this package the preferred reader of its own files, unless the user has chosen another one.

    napari itself offers to open every ``.h5``, and of two readers asks the user each time.
    """
    plugins = get_settings().plugins
    if PATTERN not in plugins.extension2reader:
        plugins.extension2reader = {**plugins.extension2reader, PATTERN: "napari-sbd"}
