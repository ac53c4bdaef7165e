"""*Live* in napari's window: re-solves per second, and how long the event loop is kept waiting meanwhile."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from benchmarks.tables import print_table

SIDE, WINDOW, DENSITY, SNR_DB = 256, 31, 1e-3, 20
SECONDS = 8.0
BEAT = 5  # ms, of the timer whose delay is the latency
MOVES = 16  # ms between two moves of the mouse
RATE, LATENCY = 8.0, 30.0  # due: re-solves per second, ms
SIZES = ((1000, 700), (1280, 800))  # of napari's window


def run(seeds: Iterable[int]) -> None:
    """Drag λ to and fro by mouse events in a real viewer, with and without *Live*."""
    print(f"\n{SIDE}×{SIDE}, θ {DENSITY:g}, window {WINDOW}; due: {RATE:g} re-solves/s, p99 {LATENCY:g} ms")
    print(f"load of the machine: {', '.join(f'{n:.1f}' for n in os.getloadavg())} on {os.cpu_count()} cores")
    rows = []
    for seed in seeds:
        for size in SIZES:
            rows.append(_measured(seed, size))
    print_table(rows)
