"""A file is written whole or not at all: an earlier one of its name stays until the new one is complete."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows, which deletes no file that is open: it needs no lock
    fcntl = None  # type: ignore[assignment]

SUFFIX = ".part"
SETTLED = 5.0  # s, after which a temporary file that nobody writes is what a crash left


def write_whole(path: str | os.PathLike[str], *parts: bytes | memoryview) -> Path:
    """Write a file so that a crash, a kill or a full disk never damages an earlier one of the same name.

    The content goes to a temporary file in the same folder, to the disk itself, and then takes the name at
    once. Temporary files that an earlier crash left for this name are removed.

    Parameters
    ----------
    path : str or path-like
    *parts : bytes
        The content, in one part or several.

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    OSError
        If it cannot be written; the message names the file, the cause and what is left.

    Examples
    --------
    >>> from tempfile import mkdtemp
    >>> write_whole(Path(mkdtemp()) / "note.txt", b"all of it").read_bytes()
    b'all of it'
    """
    # A link stays a link: what it points to is replaced.
    target = Path(os.path.realpath(path))
    check_place(target)
    try:
        remove_leftovers(target)
        _write(target, parts)
    except OSError as error:
        raise _told(error, target) from error
    return Path(path)


def ending_in(path: str | os.PathLike[str], *endings: str) -> Path:
    """A path that has one of these endings; the first is added where it has none of them.

    Examples
    --------
    >>> [ending_in(name, ".tif", ".tiff").name for name in ("map", "map 4.2 K", "map.TIFF")]
    ['map.tif', 'map 4.2 K.tif', 'map.TIFF']
    """
    place = Path(path)
    return place if place.suffix.lower() in endings else place.with_name(place.name + endings[0])


def check_place(path: Path) -> None:
    """Raise OSError unless a file can have this path; before any work."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the name of a file in it")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent}: make it first, or choose another")


def remove_leftovers(target: Path) -> None:
    """Remove the temporary files of this name that nobody writes any more."""
    for left in target.parent.glob(f".{_escaped(target.name)}.*{SUFFIX}"):
        if _is_abandoned(left):
            with contextlib.suppress(OSError):
                left.unlink()


def _write(target: Path, parts: Iterable[bytes | memoryview]) -> None:
    with _temporary(target) as (stream, temporary):
        stream.writelines(parts)
        stream.flush()
        os.fsync(stream.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        if fcntl is None:
            stream.close()  # Windows moves no file that is open
        os.replace(temporary, target)
    _sync_folder(target.parent)


@contextlib.contextmanager
def _temporary(target: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A locked new file beside the target; it is removed if it has not taken the target's name."""
    temporary = target.parent / f".{target.name}.{secrets.token_hex(4)}{SUFFIX}"
    # Unlike tempfile's, a file opened so has the permissions that the user wants for new files.
    stream = open(temporary, "xb")  # noqa: SIM115
    try:
        _lock(stream)
        yield stream, temporary
    finally:
        # Flushing what a full disk did not take fails once more.
        with contextlib.suppress(OSError):
            stream.close()
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def _lock(stream: BinaryIO) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_abandoned(path: Path) -> bool:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or time.time() - found.st_mtime < SETTLED:
            return False
        with path.open("r+b") as stream:
            return _lock(stream)
    except OSError:
        return False


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power cut; where folders cannot be synchronised, that is all."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _escaped(name: str) -> str:
    """A name as a pattern that matches only itself."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _told(error: OSError, target: Path) -> OSError:
    cause = (error.strerror or str(error)).lower()
    kept = "the earlier file is unchanged" if target.exists() else "nothing is left of it"
    message = f"{target} could not be written ({cause}; {kept}): free some space or choose another folder"
    return OSError(error.errno, message) if error.errno else OSError(message)
