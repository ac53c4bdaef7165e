"""Make the README's picture: the sample of isolated defects after Recover was pressed."""

from __future__ import annotations

from pathlib import Path

import window

PICTURE = Path(__file__).parents[1] / "docs" / "window.png"


def main() -> None:
    viewer, dock, widget = window.open_viewer("isolated")
    recovery = window.recover(dock, widget)
    print(f"==> {recovery.summary}")
    print(f"==> Picture of the window: {window.save_picture(viewer, PICTURE)}")
    viewer.close()


if __name__ == "__main__":
    main()
