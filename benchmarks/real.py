"""Real images of ../shared/data, from the raw file by *Suggest* and *Recover*; and a perfect lattice."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import yardsticks
from benchmarks.measure import cpu_seconds
from benchmarks.tables import Table, note
from napari_sbd import api
from napari_sbd.core.defects import core
from napari_sbd.core.recover import recover
from napari_sbd.core.recovery import Recovery
from napari_sbd.prepare.suggest import suggest_recipe
from napari_sbd.simulate import haadf as simulated_haadf

Real = NDArray[np.floating]

DATA = yardsticks.SHARED / "data"
BUILD = Path(__file__).resolve().parents[1] / "build"
NAFEAS_WINDOWS: tuple[int | None, ...] = (10, 15, 20, 25, 30, None)
HAADF_WITHIN, TASE2_WITHIN = 6.0, 4.0


def run(seeds: Iterable[int], only: Iterable[str] = ()) -> None:
    """All real images, or those that are named."""
    seeds = list(seeds)
    names = [name for text in only for name in text.replace(" ", "").split(",")]
    for unknown in set(names) - set(SUITES):
        raise SystemExit(f"--only {unknown}: choose from {', '.join(SUITES)}")
    for name in names or list(SUITES):
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
    columns = ["image", "window", "seed", "found", "similarity", "at ⅛ px", "defects", "CPU s"]
    title = "NaFeAs (at least .95; 2× upsampled .99), at whole shifts and at eighths of a pixel"
    table = Table(title, columns, {"window": 9, "found": 7, "CPU s": 6})

    def row(name: str, data: Real, window: int | None, seed: int, truth: Real) -> Real:
        seconds, recovery = cpu_seconds(recover, data, kernel_size=window, seed=seed)
        kernel = recovery.kernels[0, 0]
        both = np.array([yardsticks.kernel_similarity(kernel, truth, upsample=parts) for parts in (1, 8)])
        size = "×".join(map(str, recovery.window))
        cells = (size, *(f"{value:.4f}" for value in both), len(recovery.defects), f"{seconds:.1f}")
        table.row(name, window or "automatic", seed, *cells)
        return both

    larger = resize(image, [2 * n for n in image.shape], order=3)
    scenes = [("128²", image, w, reference) for w in NAFEAS_WINDOWS] + [("256²", larger, 20, fine)]
    for name, data, window, truth in scenes:
        lowest = np.min([row(name, data, window, seed, truth) for seed in seeds], axis=0)
        note(f"  {name}, {window or 'automatic'}: lowest {lowest[0]:.4f}, at ⅛ px {lowest[1]:.4f}")


def haadf(seeds: list[int]) -> None:
    """The 13 bright dopants; dark sites come upside down, or as a type of their own."""
    from skimage.io import imread

    image = imread(DATA / "haadf_tmd" / "re05.tiff")[..., 0].astype(float)
    folder = DATA / "haadf_tmd"
    truth = {name: np.load(folder / f"reference_{name}.npy") for name in ("bright", "dark")}
    _scene("haadf", image, truth, HAADF_WITHIN, seeds[:1])


def tase2(seeds: list[int]) -> None:
    """Small and large defects."""
    image = np.load(DATA / "tase2" / "tase2_118K.npy").astype(float)
    truth = {"both": np.load(DATA / "tase2" / "reference_positions.npy")}
    _scene("tase2", image, truth, TASE2_WITHIN, seeds[:1])


def molecular(seeds: list[int]) -> None:
    """Four ringed defects under hum; their places by eye."""
    image = np.load(DATA / "molecular" / "molecular_30nm.npy").astype(float)
    _scene("molecular", image, {"rings": RINGS}, RINGS_WITHIN, seeds[:1])


def lattice(seeds: list[int]) -> None:
    """A flat perfect lattice, in which there is nothing to find."""
    table = Table("perfect lattice, 256²", ["seed", "recipe", "defects", "CPU s"], {"recipe": 28, "CPU s": 6})
    for seed in seeds:
        sample = simulated_haadf(seed, dopants=0, vacancies=0)
        seconds, (steps, recovery) = cpu_seconds(_recovered, sample.image, seed=seed)
        table.row(seed, " ".join(steps), len(recovery.defects), f"{seconds:.1f}")


SUITES: dict[str, Callable[[list[int]], None]] = {
    "nafeas": nafeas,
    "haadf": haadf,
    "tase2": tase2,
    "molecular": molecular,
    "lattice": lattice,
}
GIVEN = {"haadf": 25, "tase2": 37, "molecular": 45}
RINGS = np.array([(143.0, 204.0), (198.0, 280.0), (232.0, 16.0), (424.0, 258.0)])
RINGS_WITHIN = 12.0


def _recovered(image: Real, **options: Any) -> tuple[list[str], Recovery]:
    """The steps proposed for an image, and what is recovered after them."""
    recipe = suggest_recipe(image)
    recovery: Recovery = api.recover(image, recipe=recipe, **options)
    return [step.operation for step in recipe.steps], recovery


def _scene(name: str, image: Real, truth: dict[str, Real], within: float, seeds: list[int]) -> None:
    """From the image as it is, by what is proposed for it; once by default, once with the window given."""
    columns = [
        "options",
        "seed",
        "window",
        "types",
        "defects",
        "reference",
        "precision",
        "recall",
        "F1",
        "CPU s",
    ]
    places = ", ".join(f"{len(points)} {which}" for which, points in truth.items())
    title = f"{name}: {places}, within {within:g} px"
    table = Table(title, columns, {"options": 18, "window": 7, "reference": 10, "CPU s": 6})
    everywhere = np.concatenate(list(truth.values()))
    choices: dict[str, dict[str, Any]] = {
        "defaults": {},
        f"window {GIVEN[name]}": {"kernel_size": GIVEN[name]},
    }
    for label, options in choices.items():
        for seed in seeds:
            seconds, (steps, recovery) = cpu_seconds(_recovered, image, seed=seed, **options)
            groups = [(kind, sign) for kind in range(len(recovery.kernels)) for sign in (1, -1)]
            found = {group: _centred(recovery, *group) for group in groups}
            points = np.concatenate(list(found.values()))
            size, types = "×".join(map(str, recovery.window)), recovery.defects["type"].nunique()
            match = yardsticks.match_points(points, everywhere, within)
            figures = [f"{match[key]:.3f}" for key in ("precision", "recall", "f1")]
            table.row(label, seed, size, types, len(points), "all", *figures, f"{seconds:.1f}")
            offset = _common_offset(points, everywhere, within)
            match = yardsticks.match_points(points + offset, everywhere, within)
            figures = [f"{match[key]:.3f}" for key in ("precision", "recall", "f1")]
            moved = f"  moved {offset[0]:+.1f}, {offset[1]:+.1f}"
            table.row(moved, "", "", "", len(points), "all", *figures, "")
            for (kind, sign), own in found.items():
                for which, reference in truth.items() if len(own) else ():
                    match = yardsticks.match_points(own, reference, within)
                    figures = [f"{match[key]:.3f}" for key in ("precision", "recall", "f1")]
                    group = f"  {'+' if sign > 0 else '-'} type {kind}"
                    table.row(group, "", "", "", len(own), which, *figures, "")
            note(f"    {label}: {' '.join(steps)}; {recovery.summary}")
            if seed == seeds[0]:
                path = BUILD / f"real_{name}_{label.replace(' ', '_')}.png"
                _draw(path, image, everywhere, recovery)


def _common_offset(points: Real, truth: Real, within: float) -> Real:
    """Median step (row, col) to the reference: which point of a defect is its centre is a convention."""
    if not len(points):
        return np.zeros(2)
    steps = truth[None] - points[:, None]
    nearest = steps[np.arange(len(points)), np.linalg.norm(steps, axis=-1).argmin(1)]
    near = nearest[np.linalg.norm(nearest, axis=1) <= within]
    return np.asarray(np.median(near, axis=0)) if len(near) else np.zeros(2)


def _centred(recovery: Recovery, kind: int, sign: int) -> Real:
    """Positions at the kernel's centre of energy: where in its window a kernel lies is a convention."""
    rows = recovery.defects
    rows = rows[(rows["type"] == kind) & (np.sign(rows["amplitude"]) == sign)]
    return np.asarray(rows[["row", "col"]].to_numpy(float) + core(recovery.kernels[kind])[0])


def _draw(path: Path, image: Real, truth: Real, recovery: Recovery) -> None:
    from matplotlib.figure import Figure

    types = len(recovery.kernels)
    cleaned = np.where(recovery.observation.mask[0], recovery.observation.data[0], np.nan)
    figure = Figure(figsize=(24, 8 + 3), layout="constrained")
    parts = figure.subfigures(2, 1, height_ratios=(8, 3), squeeze=False)[:, 0]
    axes = parts[0].subplots(1, 3)
    pictures = (image, cleaned, cleaned)
    for ax, picture, title in zip(axes, pictures, ("image", "prepared", "defects"), strict=True):
        low, high = np.nanpercentile(picture, (0.5, 99.5))
        ax.imshow(picture, cmap="gray", vmin=low, vmax=high)
        ax.set_title(title)
    axes[2].plot(truth[:, 1], truth[:, 0], "o", mfc="none", mec="yellow", ms=12, label="reference")
    for kind in range(types):
        for sign, marker in ((1, "x"), (-1, "+")):
            points = _centred(recovery, kind, sign)
            label = f"type {kind}, {'bright' if sign > 0 else 'dark'}: {len(points)}"
            axes[2].plot(points[:, 1], points[:, 0], marker, color=f"C{kind + 1}", label=label)
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
