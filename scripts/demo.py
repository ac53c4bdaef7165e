"""Open napari with a sample image, press Recover, and show what comes back."""

from __future__ import annotations

import argparse

import napari
import window


def main() -> None:
    options = parse_arguments()
    print("==> Opening napari with the sample of isolated defects and the widget", flush=True)
    viewer, dock, widget = window.open_viewer("isolated")
    print("==> Pressing Recover", flush=True)
    recovery = window.recover(dock, widget)
    print(f"==> {len(recovery.defects)} defects; the first of them:")
    print(recovery.defects.head().to_string(index=False), flush=True)
    if options.picture:
        print(f"==> Picture of the window: {window.save_picture(viewer, options.picture)}", flush=True)
        viewer.close()
    else:
        print("==> The window stays open until it is closed", flush=True)
        napari.run()


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", metavar="PATH", help="save a picture of the window there and end")
    return parser.parse_args()


if __name__ == "__main__":
    main()
