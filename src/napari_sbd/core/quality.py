"""How far to trust a recovery, and how near it comes to a known truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from napari_sbd.core.window_transform import transform_of

Real = NDArray[np.floating]
Complex = NDArray[np.complexfloating]

LEAST_SHOWN = 0.5  # of a kernel's energy, in the part that is compared
SAME_START = 0.75  # similarity of a start's kernel after stage I to the final one


# Similarity on what both windows show, from which one kernel is on its way to another.
KNOWN = 0.97


def kernel_similarity(found: Real, truth: Real) -> float:
    """Similarity in [0, 1] of two kernels up to shift by whole pixels and sign; 1 means equal.

    Parameters
    ----------
    found, truth : array (rows, cols) or (slices, rows, cols)
        Kernels of any norm; windows may differ, slices may not.

    Raises
    ------
    ValueError
        If the numbers of slices differ.

    Examples
    --------
    >>> kernel = np.array([[0.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 0.0]])
    >>> round(kernel_similarity(-2 * np.pad(kernel, ((0, 2), (1, 0))), kernel), 6)
    1.0
    """
    return abs(signed_similarity(found, truth))


def signed_similarity(found: Real, truth: Real) -> float:
    """Similarity as `kernel_similarity`, negative where one kernel is the other upside down.

    Examples
    --------
    >>> kernel = np.array([[0.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 0.0]])
    >>> round(signed_similarity(-2 * kernel, kernel), 6)
    -1.0
    """
    cross, norms = _cross_correlation(found, truth)
    best = cross.flat[int(np.abs(cross).argmax())]
    return float(np.clip(best / norms, -1, 1)) if norms > 0 else 0.0


def best_shift(found: Real, truth: Real) -> tuple[int, int]:
    """Whole pixels (rows, cols) by which the found kernel lies off another of the same window.

    Examples
    --------
    >>> kernel = np.array([[0.0, 0.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 0.0]])
    >>> best_shift(np.roll(kernel, -1, axis=0), kernel)
    (-1, 0)
    """
    cross, _ = _cross_correlation(found, truth)
    peak = np.unravel_index(int(np.abs(cross).argmax()), cross.shape)
    row, col = (int(p) - n if p > n // 2 else int(p) for p, n in zip(peak, cross.shape, strict=True))
    return row, col


def _cross_correlation(found: Real, truth: Real) -> tuple[Real, float]:
    a, b = (np.reshape(k, (-1, *np.shape(k)[-2:])).astype(float) for k in (found, truth))
    if len(a) != len(b):
        raise ValueError(f"found has {len(a)} slices and truth {len(b)}: compare kernels of the same slices")
    shape = tuple(fft.next_fast_len(m + n - 1) for m, n in zip(a.shape[1:], b.shape[1:], strict=True))
    cross = fft.irfft2((fft.rfft2(a, shape) * np.conj(fft.rfft2(b, shape))).sum(0), shape)
    return np.asarray(cross), float(np.linalg.norm(a) * np.linalg.norm(b))


def agreement(kernels: list[Real], best: Real, alike: float = 0.9) -> int:
    """How many of the kernels are the best one up to shift and sign, by a similarity of at least `alike`."""
    return sum(kernel_similarity(kernel, best) >= alike for kernel in kernels)


def overlap_similarity(found: Real, truth: Real) -> float:
    """Similarity in [0, 1] of two kernels up to sign and shift, on the part that both windows show.

    A kernel that settled some pixels aside has lost what lies beyond its window: that is no disagreement.
    Shifts at which either kernel shows less than half of its energy do not count.

    Parameters
    ----------
    found, truth : array (rows, cols) or (slices, rows, cols)

    Examples
    --------
    >>> kernel = np.outer(np.hanning(9), np.hanning(9))
    >>> cut = np.pad(kernel, ((0, 3), (0, 0)))[3:]
    >>> round(kernel_similarity(cut, kernel), 2), round(overlap_similarity(cut, kernel), 2)
    (0.95, 1.0)
    """
    shape = overlap_shape(found, truth)
    return likest(overlap_spectra(found, shape), overlap_spectra(truth, shape), shape)


def overlap_shape(found: Real, truth: Real) -> tuple[int, int]:
    """Rows and columns of the transforms by which two kernels are compared."""
    rows, cols = (
        fft.next_fast_len(m + n - 1) for m, n in zip(found.shape[-2:], truth.shape[-2:], strict=True)
    )
    return rows, cols


def overlap_spectra(kernel: Real, shape: tuple[int, int]) -> Complex:
    """Transforms of a kernel's slices, of its energy and of its window, for `likest`."""
    slices = np.reshape(kernel, (-1, *kernel.shape[-2:])).astype(np.float32)
    shown = np.concatenate([slices, [np.square(slices).sum(0), np.ones_like(slices[0])]])
    transform = transform_of((shown.shape[1], shown.shape[2]), shape, shown.dtype)
    return transform.forward(shown)


def likest(own: Complex, other: Complex, shape: tuple[int, int]) -> float:
    """`overlap_similarity` of two kernels, from their transforms: where one is compared with many."""
    other = np.conj(other)
    alike = np.einsum("sij,sij->ij", own[:-2], other[:-2])
    # Correlation, and energy of either kernel within the other's window, by transforms of all at once.
    cross, shown, wanted = fft.irfft2(np.stack([alike, own[-2] * other[-1], own[-1] * other[-2]]), shape)
    enough = (shown > LEAST_SHOWN * shown.max()) & (wanted > LEAST_SHOWN * wanted.max())
    if not enough.any():
        return 0.0
    return float(np.clip((np.abs(cross[enough]) / np.sqrt(shown[enough] * wanted[enough])).max(), 0, 1))


def starts_agreeing(kernels: list[Real], best: Real) -> int:
    """How many starts ended stage I in the kernel that was chosen in the end.

    Stage I ends at a large λ, so its kernels are rough: in crowded fields .86 to .95 alike where they are
    right, .35 and less where they are not.
    """
    different = {id(kernel): kernel for kernel in kernels}  # many starts end in one and the same
    alike = {key: overlap_similarity(kernel, best) >= SAME_START for key, kernel in different.items()}
    return sum(alike[id(kernel)] for kernel in kernels)
