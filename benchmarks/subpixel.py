"""Isolated defects between the pixels: positions, kernel, and whether the amplitudes' errors are true."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import fft, spatial

from benchmarks import yardsticks
from benchmarks.judge import WITHIN, found_points
from benchmarks.measure import cpu_seconds
from benchmarks.tables import Table, note
from napari_sbd.core.recover import recover
from napari_sbd.core.recovery import Recovery
from napari_sbd.simulate import ldos_kernel

Real = NDArray[np.floating]

SIZE, WINDOW, DEFECTS, SPREAD, CLOSEST = 256, 25, 60, 0.1, 20.0
NOISES = {20.0: (0.03, 0.999), 3.0: (0.07, 0.995)}  # dB: largest error in px, least similarity
COVERED = 1.96
FINE = 64


def scene(seed: int, snr: float) -> tuple[Real, Real, Real, Real]:
    """Image, positions, amplitudes and kernel; all defects well inside the frame and apart."""
    rng = np.random.default_rng(seed)
    kernel = ldos_kernel(WINDOW)
    half = WINDOW // 2
    places: list[Real] = []
    while len(places) < DEFECTS:
        place = rng.uniform(half + 1, SIZE - half - 2, 2)
        if all(np.linalg.norm(place - other) >= CLOSEST for other in places):
            places.append(place)
    positions = np.array(places)
    amplitudes = 1 + SPREAD * rng.uniform(-1, 1, DEFECTS)
    size = SIZE + 1  # odd: no Nyquist frequency, at which a shift is ambiguous
    first = positions - half
    rows = np.exp(-2j * np.pi * np.outer(first[:, 0], fft.fftfreq(size)))
    cols = np.exp(-2j * np.pi * np.outer(first[:, 1], fft.rfftfreq(size)))
    spectrum = ((rows * amplitudes[:, None]).T @ cols) * fft.rfft2(kernel, (size, size))
    clean = fft.irfft2(spectrum, (size, size))[:SIZE, :SIZE]
    noise = clean.std() * 10 ** (-snr / 20)
    return clean + noise * rng.standard_normal(clean.shape), positions, amplitudes, kernel


def run(seeds: Iterable[int]) -> None:
    """Figures of every seed, and of all together."""
    seeds = list(seeds)
    columns = [
        "dB",
        "seed",
        "F1",
        "error RMS px",
        "shift to 1/64 px",
        "bound",
        "similarity",
        "covered",
        "CPU s",
    ]
    title = f"{DEFECTS} defects between pixels on {SIZE}², window {WINDOW}, amplitudes 1 ± {SPREAD:g}"
    table = Table(title, columns, {"F1": 6, "bound": 6, "CPU s": 6, "covered": 8})
    for snr, (largest, least) in NOISES.items():
        rms, fine, similarities, deviations = [], [], [], []
        for seed in seeds:
            image, positions, amplitudes, kernel = scene(seed, snr)
            seconds, recovery = cpu_seconds(recover, image, kernel_size=WINDOW, seed=seed)
            found = recovery.kernels[0, 0]
            points = found_points(recovery, 0)
            match = yardsticks.match_points(
                points + yardsticks.kernel_shift(found, kernel), positions, WITHIN
            )
            shifted = points + yardsticks.kernel_shift(found, kernel, FINE)
            rms.append(match["rms_error"])
            fine.append(yardsticks.match_points(shifted, positions, WITHIN)["rms_error"])
            similarities.append(yardsticks.kernel_similarity(found, kernel, 8))
            ratio = _deviations(recovery, shifted, positions, amplitudes)
            deviations.append(ratio)
            table.row(
                f"{snr:g}",
                seed,
                f"{match['f1']:.3f}",
                f"{rms[-1]:.4f}",
                f"{fine[-1]:.4f}",
                f"{_bound(kernel, snr, image):.4f}",
                f"{similarities[-1]:.5f}",
                f"{np.mean(np.abs(ratio) <= COVERED):.3f}",
                f"{seconds:.1f}",
            )
        every = np.concatenate(deviations)
        inside = np.mean(np.abs(every) <= COVERED)
        note(f"  {snr:g} dB: RMS {_rms(rms):.4f} px (at most {largest:g}), finer shift {_rms(fine):.4f}")
        note(f"  lowest similarity at 1/8 px {min(similarities):.5f} (at least {least:g})")
        note(f"  95 % intervals hold {inside:.3f} of {len(every)} true amplitudes (.90 to .99)")
        note(f"  deviation over standard error: mean {every.mean():+.2f}, std {every.std():.2f}")


def _deviations(recovery: Recovery, points: Real, positions: Real, amplitudes: Real) -> Real:
    """Error of each matched amplitude over its standard error."""
    apart, nearest = spatial.KDTree(positions).query(points)
    table = recovery.defects[recovery.defects["type"] == 0]
    difference = table["amplitude"].to_numpy() - amplitudes[nearest]
    return np.asarray(difference / table["amplitude_error"].to_numpy())[apart <= WITHIN]


def _bound(kernel: Real, snr: float, image: Real) -> float:
    """Cramér-Rao bound of a single defect's position error, kernel known."""
    noise = np.sqrt(image.var() / (1 + 10 ** (snr / 10)))
    slopes = np.gradient(np.pad(kernel, 2))
    return float(noise * np.sqrt(sum(1 / np.sum(slope**2) for slope in slopes)))


def _rms(values: Iterable[float]) -> float:
    return float(np.sqrt(np.nanmean(np.square(list(values)))))
