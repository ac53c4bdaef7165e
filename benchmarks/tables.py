"""Plain tables on stdout, row by row as results come in."""

from __future__ import annotations

from collections.abc import Sequence


class Table:
    """A table that is printed while it grows.

    Parameters
    ----------
    title : str
        Printed above.
    columns : sequence of str
        Headings; a column is as wide as its heading, or as `widths` says.
    widths : dict of str to int, optional
        Least widths of single columns.
    """

    def __init__(self, title: str, columns: Sequence[str], widths: dict[str, int] | None = None) -> None:
        self._widths = [max(len(c), (widths or {}).get(c, 0)) for c in columns]
        print(f"\n{title}\n", flush=True)
        self.row(*columns)
        self.row(*("-" * width for width in self._widths))

    def row(self, *cells: object) -> None:
        """Print one row, the first cell to the left, the others to the right."""
        texts = [str(cell) for cell in cells]
        first, *others = zip(texts, self._widths, strict=False)
        line = [first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]
        print("  ".join(line).rstrip(), flush=True)


def note(text: str) -> None:
    """Print a line below a table."""
    print(text, flush=True)
