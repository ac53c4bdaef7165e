import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from napari_sbd.io import whole
from napari_sbd.io.whole import write_whole

ROOT = Path(__file__).parents[2]


@pytest.fixture
def target(tmp_path):
    path = tmp_path / "topo [1].csv"
    path.write_bytes(b"earlier")
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_replaces_the_earlier_file_and_leaves_nothing_else(target):
    assert write_whole(target, b"new") == target
    assert target.read_bytes() == b"new"
    assert names(target.parent) == [target.name]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_failure_leaves_the_earlier_file(monkeypatch, target, call):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(
        OSError, match=r"topo \[1\]\.csv could not be written \(no space left on device; the ear"
    ):
        write_whole(target, b"new")
    assert target.read_bytes() == b"earlier"
    assert names(target.parent) == [target.name]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_full_disk(monkeypatch, target):
    real = open
    monkeypatch.setattr("builtins.open", lambda path, mode: real("/dev/full", mode.replace("x", "w")))
    with pytest.raises(OSError, match="no space left on device"):
        write_whole(target, b"new" * 10_000)
    assert target.read_bytes() == b"earlier"


def test_permissions_are_those_of_the_earlier_file_or_the_users_own(target, tmp_path):
    target.chmod(0o640)
    write_whole(target, b"new")
    assert target.stat().st_mode & 0o777 == 0o640
    plain = tmp_path / "plain"
    plain.touch()
    assert write_whole(tmp_path / "fresh", b"").stat().st_mode == plain.stat().st_mode


def test_a_link_stays_a_link(target, tmp_path):
    link = tmp_path / "link.csv"
    link.symlink_to(target)
    write_whole(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_bad_places_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*lost: make it first"):
        write_whole(tmp_path / "lost" / "topo.csv", b"")
    with pytest.raises(IsADirectoryError, match="give the name of a file in it"):
        write_whole(tmp_path, b"")


def test_leftovers_of_a_crash_are_removed_and_what_is_being_written_is_not(target):
    old = time.time() - 2 * whole.SETTLED
    left, others, writing, fresh = (
        target.parent / f".{name}.part"
        for name in (f"{target.name}.0a", "topo 1.csv.0b", f"{target.name}.0c", f"{target.name}.0d")
    )
    for path in (left, others, writing, fresh):
        path.write_bytes(b"half")
        if path != fresh:
            os.utime(path, (old, old))
    with writing.open("r+b") as stream:
        assert whole._lock(stream)
        write_whole(target, b"new")
        assert names(target.parent) == sorted([target.name, others.name, writing.name, fresh.name])
    write_whole(target, b"newer")
    assert writing.name not in names(target.parent)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked process")
def test_kills_during_saving_never_damage_the_earlier_file():
    """A sample of `python -m benchmarks kills`."""
    found = subprocess.run(
        [sys.executable, "-m", "benchmarks", "kills", "--seeds", "8"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "8 of 8 kills: the file opens and is equal" in found.stdout
