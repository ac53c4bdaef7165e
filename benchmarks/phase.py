"""Phase diagram: similarity against density and window, as a table and as a picture."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

import napari_sbd.core
from benchmarks import yardsticks
from benchmarks.measure import cpu_seconds
from benchmarks.tables import Table, note
from napari_sbd.core.recover import recover
from napari_sbd.simulate import ldos_kernel, random_field

SIZE = 256
WINDOWS = (13, 25, 37, 51, 77)
DENSITIES = (1e-4, 1e-3, 1e-2, 3e-2, 1e-1)
NOISES: tuple[float | None, ...] = (None, 10.0)
BUILD = Path(__file__).resolve().parents[1] / "build"

Point = tuple[int, float, float | None, int]
Points = dict[Point, float]


def run(seeds: Iterable[int], only: Iterable[str] = (), out: str | None = None, fresh: bool = False) -> None:
    """Measure what is not yet in the file of finished points, then print and draw all of them.

    Parameters
    ----------
    seeds : iterable of int
    only : iterable of str
        'window,density' pairs; all points when empty.
    out : str, optional
        Where the picture goes; build/phase.png by default.
    fresh : bool
        Forget the points that are finished.
    """
    path = BUILD / "phase.jsonl"
    BUILD.mkdir(exist_ok=True)
    if fresh:
        path.unlink(missing_ok=True)
    points, engines = _finished(path)
    wanted = _wanted(only)
    for seed in seeds:
        for window, density in wanted:
            for noise in NOISES:
                if (window, density, noise, seed) not in points:
                    points[window, density, noise, seed] = _measure(path, window, density, noise, seed)
                    engines.add(_engine())
    _print(points)
    _draw(points, Path(out) if out else BUILD / "phase.png")
    if len(engines) > 1:
        note("Points of more than one state of the engine: --fresh measures all of them anew.")


def _wanted(only: Iterable[str]) -> list[tuple[int, float]]:
    pairs = [text.split(",") for text in only]
    if pairs:
        return [(int(window), float(density)) for window, density in pairs]
    return [(window, density) for density in DENSITIES for window in WINDOWS]


def _measure(path: Path, window: int, density: float, noise: float | None, seed: int) -> float:
    kernel = ldos_kernel(window)
    sample = random_field(kernel, (SIZE, SIZE), density, snr_db=noise, seed=seed)
    seconds, recovery = cpu_seconds(recover, sample.image, kernel_size=window, seed=seed)
    similarity = yardsticks.kernel_similarity(recovery.kernels[0, 0], kernel)
    point: dict[str, float | str | None] = {
        "window": window,
        "density": density,
        "snr_db": noise,
        "seed": seed,
    }
    point |= {"similarity": round(similarity, 6), "cpu_s": round(seconds, 2), "engine": _engine()}
    with path.open("a") as file:
        file.write(json.dumps(point) + "\n")
    note(f"  window {window}, θ {density:g}, {_named(noise)}, seed {seed}: {similarity:.4f}, {seconds:.1f} s")
    return similarity


def _finished(path: Path) -> tuple[Points, set[str]]:
    points: Points = {}
    engines = set()
    lines = path.read_text().splitlines() if path.is_file() else []
    for line in lines:
        try:
            p = json.loads(line)
        except json.JSONDecodeError:  # cut off by an interruption
            continue
        points[p["window"], p["density"], p["snr_db"], p["seed"]] = p["similarity"]
        engines.add(p["engine"])
    return points, engines


def _engine() -> str:
    """Fingerprint of the engine's source."""
    files = sorted(Path(str(napari_sbd.core.__file__)).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def _named(noise: float | None) -> str:
    return "noise-free" if noise is None else f"{noise:g} dB"


def _gathered(points: Points, noise: float | None) -> dict[tuple[int, float], list[float]]:
    groups = defaultdict(list)
    for (window, density, snr, _), similarity in points.items():
        if snr == noise:
            groups[window, density].append(similarity)
    return groups


def _print(points: Points) -> None:
    for noise in NOISES:
        groups = _gathered(points, noise)
        title = f"{SIZE}², {_named(noise)}: mean / lowest similarity (number of seeds)"
        columns = ["window", *(f"θ {density:g}" for density in DENSITIES)]
        table = Table(title, columns, {name: 17 for name in columns[1:]})
        for window in WINDOWS:
            cells = [groups.get((window, density), []) for density in DENSITIES]
            texts = [f"{np.mean(c):.4f} / {min(c):.4f} ({len(c)})" if c else "-" for c in cells]
            table.row(window, *texts)


def _draw(points: Points, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5 * len(NOISES), 4.2), layout="constrained")
    axes = figure.subplots(1, len(NOISES), squeeze=False)[0]
    for ax, noise in zip(axes, NOISES, strict=True):
        groups = _gathered(points, noise)
        means = np.array([[np.mean(groups.get((w, d), [np.nan])) for d in DENSITIES] for w in WINDOWS])
        shown = ax.imshow(means, origin="lower", vmin=0.5, vmax=1, cmap="viridis", aspect="auto")
        for (row, col), value in np.ndenumerate(means):
            colour = "black" if value > 0.8 else "white"
            text = f"{value:.3f}" if np.isfinite(value) else "-"
            ax.text(col, row, text, ha="center", va="center", color=colour if text != "-" else "grey")
        ax.set_xticks(range(len(DENSITIES)), [f"{density:g}" for density in DENSITIES])
        ax.set_yticks(range(len(WINDOWS)), [str(window) for window in WINDOWS])
        ax.set(title=_named(noise), xlabel="density θ", ylabel="window (px)")
    figure.colorbar(shown, ax=axes, label="mean similarity")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    note(f"\npicture: {path.name} in {path.parent.name}/")
