"""Preparing: what is left of lattice and hum, what defects suffer, and real images before and after."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from benchmarks import yardsticks
from benchmarks.measure import cpu_seconds
from benchmarks.tables import Table, note
from napari_sbd.core.noise import robust_std
from napari_sbd.prepare.lattice import lattice
from napari_sbd.prepare.suggest import suggest_recipe
from napari_sbd.simulate import dense, haadf, isolated, one_over_f
from napari_sbd.simulate.sample import Sample

Real = NDArray[np.floating]

DATA = yardsticks.SHARED / "data"
BUILD = Path(__file__).resolve().parents[1] / "build"
BORDER = 20  # px
LEFT, CHANGED = 0.02, 0.05  # limits
PATCH, NEAR, APART = 15, 4, 12  # px: half a patch, a dopant's place, and where others begin


def run(seeds: Iterable[int], only: Iterable[str] = ()) -> None:
    """All parts, or those that are named."""
    seeds = list(seeds)
    for name in list(only) or list(PARTS):
        PARTS[name](seeds)


def lattices(seeds: list[int]) -> None:
    """Simulated HAADF: power of the lattice left, and amplitudes of the defects before and after."""
    columns = ["way", "seed", "left in border", "left inside", "amplitudes changed", "CPU s"]
    title = (
        f"HAADF with known defects (border {BORDER} px: at most {LEFT:g}; amplitudes: at most {CHANGED:g})"
    )
    table = Table(title, columns, {"way": 9, "CPU s": 6})
    worst = [0.0, 0.0]
    for seed in seeds:
        sample = haadf(seed)
        ways: dict[str, Callable[[], Real]] = {
            "defaults": lambda image=sample.image: lattice(image).data,  # type: ignore[misc]
            "suggested": lambda image=sample.image: suggest_recipe(image).apply(image).data[0],  # type: ignore[misc]
        }
        for name, way in ways.items():
            seconds, cleaned = cpu_seconds(way)
            border, inside, changed = lattice_left(sample, cleaned)
            worst = [max(worst[0], border), max(worst[1], changed)]
            table.row(name, seed, f"{border:.5f}", f"{inside:.5f}", f"{changed:.4f}", f"{seconds:.1f}")
    note(f"  worst: {worst[0]:.5f} left in the border, amplitudes changed by {worst[1]:.4f}")


def lattice_left(sample: Sample, cleaned: Real) -> tuple[float, float, float]:
    """Shares of the lattice's power left in the border and inside, and the largest change of an amplitude.

    Amplitudes are fitted to all defects together, in the cleaned image and in one that never had a lattice
    but has the same noise.
    """
    shape = sample.image.shape
    columns = np.stack(
        [_defect(sample, number, shape).ravel() for number in range(len(sample.types))], axis=1
    )
    defects = (columns @ sample.amplitudes).reshape(shape)
    noise = sample.image - sample.clean
    host = sample.clean - defects
    host = host - host.mean()
    left = cleaned - defects - noise
    left = left - np.median(left)
    border = np.ones(shape, bool)
    border[BORDER:-BORDER, BORDER:-BORDER] = False
    shares = [float(np.mean(left[part] ** 2) / np.mean(host[part] ** 2)) for part in (border, ~border)]
    before, after = (
        np.linalg.lstsq(columns, (image - np.median(image)).ravel(), rcond=None)[0]
        for image in (defects + noise, cleaned)
    )
    return shares[0], shares[1], float(np.abs(after / before - 1).max())


def _defect(sample: Sample, number: int, shape: tuple[int, ...]) -> Real:
    """Image of one defect of unit amplitude, between the pixels."""
    kernel = sample.kernels[sample.types[number]]
    middle = [(n - 1) // 2 for n in kernel.shape]
    grid = np.indices(shape) - sample.positions[number][:, None, None] + np.array(middle)[:, None, None]
    return np.asarray(ndimage.map_coordinates(kernel, grid, order=5, cval=0.0))


def hums(seeds: list[int]) -> None:
    """Isolated defects under 1/f noise: error and defects' contrast before and after the suggested recipe."""
    columns = ["strength", "seed", "error before", "after", "contrast kept", "recipe"]
    table = Table("isolated defects under 1/f noise along the lines, in deviations of the image", columns)
    for strength in (0.3, 1.0):
        for seed in seeds:
            sample, rng = isolated(seed), np.random.default_rng(seed)
            clean = sample.clean
            noisy = one_over_f(clean, rng, strength) + 0.05 * clean.std() * rng.standard_normal(clean.shape)
            recipe = suggest_recipe(noisy)
            cleaned = recipe.apply(noisy).data[0]
            errors = [robust_std(image - clean) / clean.std() for image in (noisy, cleaned)]
            kept = float((cleaned * clean).sum() / (clean**2).sum())
            steps = ", ".join(step.operation for step in recipe.steps)
            table.row(f"{strength:g}", seed, *(f"{error:.3f}" for error in errors), f"{kept:.3f}", steps)


def clean(seeds: list[int]) -> None:
    """Clean fields: what is proposed, and by how much it changes them."""
    table = Table("clean fields: nothing harmful", ["field", "seed", "changed", "recipe"], {"field": 9})
    for name, make in (("isolated", isolated), ("dense", dense)):
        for seed in seeds:
            image = make(seed).image
            recipe = suggest_recipe(image)
            change = recipe.apply(image).data[0] - image
            steps = ", ".join(step.operation for step in recipe.steps) or "nothing"
            table.row(name, seed, f"{(change - np.median(change)).std() / image.std():.4f}", steps)


def real(_: list[int]) -> None:
    """Real images and a perfect lattice: suggested recipe, deviation before and after, pictures."""
    if not DATA.is_dir():
        note("\nreal images: ../shared/data is not there; left out.")
        return
    columns = ["image", "suggest s", "apply s", "deviation before", "after"]
    table = Table("suggested recipes (pictures in build/prepare_*.png)", columns, {"image": 9})
    for name, image in _images().items():
        seconds, recipe = cpu_seconds(suggest_recipe, image)
        took, prepared = cpu_seconds(recipe.run, image)
        cleaned = prepared.observation.data[0]
        figures = (f"{robust_std(image):.3g}", f"{robust_std(cleaned):.3g}")
        table.row(name, f"{seconds:.1f}", f"{took:.1f}", *figures)
        for step, outcome in prepared.outcomes:
            peaks = outcome.found.get("peaks")
            count = "" if peaks is None else f"  ({len(peaks)} peaks)"
            note(f"    {step.operation} {dict(step.settings)}{count}")
        if name == "haadf":
            _matched(cleaned, prepared.observation.mask[0])
        draw(BUILD / f"prepare_{name}.png", image, cleaned)


def _images() -> dict[str, Real]:
    from skimage.io import imread

    rows, cols = np.indices((256, 256))
    angles = np.deg2rad([7, 67, 127])
    perfect = sum(np.cos(0.49 * (np.sin(a) * rows + np.cos(a) * cols)) for a in angles)
    noise = np.random.default_rng(0).standard_normal(perfect.shape)
    return {
        "haadf": imread(DATA / "haadf_tmd" / "re05.tiff")[..., 0].astype(float),
        "tase2": np.load(DATA / "tase2" / "tase2_118K.npy").astype(float),
        "molecular": np.load(DATA / "molecular" / "molecular_30nm.npy").astype(float),
        "perfect": perfect + 0.05 * noise,
    }


def _matched(cleaned: Real, mask: NDArray[np.bool_]) -> None:
    """Response to the dopants' median patch: the weakest of the 13 against the strongest other place.

    Masked pixels, which no recovery sees, are no place.
    """
    truth = np.load(DATA / "haadf_tmd" / "reference_bright.npy")
    image = cleaned - np.median(cleaned)
    places = np.round(truth).astype(int)
    last = np.array(image.shape) - 1
    inner = places[(np.minimum(places, last - places) >= PATCH).all(axis=1)]
    patches = [image[r - PATCH : r + PATCH + 1, c - PATCH : c + PATCH + 1] for r, c in inner]
    taper = np.outer(*(np.hanning(2 * PATCH + 3)[1:-1],) * 2)
    kernel = np.median(patches, axis=0) * taper
    for name, flat in (("plain", False), ("whitened", True)):
        response = _response(image, kernel, flat)
        marks = np.ones(image.shape, bool)
        marks[tuple(np.clip(places, 0, last).T)] = False
        apart = ndimage.distance_transform_edt(marks)
        dopants = [
            response[max(0, r - NEAR) : r + NEAR + 1, max(0, c - NEAR) : c + NEAR + 1].max()
            for r, c in places
        ]
        other = response[(apart > APART) & mask].max()
        ratio = min(dopants) / other
        note(f"    matched filter, {name}: weakest dopant over strongest other place {ratio:.2f}")


def _response(image: Real, kernel: Real, flat: bool) -> Real:
    size = [fft.next_fast_len(n + 2 * PATCH + 1, real=True) for n in image.shape]
    spectrum = fft.rfft2(kernel, size)
    if flat:
        scale = robust_std(image)
        tapered = np.clip(image, -3 * scale, 3 * scale) * np.outer(*(np.hanning(n) for n in image.shape))
        power = ndimage.gaussian_filter(np.abs(fft.fft2(tapered, size)) ** 2, 4, mode="wrap")
        spectrum = spectrum / (power + 0.02 * power.mean())[:, : size[1] // 2 + 1]
    response = fft.irfft2(fft.rfft2(image, size) * np.conj(spectrum), size)
    return np.asarray(np.roll(response, (PATCH, PATCH), (0, 1))[: image.shape[0], : image.shape[1]])


def draw(path: Path, image: Real, cleaned: Real) -> None:
    """Image and log Fourier transform, before and after."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(20, 20), layout="constrained")
    axes = figure.subplots(2, 2)
    taper = np.outer(*(np.hanning(n) for n in image.shape))
    for column, (picture, title) in enumerate(((image, "as measured"), (cleaned, "prepared"))):
        spectrum = np.log(np.abs(fft.fftshift(fft.fft2(taper * (picture - np.median(picture))))) + 1e-300)
        for ax, shown, limits in zip(
            axes[:, column], (picture, spectrum), ((0.5, 99.5), (10, 99.9)), strict=True
        ):
            low, high = np.percentile(shown, limits)
            ax.imshow(shown, cmap="gray", vmin=low, vmax=high)
            ax.set_axis_off()
        axes[0, column].set_title(title, fontsize=24)
        axes[1, column].set_title("Fourier transform, logarithm", fontsize=24)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=60)


PARTS: dict[str, Callable[[list[int]], None]] = {
    "lattice": lattices,
    "hum": hums,
    "clean": clean,
    "real": real,
}
