"""Accuracy on a real map, on the samples and on cut fields, over several seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import convolve

from benchmarks import yardsticks
from benchmarks.measure import cpu_seconds
from benchmarks.tables import Table, note
from napari_sbd.core.recover import recover
from napari_sbd.core.recovery import Recovery
from napari_sbd.simulate import Sample, dense, isolated, ldos_kernel, random_field

Real = NDArray[np.floating]


def run(seeds: Iterable[int]) -> None:
    """Print all suites of this module."""
    seeds = list(seeds)
    for suite in (nafeas, isolated_sample, dense_sample, border, excess):
        suite(seeds)


def nafeas(seeds: Iterable[int]) -> None:
    """Similarity on the real NaFeAs map to the kernel of the method's authors."""
    folder = yardsticks.SHARED / "data" / "nafeas"
    if not (folder / "realdata.mat").is_file():
        note("\nNaFeAs: ../shared/data/nafeas is not there; left out.")
        return
    from scipy.io import loadmat
    from skimage.transform import resize

    image = loadmat(folder / "realdata.mat")["Y"]
    reference = resize(np.load(folder / "reference_kernel_2x.npy"), (10, 10), order=3, anti_aliasing=True)
    table = Table("NaFeAs, 128×128, window 10 (at least 0.94)", ["seed", "CPU s", "similarity", "defects"])
    for seed in seeds:
        seconds, recovery = cpu_seconds(recover, image, kernel_size=10, seed=seed)
        similarity = yardsticks.kernel_similarity(recovery.kernels[0, 0], reference)
        table.row(seed, f"{seconds:.1f}", f"{similarity:.4f}", len(recovery.defects))


def isolated_sample(seeds: Iterable[int]) -> None:
    """Similarity and F1 on the sample with exact multiple scattering, window given and automatic."""
    seeds = list(seeds)
    for automatic in (False, True):
        which = "automatic window" if automatic else "recommended window"
        table = Table(f"Isolated sample, {which} (similarity and F1 at least 0.98)", SAMPLE_COLUMNS, WIDTHS)
        for seed in seeds:
            sample = isolated(seed)
            _sample_row(table, seed, sample, None if automatic else sample.window, upsample=8)


def dense_sample(seeds: Iterable[int]) -> None:
    """Similarity and F1 on the dense sample."""
    table = Table("Dense sample, recommended window (similarity at least 0.995)", SAMPLE_COLUMNS, WIDTHS)
    for seed in seeds:
        sample = dense(seed)
        _sample_row(table, seed, sample, sample.window, upsample=1)


SAMPLE_COLUMNS = ["seed", "window", "CPU s", "similarity", "F1", "precision", "recall", "median error px"]
WIDTHS = {"window": 7, "CPU s": 6, "F1": 6}


def _sample_row(
    table: Table, seed: int, sample: Sample, window: tuple[int, int] | None, upsample: int
) -> None:
    seconds, recovery = cpu_seconds(recover, sample.image, kernel_size=window, seed=seed)
    found = recovery.kernels[0, 0]
    points = recovery.defects[["row", "col"]].to_numpy() + yardsticks.kernel_shift(found, sample.kernel)
    match = yardsticks.match_points(points, sample.positions, 1.0)
    table.row(
        seed,
        "×".join(map(str, found.shape)),
        f"{seconds:.1f}",
        f"{yardsticks.kernel_similarity(found, sample.kernel, upsample):.4f}",
        *(f"{match[name]:.3f}" for name in ("f1", "precision", "recall")),
        f"{match['median_error']:.3f}",
    )


def border(seeds: Iterable[int]) -> None:
    """A field cut out of a larger one, beside a field of the same size without defects outside."""
    kernel = ldos_kernel(31)
    columns = ["seed", "cut out", "none outside", "difference", "largest error of the residual / range"]
    title = "128×128 out of 256×256, window 31, θ = 2e-3, 20 dB (difference at least -0.003 in the mean)"
    table = Table(title, columns)
    differences = []
    for seed in seeds:
        larger = random_field(kernel, (256, 256), 2e-3, snr_db=20, seed=seed)
        same = random_field(kernel, (128, 128), 2e-3, snr_db=20, seed=seed)
        image = larger.image[64:192, 64:192]
        cut, whole = (recover(y, kernel_size=31, seed=seed) for y in (image, same.image))
        first, second = (yardsticks.kernel_similarity(r.kernels[0, 0], kernel) for r in (cut, whole))
        differences.append(first - second)
        error = _residual_error(cut, image) / np.ptp(image)
        table.row(seed, f"{first:.5f}", f"{second:.5f}", f"{first - second:+.5f}", f"{error:.1e}")
    note(f"mean difference {_mean(differences):+.5f}")


def _residual_error(recovery: Recovery, image: Real) -> float:
    """Largest deviation of the reported residual from that of the returned kernel, map and bias."""
    explained = convolve(recovery.extended_activations[0], recovery.kernels[0, 0], "valid")
    return float(np.abs(image - explained - recovery.bias[0] - recovery.residual[0]).max())


def excess(seeds: Iterable[int]) -> None:
    """How far the recovery stays behind the least-squares bound."""
    kernel = ldos_kernel(31)
    columns = ["seed", "CPU s", "similarity", "oracle", "excess"]
    table = Table("256×256, window 31, θ = 1e-3, 10 dB (excess at most 1.3)", columns, {"CPU s": 6})
    ratios = []
    for seed in seeds:
        field = random_field(kernel, (256, 256), 1e-3, snr_db=10, seed=seed)
        seconds, recovery = cpu_seconds(recover, field.image, kernel_size=31, seed=seed)
        similarity = yardsticks.kernel_similarity(recovery.kernels[0, 0], kernel)
        bound = yardsticks.oracle_similarity(field.image, field.activations[0], kernel)
        ratios.append((1 - similarity) / (1 - bound))
        table.row(seed, f"{seconds:.1f}", f"{similarity:.5f}", f"{bound:.5f}", f"{ratios[-1]:.2f}")
    note(f"mean excess {_mean(ratios):.2f}, largest {max(ratios):.2f}")


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
