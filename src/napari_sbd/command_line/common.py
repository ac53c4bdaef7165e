"""What the commands share: files and settings from arguments, and how it goes."""

from __future__ import annotations

import argparse
import glob
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

from napari_sbd.core.parameters import CHOSEN_FROM_DATA, Setting, settings

SUGGEST = "suggest"


class UsageError(Exception):
    """The command cannot be used so: its message says what to change."""


def add_files(parser: argparse.ArgumentParser, what: str) -> None:
    """The files that a command takes."""
    parser.add_argument("files", nargs="+", metavar="FILE", help=f"{what}; a pattern such as '*.sxm', too")


def add_channel(parser: argparse.ArgumentParser) -> None:
    """The option of the channel."""
    parser.add_argument(
        "--channel",
        metavar="NAME",
        help="channel of the files, such as Current (the topograph, or the first)",
    )


def add_workers(parser: argparse.ArgumentParser) -> None:
    """The options of where the work is done."""
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes on this machine (as many as there are cores)"
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="of a Dask cluster, such as tcp://host:8786, which sees the files under the same paths; or "
        "processes or threads of this machine (processes)",
    )


def add_settings(parser: argparse.ArgumentParser) -> None:
    """One option for each setting of the recovery, with its help, limits and unit."""
    group = parser.add_argument_group("settings of the recovery")
    for setting in settings():
        group.add_argument(
            f"--{setting.name.replace('_', '-')}",
            dest=setting.name,
            type=_kind(setting),
            choices=setting.choices or None,
            default=argparse.SUPPRESS,
            metavar=None if setting.choices else _metavar(setting),
            help=f"{setting.help} {_limits(setting)}".replace("%", "%%"),
        )


def chosen_settings(chosen: argparse.Namespace) -> dict[str, Any]:
    """The settings that were given, by name."""
    return {s.name: getattr(chosen, s.name) for s in settings() if hasattr(chosen, s.name)}


def pair(text: str) -> tuple[float, float]:
    """One number, or two such as 0.1x0.2, as a pair."""
    rows, _, cols = text.lower().replace("×", "x").partition("x")
    try:
        return float(rows), float(cols or rows)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor two such as 0.1x0.2") from None


def files_of(given: Sequence[str]) -> list[Path]:
    """The files, each once; patterns that no shell has resolved are resolved here.

    Raises
    ------
    UsageError
        If a pattern fits nothing, or there is a folder.
    """
    found: dict[Path, None] = {}
    for name in given:
        path = Path(name).expanduser()
        matches = [path]
        if not path.exists() and glob.has_magic(name):
            matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]
            if not matches:
                raise UsageError(f"no file is called {name}: check the pattern")
        for match in matches:
            if match.is_dir():
                raise UsageError(f"{match} is a folder: give files, such as {match / '*.sxm'}")
            found[match] = None
    return list(found)


def say(text: str = "") -> None:
    """Tell how it goes, apart from what the command prints as its result."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def stop_by_signal() -> Iterator[Event]:
    """Event that Ctrl+C, or the end of the terminal's session, sets; at the second time the program ends."""
    stop = Event()

    def note(number: int, _: Any) -> None:
        signal.signal(number, previous[number])
        stop.set()
        say("stopping: what is done stays")

    previous: dict[int, Any] = {}
    try:
        for name in (signal.SIGINT, signal.SIGTERM):
            previous[int(name)] = signal.signal(name, note)
    except ValueError:  # not in the main thread: whoever called stops by other means
        previous.clear()
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _kind(setting: Setting) -> Any:
    def whole_or_not(text: str) -> Any:
        if setting.name in CHOSEN_FROM_DATA and text.lower() == "auto":
            return None
        if setting.name == "kernel_size":
            return tuple(_whole(part) for part in (text.lower().replace("×", "x").split("x")) * 2)[:2]
        return _whole(text) if isinstance(setting.step, int) else float(text)

    whole_or_not.__name__ = "number"  # argparse says so: invalid number value
    return str if setting.choices else whole_or_not


def _whole(text: str) -> int:
    return int(text)


def _metavar(setting: Setting) -> str:
    return "N|ROWSxCOLS" if setting.name == "kernel_size" else "N" if isinstance(setting.step, int) else "X"


def _limits(setting: Setting) -> str:
    unit = f" {setting.unit}" if setting.unit else ""
    default = "auto" if setting.default is None else setting.default
    limits = "" if setting.low is None else f"{setting.low:g} to {setting.high:g}{unit}; "
    return f"({limits}default {default})"
