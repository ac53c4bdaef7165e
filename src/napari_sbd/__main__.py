"""The command line: ``napari-sbd`` or ``python -m napari_sbd``."""

import sys

from napari_sbd.command_line import main

if __name__ == "__main__":
    sys.exit(main())
