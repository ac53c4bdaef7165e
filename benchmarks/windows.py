"""The window by itself, against the true kernel's support."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from benchmarks import yardsticks
from benchmarks.measure import cpu_seconds
from benchmarks.tables import Table, note
from napari_sbd.core.recover import recover
from napari_sbd.simulate import Sample, ldos_kernel, random_field

Real = NDArray[np.floating]

WINDOWS = (11, 15, 21, 25, 31, 35, 41, 47, 53, 61)
ENERGIES = (-2.4, -2.2, -2.55)
CROWDING = 0.6  # density times window area
SIZE, HELD, NEAR = 256, 0.998, 0.25


def scene(number: int) -> Sample:
    """Image of a number from 0; after the tenth the windows come again with other defects."""
    window = WINDOWS[number % len(WINDOWS)]
    kernel = ldos_kernel(window, ENERGIES[number % len(ENERGIES)])
    snr = 20.0 if number % 2 else 10.0
    return random_field(kernel, (SIZE, SIZE), CROWDING / window**2, snr_db=snr, seed=number)


def support(kernel: Real) -> int:
    """Smallest odd centred window that holds nearly all of the kernel's energy."""
    energy = np.square(kernel)
    middle = len(kernel) // 2
    held = [energy[middle - r : middle + r + 1, middle - r : middle + r + 1].sum() for r in range(middle + 1)]
    return 2 * int(np.argmax(np.array(held) >= HELD * energy.sum())) + 1


def run(seeds: Iterable[int]) -> None:
    """Window found, over the true support and over the window in which the kernel was made."""
    columns = ["image", "dB", "nominal", "support", "found", "found / support", "found / nominal"]
    columns += ["similarity", "CPU s"]
    title = f"{SIZE}², windows automatic; support: {HELD:.1%} of the energy"
    table = Table(title, columns, {"found": 7, "CPU s": 6})
    near = {"support": 0, "nominal": 0}
    numbers = list(seeds)
    for number in numbers:
        sample = scene(number)
        nominal, true = sample.window[0], support(sample.kernel)
        seconds, recovery = cpu_seconds(recover, sample.image, seed=number)
        found = float(np.mean(recovery.window))
        near["support"] += abs(found / true - 1) <= NEAR
        near["nominal"] += abs(found / nominal - 1) <= NEAR
        similarity = yardsticks.kernel_similarity(recovery.kernels[0, 0], sample.kernel)
        shown = "×".join(map(str, recovery.window))
        ratios = (f"{found / true:.2f}", f"{found / nominal:.2f}")
        decibels = 20 if number % 2 else 10
        table.row(number, decibels, nominal, true, shown, *ratios, f"{similarity:.4f}", f"{seconds:.1f}")
    for name, count in near.items():
        note(f"within {NEAR:.0%} of the {name}: {count} of {len(numbers)}")
