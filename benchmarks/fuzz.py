"""Readers on damaged files: only the documented error or a right image, quickly, and in little memory."""

from __future__ import annotations

import faulthandler
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.small_files import FILES, Arrays
from benchmarks.tables import Table, note
from benchmarks.yardsticks import SHARED

MUTATIONS = 2000
SECONDS, MEGABYTES = 2.0, 500
HANGS = 60
REAL = {"sxm": "Au_mica.sxm", "3ds": "STS_grid_lockin.3ds", "gwy": "PTO.gwy", "dm3": "SI-HAADF.dm3"}
KINDS = ("cut", "flipped", "numbers", "header", "empty", "longer")
NUMBERS = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x10000000, 1000)
HEADER = 4096
# What reading a damaged file may end in.
REFUSED, SAME, TOUCHED, UNFINISHED = "refused", "same", "touched pixels", "unfinished"


def damaged(content: bytes, seed: int) -> tuple[bytes, int]:
    """A damaged copy, and how many bytes differ (of a shorter or longer one, none of the image)."""
    rng = random.Random(seed)
    kind = KINDS[seed % len(KINDS)] if seed % 50 else "empty"
    if kind == "empty":
        return rng.choice([b"", b"\0" * rng.randrange(1, 3000), rng.randbytes(rng.randrange(1, 3000))]), 0
    if kind == "cut":
        return content[: rng.randrange(len(content))], 0
    if kind == "longer":
        return content + rng.randbytes(rng.randrange(1, 2000)), 0
    broken = bytearray(content)
    for _ in range(rng.randrange(1, 12)):
        if kind == "flipped":
            broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        elif kind == "header":
            broken[rng.randrange(min(len(broken), HEADER))] ^= 1 << rng.randrange(8)
        else:
            _change_number(broken, rng)
    changed = np.count_nonzero(np.frombuffer(content, "u1") != np.frombuffer(broken, "u1"))
    return bytes(broken), int(changed)


def _change_number(broken: bytearray, rng: random.Random) -> None:
    """Another digit in a text, or another number of four bytes; where headers are, at both ends."""
    start = rng.choice([0, 0, 0, max(0, len(broken) - HEADER)])
    stop = min(len(broken), start + HEADER)
    digits = [place for place in range(start, stop) if broken[place : place + 1].isdigit()]
    if digits and rng.random() < 0.5:
        broken[rng.choice(digits)] = rng.choice(b"0123456789")
        return
    place = rng.randrange(start, max(start + 1, stop - 4))
    number = rng.choice([*NUMBERS, rng.randrange(2**32)])
    broken[place : place + 4] = number.to_bytes(4, rng.choice(["big", "little"]))[: len(broken) - place]


def judge(path: Path, truth: Arrays, changed: int) -> str:
    """What reading a damaged file gave; AssertionError if that is neither the error nor a right image.

    An image may differ from the true one in no more pixels than bytes were changed; it may lack what was
    cut off if it says so.
    """
    import napari_sbd as sbd

    try:
        channels = sbd.read(path)
    except sbd.ReadError as error:
        problem, _, remedy = str(error).removeprefix(path.name).rpartition(": ")
        if not (str(error).startswith(path.name) and problem and remedy):
            raise AssertionError(f"the error does not name file, problem and remedy: {error}") from error
        return REFUSED
    verdict = SAME
    for channel in channels:
        found = channel.data
        alike = [values for values in truth.values() if values.shape == found.shape]
        assert alike, f"{channel.label} has the shape {found.shape}, which no image has"
        off = [~((found == values) | (np.isnan(found) & np.isnan(values))) for values in alike]
        fewest = min(off, key=np.count_nonzero)
        if any("unfinished" in text for text in channel.notes):
            fewest = fewest & ~np.isnan(found)
            verdict = UNFINISHED
        wrong = int(np.count_nonzero(fewest))
        assert wrong <= changed, f"{channel.label}: {wrong} pixels are wrong, {changed} bytes were changed"
        if wrong:
            verdict = TOUCHED
    return verdict


def run(seeds: Iterable[int], only: Iterable[str] = ()) -> None:
    """All kinds of file, or those that are named; each in a process of its own, which may die."""
    title = f"Damaged files (each at most {SECONDS:g} s and {MEGABYTES} MB)"
    columns = ["file", "bytes", "read", REFUSED, SAME, TOUCHED, UNFINISHED, "faults", "slowest ms", "MB"]
    table = Table(title, columns, {"file": 16, "bytes": 9})
    count = max(seeds, default=0) + 1
    for name, source in _sources(list(only)):
        command = [sys.executable, "-m", "benchmarks.fuzz", name, source, str(count)]
        done = subprocess.run(command, capture_output=True, text=True)
        lines = done.stdout.splitlines()
        if done.returncode or not lines:
            table.row(name, *[""] * 6, f"died ({done.returncode})")
            note(done.stderr[-2000:])
            continue
        found = json.loads(lines[-1])
        verdicts = [found["verdicts"].get(verdict, 0) for verdict in (REFUSED, SAME, TOUCHED, UNFINISHED)]
        label = f"{name} (real)" if source else name
        slowest, megabytes = f"{1e3 * found['slowest']:.0f}", f"{found['megabytes']:.0f}"
        faults = len(found["faults"])
        table.row(label, found["bytes"], found["count"], *verdicts, faults, slowest, megabytes)
        for fault in found["faults"][:5]:
            note(f"    {fault}")


def _sources(only: list[str]) -> list[tuple[str, str]]:
    written = [(name, "") for name in FILES if not only or name in only]
    real = [(name, str(SHARED / "data" / "readers" / file)) for name, file in REAL.items()]
    return written + [(n, path) for n, path in real if Path(path).is_file() and (not only or n in only)]


def one_kind(name: str, source: str, count: int) -> dict[str, Any]:
    """Judge so many damaged copies of one file."""
    import napari_sbd as sbd

    suffix, write = FILES[name]
    verdicts: Counter[str] = Counter()
    faults: list[str] = []
    slowest = 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"small{suffix}"
        if source:
            path.write_bytes(Path(source).read_bytes())
            truth = {channel.label: channel.data for channel in sbd.read(path)}
        else:
            truth = write(path)
            sbd.read(path)
        content = path.read_bytes()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for seed in range(count):
            broken, changed = damaged(content, seed)
            path.write_bytes(broken)
            faulthandler.dump_traceback_later(HANGS, exit=True)
            began = time.perf_counter()
            try:
                verdicts[judge(path, truth, changed)] += 1
            except Exception as fault:
                faults.append(f"mutation {seed}: {type(fault).__name__}: {fault}"[:300])
            seconds = time.perf_counter() - began
            faulthandler.cancel_dump_traceback_later()
            slowest = max(slowest, seconds)
            if seconds > SECONDS:
                faults.append(f"mutation {seed}: {seconds:.1f} s")
    megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    if megabytes > MEGABYTES:
        faults.append(f"{megabytes:.0f} MB")
    result = {"verdicts": verdicts, "faults": faults, "slowest": slowest, "megabytes": megabytes}
    return result | {"bytes": len(content), "count": count}


if __name__ == "__main__":
    print(json.dumps(one_kind(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
