"""Real images of ../shared/data: a dense map, dopants in a HAADF image, two defect types in a topograph."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import yardsticks
from benchmarks.judge import found_points
from benchmarks.measure import cpu_seconds
from benchmarks.tables import Table, note
from napari_sbd.core.recover import recover
from napari_sbd.core.recovery import Recovery
from napari_sbd.prepare.suggest import suggest_recipe

Real = NDArray[np.floating]

DATA = yardsticks.SHARED / "data"
BUILD = Path(__file__).resolve().parents[1] / "build"
NAFEAS_WINDOWS: tuple[int | None, ...] = (10, 15, 20, 25, 30, None)
HAADF_WITHIN, TASE2_WITHIN = 6.0, 4.0


def run(seeds: Iterable[int], only: Iterable[str] = ()) -> None:
    """All real images, or those that are named."""
    seeds = list(seeds)
    for name in list(only) or list(SUITES):
        if not DATA.is_dir():
            note(f"\n{name}: ../shared/data is not there; left out.")
            continue
        SUITES[name](seeds)


def nafeas(seeds: list[int]) -> None:
    """Similarity to the authors' kernel with given and automatic windows, and on a finer grid."""
    from scipy.io import loadmat
    from skimage.transform import resize

    image = loadmat(DATA / "nafeas" / "realdata.mat")["Y"]
    fine = np.load(DATA / "nafeas" / "reference_kernel_2x.npy")
    reference = resize(fine, (10, 10), order=3, anti_aliasing=True)
    columns = ["image", "window", "seed", "found", "similarity", "defects", "CPU s"]
    title = "NaFeAs (at least .95; 2× upsampled .99)"
    table = Table(title, columns, {"window": 9, "found": 7, "CPU s": 6})

    def row(name: str, data: Real, window: int | None, seed: int, truth: Real) -> float:
        seconds, recovery = cpu_seconds(recover, data, kernel_size=window, seed=seed)
        similarity = yardsticks.kernel_similarity(recovery.kernels[0, 0], truth)
        size = "×".join(map(str, recovery.window))
        cells = (size, f"{similarity:.4f}", len(recovery.defects), f"{seconds:.1f}")
        table.row(name, window or "automatic", seed, *cells)
        return similarity

    lowest = {
        str(w or "auto"): min(row("128²", image, w, s, reference) for s in seeds) for w in NAFEAS_WINDOWS
    }
    larger = resize(image, [2 * n for n in image.shape], order=3)
    lowest["2×"] = min(row("256²", larger, 20, seed, fine) for seed in seeds)
    note("lowest: " + ", ".join(f"{name} {value:.4f}" for name, value in lowest.items()))


def haadf(seeds: list[int]) -> None:
    """The 13 bright dopants."""
    from skimage.io import imread

    image = imread(DATA / "haadf_tmd" / "re05.tiff")[..., 0].astype(float)
    cleaned = suggest_recipe(image).apply(image).data[0]
    bright = np.load(DATA / "haadf_tmd" / "reference_bright.npy")
    _scene("haadf", image, cleaned, bright, HAADF_WITHIN, seeds[:1])


def tase2(seeds: list[int]) -> None:
    """Small and large defects."""
    image = np.load(DATA / "tase2" / "tase2_118K.npy").astype(float)
    cleaned = suggest_recipe(image).apply(image).data[0]
    positions = np.load(DATA / "tase2" / "reference_positions.npy")
    _scene("tase2", image, cleaned, positions, TASE2_WITHIN, seeds[:1])


SUITES: dict[str, Callable[[list[int]], None]] = {"nafeas": nafeas, "haadf": haadf, "tase2": tase2}
GIVEN = {"haadf": 25, "tase2": 25}


def _scene(name: str, image: Real, cleaned: Real, truth: Real, within: float, seeds: list[int]) -> None:
    columns = ["options", "seed", "window", "precision", "recall", "false", "missed", "types", "CPU s"]
    title = f"{name}: {len(truth)} reference positions, within {within:g} px, prepared as suggested"
    table = Table(title, columns, {"options": 24, "window": 7, "CPU s": 6})
    choices: dict[str, dict[str, Any]] = {
        "defaults": {},
        f"window {GIVEN[name]}": {"kernel_size": GIVEN[name]},
    }
    for label, options in choices.items():
        for seed in seeds:
            seconds, recovery = cpu_seconds(recover, cleaned, seed=seed, **options)
            points = np.concatenate([_centred(recovery, kind) for kind in range(len(recovery.kernels))])
            match = yardsticks.match_points(points, truth, within)
            figures = (f"{match['precision']:.3f}", f"{match['recall']:.3f}")
            counts = (len(points) - match["hits"], len(truth) - match["hits"])
            size = "×".join(map(str, recovery.window))
            types = len(recovery.kernels)
            table.row(label, seed, size, *figures, *counts, types, f"{seconds:.1f}")
            for kind, kernel in enumerate(recovery.kernels):
                rows = recovery.defects[recovery.defects["type"] == kind]
                alone = yardsticks.match_points(_centred(recovery, kind), truth, within)
                middle = rows["amplitude"].median() if len(rows) else float("nan")
                note(
                    f"    type {kind}: {len(rows)} defects, {alone['hits']} at reference positions, "
                    f"radius {_radius(kernel[0]):.1f} px, median amplitude {middle:.3g}"
                )
            if seed == seeds[0]:
                path = BUILD / f"real_{name}_{label.replace(' ', '_')}.png"
                _draw(path, image, cleaned, truth, recovery)


def _centred(recovery: Recovery, kind: int) -> Real:
    """Positions at the kernel's centre of energy: where in its window a kernel lies is a convention."""
    return found_points(recovery, kind) + _offset(recovery.kernels[kind, 0])


def _offset(kernel: Real) -> Real:
    energy = kernel**2
    places = np.indices(kernel.shape)
    middle = (places * energy).sum((1, 2)) / energy.sum()
    return np.asarray(middle - [(n - 1) // 2 for n in kernel.shape])


def _radius(kernel: Real) -> float:
    """Root mean square distance of the kernel's energy from its centre."""
    energy = kernel**2
    middle = _offset(kernel) + [(n - 1) // 2 for n in kernel.shape]
    distance = np.square(np.indices(kernel.shape) - middle[:, None, None]).sum(0)
    return float(np.sqrt((distance * energy).sum() / energy.sum()))


def _draw(path: Path, image: Real, cleaned: Real, truth: Real, recovery: Recovery) -> None:
    from matplotlib.figure import Figure

    types = len(recovery.kernels)
    figure = Figure(figsize=(24, 8 + 3), layout="constrained")
    parts = figure.subfigures(2, 1, height_ratios=(8, 3), squeeze=False)[:, 0]
    axes = parts[0].subplots(1, 3)
    pictures = (image, cleaned, cleaned)
    for ax, picture, title in zip(axes, pictures, ("image", "prepared", "defects"), strict=True):
        low, high = np.percentile(picture, (0.5, 99.5))
        ax.imshow(picture, cmap="gray", vmin=low, vmax=high)
        ax.set_title(title)
    axes[2].plot(truth[:, 1], truth[:, 0], "o", mfc="none", mec="yellow", ms=12, label="reference")
    for kind in range(types):
        points = _centred(recovery, kind)
        axes[2].plot(points[:, 1], points[:, 0], "x", color=f"C{kind}", label=f"type {kind}: {len(points)}")
    axes[2].legend()
    axes[2].set(xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5))
    small = parts[1].subplots(1, max(2, types), squeeze=False)[0]
    for ax in small:
        ax.set_axis_off()
    for ax, kernel in zip(small, recovery.kernels, strict=False):
        limit = np.abs(kernel[0]).max()
        ax.imshow(kernel[0], cmap="RdBu_r", vmin=-limit, vmax=limit)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=60)
