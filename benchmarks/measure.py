"""Time and memory of one recovery."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import fft

Real = NDArray[np.floating]
Result = TypeVar("Result")

PEAK = """
import resource, sys
from pathlib import Path
import numpy as np
from napari_sbd.core.recover import recover

def field(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

def peak():
    try:
        return field("VmHWM")
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

window = int(sys.argv[2])
# What is imported and planned once does not belong to the image.
recover(np.random.default_rng(0).standard_normal((2 * window, 2 * window)), kernel_size=window, starts=1)
image = np.load(sys.argv[1])
try:
    Path("/proc/self/clear_refs").write_text("5")
    before = field("VmRSS")
except (OSError, StopIteration):
    before = peak()
recover(image, kernel_size=window).residual
print(peak() - before)
"""


def cpu_seconds(work: Callable[..., Result], *args: Any, **options: Any) -> tuple[float, Result]:
    """CPU seconds of a call, all threads together, and its result."""
    began = time.process_time()
    result = work(*args, **options)
    return time.process_time() - began, result


def fft_pair_seconds(shape: tuple[int, int], repeats: int = 25) -> float:
    """Median CPU seconds of one rfft2 and irfft2 of this shape in float32, measured now.

    As ``score.fft_pair_seconds``, but in CPU seconds like what is divided by it: on a busy machine a clock on
    the wall would count what others do.
    """
    image = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    pair = [cpu_seconds(lambda: fft.irfft2(fft.rfft2(image), shape))[0] for _ in range(repeats)]
    return float(np.median(pair))


def peak_memory(image: Real, window: int) -> int:
    """Bytes by which the resident memory of a fresh process grows at most while it recovers this image.

    The image itself is loaded before; imports and a first small recovery have been made. Where the kernel
    cannot reset its high-water mark (other systems than Linux) growth below that of the first small
    recovery does not show.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.npy"
        np.save(path, image)
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(path), str(window)], capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise RuntimeError(f"the recovery whose memory was measured failed:\n{done.stderr}")
    return int(done.stdout)
