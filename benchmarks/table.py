"""METHOD.md's table of reference programs, re-made: own kernels of like shape, own seeds, defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.judge import Verdict, ceiling, excess, judged, oracle, with_types
from benchmarks.measure import cpu_seconds
from benchmarks.tables import Table, note
from napari_sbd.core.recover import recover
from napari_sbd.simulate import ldos_kernel, random_field
from napari_sbd.simulate.fields import convolved

Real = NDArray[np.floating]

ENERGIES = (-2.6, -2.5, -2.4, -2.2, -2.0)  # of the slices
TWO_ENERGIES = (-2.55, -2.1)  # of the two types


@dataclass(frozen=True)
class Truth:
    """An image (slices, rows, cols) and what it was made of."""

    image: Real
    kernels: Real
    maps: Real
    positions: Real
    types: NDArray[np.integer]
    noise: float


@dataclass(frozen=True)
class Row:
    """How a row's image is made from a seed, options besides the window, and the best program's figure."""

    name: str
    make: Callable[[int], Truth]
    best: str
    options: tuple[tuple[str, int], ...] = ()


def field(size: int, window: int, density: float, snr: float, **more: bool | float) -> Callable[[int], Truth]:
    """One type, LDoS kernel of the row's window."""
    return lambda seed: _field(ldos_kernel(window)[None], size, density, snr, seed, **more)


def random_kernel(seed: int) -> Truth:
    """A random 8×8 kernel, its own for each seed, with a bias."""
    kernel = np.random.default_rng(1000 + seed).standard_normal((1, 8, 8))
    return _field(kernel, 64, 3e-2, 14, seed, bias=0.3)


def two_types(seed: int) -> Truth:
    """Two LDoS kernels of different rings."""
    return _field(np.stack([ldos_kernel(31, energy) for energy in TWO_ENERGIES]), 256, 5e-4, 20, seed)


def five_slices(seed: int) -> Truth:
    """Five energies that share their defects; unit norm together, noise alike in all."""
    sample = random_field(ldos_kernel(31), (128, 128), 1e-3, snr_db=None, seed=seed)
    kernels = np.stack([ldos_kernel(31, energy) for energy in ENERGIES]) / np.sqrt(len(ENERGIES))
    clean = np.stack([convolved(sample.extended_activations, kernel[None]) for kernel in kernels])
    noise = float(np.sqrt(clean.var((1, 2)).mean() / 10))
    image = clean + noise * np.random.default_rng(2000 + seed).standard_normal(clean.shape)
    maps = sample.extended_activations
    return Truth(image, kernels[None], maps, sample.positions, sample.types, noise)


def _field(kernels: Real, size: int, density: float, snr: float, seed: int, **more: bool | float) -> Truth:
    signed, bias = bool(more.get("signed", False)), float(more.get("bias", 0.0))
    s = random_field(kernels, (size, size), density, snr_db=snr, seed=seed, signed=signed, bias=bias)
    return Truth(s.image[None], s.kernels[:, None], s.extended_activations, s.positions, s.types, s.noise_std)


ROWS = (
    Row("128², 31, 1e-3, 20 dB", field(128, 31, 1e-3, 20), "iPALM .999 · 1"),
    Row("128², 31, 1e-3, 10 dB", field(128, 31, 1e-3, 10), "iPALM .996 · 1"),
    Row("128², 31, 1e-3, 3 dB", field(128, 31, 1e-3, 3), "iPALM .983 · 1"),
    Row("128², 31, 3e-3, 0 dB", field(128, 31, 3e-3, 0), "iPALM .967 · 1"),
    Row("128², 31, 1e-2, 10 dB", field(128, 31, 1e-2, 10), "iPALM .995 · .980"),
    Row("128², 21, 1e-3, ±, 10 dB", field(128, 21, 1e-3, 10, signed=True), "SBD-RTRM .999 · 1"),
    Row("64², random 8, 3e-2, bias, 14 dB", random_kernel, "SBD-RTRM .9997 · .960"),
    Row("256², 31, 1e-4, 10 dB", field(256, 31, 1e-4, 10), "iPALM .999 · 1"),
    Row("256², 31, 1e-3, 10 dB", field(256, 31, 1e-3, 10), "iPALM .999 · .992"),
    Row("256², 31, 3e-3, 20 dB", field(256, 31, 3e-3, 20), "iPALM .9997 · .995"),
    Row("512², 49, 3e-4, 10 dB", field(512, 49, 3e-4, 10), "iPALM .999 · .994"),
    Row("512², 31, 1e-4, 20 dB", field(512, 31, 1e-4, 20), "SPORCO .950 · 1"),
    Row("256², 2 types, 31, 5e-4, 20 dB", two_types, "SPORCO .998 · -", (("types", 2),)),
    Row("256², 2 types, default", two_types, "SPORCO .998 · -"),
    Row("128², 5 slices, 31, 1e-3, 10 dB", five_slices, "SBD-RTRM .996 · 1"),
    Row("128², 31, 5e-3, 5 dB", field(128, 31, 5e-3, 5), "-"),
    Row("128², 21, 1e-2, 3 dB", field(128, 21, 1e-2, 3), "-"),
)

COLUMNS = ["image, window, θ, SNR", "similarity", "oracle", "excess median", "max", "F1", "ceiling"]
COLUMNS += ["CPU s", "best program of METHOD.md"]
WIDTHS = {COLUMNS[0]: 32, "similarity": 13, "oracle": 13, "max": 6, "F1": 11, "ceiling": 11, "CPU s": 6}


def run(seeds: Iterable[int], only: Iterable[str] = ()) -> None:
    """Print a row of medians over the seeds, and below it each seed; `only` holds numbers of rows."""
    seeds = list(seeds)
    numbers = {int(number) for text in only for number in text.split(",")} or set(range(len(ROWS)))
    chosen = [row for number, row in enumerate(ROWS) if number in numbers]
    table = Table("Reference programs' table re-made, window given, otherwise defaults", COLUMNS, WIDTHS)
    failures = []
    for row in chosen:
        options = dict(row.options)
        if options and not with_types(2):
            table.row(row.name, *["-"] * 7, row.best)
            continue
        figures = []
        for seed in seeds:
            try:
                figures.append(_measured(row.make(seed), options, seed))
            except Exception as error:
                failures.append(f"{row.name}, seed {seed}: {type(error).__name__}: {error}")
        if figures:
            table.row(row.name, *_medians(figures), row.best)
            for seed, figure in zip(seeds, figures, strict=False):
                table.row(f"  seed {seed}", *_medians([figure]))
    note("Of several types one figure each. F1 within 1 px at the threshold of the table of defects.")
    note("Ceiling: the same peak finder and threshold on the true map.")
    note("Excess: (1 - similarity) / (1 - oracle), of the worse type; slices compare together.")
    for failure in failures:
        note(f"FAILED {failure}")


@dataclass(frozen=True)
class _Figures:
    verdict: Verdict
    bounds: list[float]
    ceilings: list[float]
    seconds: float

    @property
    def excess(self) -> float:
        pairs = zip(self.verdict.similarity, self.bounds, strict=True)
        return max(excess(similarity, bound) for similarity, bound in pairs)


def _measured(truth: Truth, options: dict[str, int], seed: int) -> _Figures:
    size = (truth.kernels.shape[2], truth.kernels.shape[3])
    image = truth.image[0] if len(truth.image) == 1 else truth.image
    seconds, recovery = cpu_seconds(recover, image, kernel_size=size, seed=seed, **options)
    rows, cols = truth.image.shape[1:]
    frame = truth.maps[:, size[0] // 2 :, size[1] // 2 :][:, :rows, :cols]
    return _Figures(
        judged(recovery, truth.kernels, truth.positions, truth.types),
        oracle(truth.image, frame, truth.kernels),
        ceiling(truth.maps, truth.kernels, truth.positions, truth.types, truth.noise),
        seconds,
    )


def _medians(figures: list[_Figures]) -> list[str]:
    ratios = [f.excess for f in figures]
    return [
        _each([f.verdict.similarity for f in figures], 5),
        _each([f.bounds for f in figures], 5),
        f"{np.median(ratios):.2f}",
        f"{max(ratios):.2f}",
        _each([f.verdict.f1 for f in figures], 3),
        _each([f.ceilings for f in figures], 3),
        f"{np.median([f.seconds for f in figures]):.1f}",
    ]


def _each(values: Iterable[Iterable[float]], digits: int) -> str:
    return " ".join(f"{v:.{digits}f}" for v in np.median([list(v) for v in values], axis=0))
