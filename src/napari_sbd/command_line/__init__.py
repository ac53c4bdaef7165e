"""The command line, one file for each command, which imports what takes long when it runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from napari_sbd.command_line import export, info, prepare, recover
from napari_sbd.command_line.common import UsageError

COMMANDS = (recover, prepare, info, export)
EPILOG = "Exit code: 0 where all went well, 1 where some files failed, 2 where the command cannot be used so."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the program by default.

    Raises
    ------
    SystemExit
        With 2, after a message, where the command cannot be used so.
    """
    parser = _parser()
    chosen = parser.parse_args(arguments)
    try:
        code: int = chosen.run(chosen)
    except UsageError as error:
        parser.exit(2, f"napari-sbd {chosen.command}: {error}\n")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="napari-sbd",
        description="Sparse blind deconvolution of STM and TEM images: what one defect looks like, and where "
        "every defect sits.",
        epilog=EPILOG,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        name = command.__name__.rpartition(".")[2]
        title = (command.__doc__ or "").splitlines()[0].rstrip(".")
        one = commands.add_parser(
            name,
            help=title[0].lower() + title[1:],
            description=f"{title}.",
            epilog=EPILOG,
            allow_abbrev=False,
        )
        command.add_arguments(one)
        one.set_defaults(run=command.run)
    return parser


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib import metadata

        try:
            version = metadata.version("napari-sbd")
        except metadata.PackageNotFoundError:
            version = "of a source that is not installed"
        parser.exit(0, f"napari-sbd {version}\n")
