"""How far to trust a recovery: its figures, and what they ask for in plain words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from napari_sbd.core.quality import kernel_similarity
from napari_sbd.core.symmetry import by_type
from napari_sbd.core.verdict import ALIKE, coincidence, strong_peaks

if TYPE_CHECKING:
    from napari_sbd.core.observation import Observation
    from napari_sbd.core.recovery import Recovery

Real = NDArray[np.floating]

EDGE_SHARE = 0.1  # of the window's side, that is its edge
AT_EDGE = 0.05  # power of a kernel's edge over its mean power, above which the window cuts it
WIDER = 4 / 3  # window to try then
FREQUENCIES = 8  # that are averaged along each axis, where whiteness is looked at
WHITE = 0.85  # whiteness, below which noise is not white
SHARP = 40.0  # power of a Fourier peak over that around it; speckle of random places reaches 18
LATTICE_LEFT = 0.05  # share of the image's power in sharp Fourier peaks
TOGETHER = 0.5  # share of a type's defects at one offset from another's


@dataclass(frozen=True)
class Trust:
    """Figures that say how far to trust a recovery.

    Parameters
    ----------
    starts, starts_agreeing : int
        How many starts there were, and how many ended in the kernel that was chosen.
    residual_to_noise : float
        Deviation of the residual over that of the pixel noise: 1 where nothing but noise is left.
    whiteness : float
        Geometric over arithmetic mean of the residual's power spectrum: 1 where no frequency stands out.
    lattice : float
        Share of the image's power in sharp Fourier peaks.
    edge : tuple of float
        For each type, power of a pixel at the window's edge over that of a pixel of the kernel, less noise.
    alike : tuple of float
        For each type, the largest similarity of its kernel to another type's; 0 where there is one type.
    together : tuple of float
        For each type, the share of its defects that sit at one offset from those of another type.
    lam, lam_max : float
        Final λ over λ_max, and λ_max in the image's unit.
    window : tuple of int
    hints : tuple of str
        What the figures ask for, in plain words.
    """

    starts: int
    starts_agreeing: int
    residual_to_noise: float
    whiteness: float
    lattice: float
    edge: tuple[float, ...]
    alike: tuple[float, ...]
    together: tuple[float, ...]
    lam: float
    lam_max: float
    window: tuple[int, int]
    hints: tuple[str, ...] = ()


def trust_of(recovery: Recovery) -> Trust:
    """Figures of a recovery, and what they ask for; of one that found nothing, hints are left out."""
    rest, quality = np.nan_to_num(recovery.residual), recovery.quality
    atoms = zip(recovery.shapes, _sizes(recovery), strict=True)
    lam = recovery.history["lam"].iloc[-1] if len(recovery.history) else np.nan
    figures = Trust(
        starts=int(quality.get("starts", 0)),
        starts_agreeing=int(quality.get("starts_agreeing", 0)),
        residual_to_noise=float(quality.get("residual_to_noise", np.nan)),
        whiteness=spectral_flatness(rest),
        lattice=periodic_share(recovery.observation),
        edge=tuple(power_at_edge(a, recovery.noise / size) for a, size in atoms if size > 0),
        alike=_alike(recovery.shapes),
        together=_together(recovery),
        lam=float(lam),
        lam_max=float(quality.get("lam_max", np.nan)),
        window=recovery.window,
    )
    return figures if recovery.nothing else replace(figures, hints=_hints(figures, recovery))


def _hints(trust: Trust, recovery: Recovery) -> tuple[str, ...]:
    hints = []
    if 2 * trust.starts_agreeing < trust.starts:
        hints.append("few starts agree: start from a box round one defect")
    if max(trust.edge, default=0.0) > AT_EDGE and recovery.status == "finished":
        limit = recovery.observation.shape
        wider = (min(int(WIDER * k) | 1, n) for k, n in zip(trust.window, limit, strict=True))
        sizes = dict.fromkeys(str(k) for k in wider)
        hints.append(f"kernel touches the window's edge: try {' × '.join(sizes)} px")
    if trust.lattice > LATTICE_LEFT:
        hints.append("a lattice is left in the image: remove it first")
    elif trust.whiteness < WHITE:
        hints.append("noise is not white")
    if max(trust.alike, default=0.0) > ALIKE:
        hints.append("two types look alike: they may be one")
    if max(trust.together, default=0.0) > TOGETHER:
        hints.append("two types sit side by side: they may be parts of one")
    return tuple(hints)


def spectral_flatness(residual: Real) -> float:
    """Geometric over arithmetic mean of a power spectrum (slices, rows, cols): 1 where it is white.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(1, 128, 128))
    >>> round(spectral_flatness(noise), 1), round(spectral_flatness(np.cumsum(noise, axis=2)), 1)
    (1.0, 0.0)
    """
    flatness = []
    for image in residual:
        power = np.abs(fft.fft2(image - image.mean())) ** 2
        size = [max(1, min(FREQUENCIES, n // 4)) for n in power.shape]
        means = ndimage.uniform_filter(power, size, mode="wrap")[:: size[0], :: size[1]]
        total = float(means.mean())
        flatness.append(
            float(np.exp(np.log(np.maximum(means, 1e-12 * total)).mean())) / total if total > 0 else 1.0
        )
    return float(np.mean(flatness))


def periodic_share(seen: Observation) -> float:
    """Share of an image's power in Fourier peaks that are sharp, as those of a lattice are.

    Examples
    --------
    >>> from napari_sbd.core.observation import observe
    >>> noise = np.random.default_rng(0).normal(size=(64, 64))
    >>> periodic_share(observe(noise)), periodic_share(observe(noise + np.sin(np.arange(64)))) > 0.2
    (0.0, True)
    """
    shape = seen.shape
    taper = np.outer(*(np.hanning(n + 2)[1:-1] for n in shape))
    ring = np.ones((7, 7)) / 40
    ring[2:5, 2:5] = 0
    sharp = whole = 0.0
    for data, inside in zip(seen.data, seen.mask, strict=True):
        level = data[inside].mean() if inside.any() else 0.0
        power = np.abs(fft.fft2(np.where(inside, data - level, 0) * taper)) ** 2
        power[np.ix_(range(-4, 5), range(-4, 5))] = 0  # slopes, not lattices
        around = ndimage.convolve(power, ring, mode="wrap")
        sharp += float(power[power > SHARP * np.maximum(around, 1e-12 * power.mean())].sum())
        whole += float(power.sum())
    return sharp / whole if whole > 0 else 0.0


def power_at_edge(kernel: Real, error: float) -> float:
    """Power of a pixel at the edge of a kernel (slices, k1, k2) over that of any, less what is noise.

    Parameters
    ----------
    kernel : array (slices, k1, k2)
        Of unit norm.
    error : float
        Deviation of the noise of a pixel of the kernel.

    Examples
    --------
    >>> power_at_edge(np.full((1, 11, 11), 1 / 11), 0.0)
    1.0
    """
    widths = [max(1, round(EDGE_SHARE * k)) for k in kernel.shape[1:]]
    edge = np.ones(kernel.shape[1:], bool)
    edge[widths[0] : -widths[0], widths[1] : -widths[1]] = False
    noise = error**2 * kernel.size
    share = float(np.square(kernel[:, edge]).mean()) * kernel.size - noise
    return round(max(share, 0.0), 6) if share > 2 * noise else 0.0


def _sizes(recovery: Recovery) -> list[float]:
    """Norm of each type's maps."""
    sizes = [float(np.linalg.norm(x)) for x in recovery.extended_activations]
    ties = recovery.ties
    return sizes if ties is None else np.sqrt(np.bincount(ties.types, np.square(sizes))).tolist()


def _alike(kernels: Real) -> tuple[float, ...]:
    table = np.array([[kernel_similarity(a, b) for b in kernels] for a in kernels])
    np.fill_diagonal(table, 0)
    return tuple(float(value) for value in table.max(1))


def _together(recovery: Recovery) -> tuple[float, ...]:
    strong = [strong_peaks(p) for p in by_type(recovery.peaks, recovery.ties)]
    shares = []
    for number, own in enumerate(strong):
        others = strong[:number] + strong[number + 1 :]
        shares.append(coincidence(own, others, recovery.window).share if len(own.centres) else 0.0)
    return tuple(shares)
