"""The one error that reading a file raises."""

from __future__ import annotations

from pathlib import Path

AGAIN = "copy it from the instrument again"


class ReadError(ValueError):
    """A file cannot be read: it is missing, cut off, of another kind, damaged, or holds no image.

    The message names the file, what is wrong, and what helps.

    Examples
    --------
    >>> str(ReadError("topo.sxm", "is empty", AGAIN))
    'topo.sxm is empty: copy it from the instrument again'
    """

    def __init__(self, path: str | Path, problem: str, remedy: str = AGAIN) -> None:
        super().__init__(f"{Path(path).name} {problem}: {remedy}")
