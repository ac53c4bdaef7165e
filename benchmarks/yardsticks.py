"""How a recovery is measured against a known truth.

``../shared/score.py``, where it lies beside the repository, is used as it is, so that everybody measures the
same thing; elsewhere the functions below, which give the same numbers, take its place.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.optimize import linear_sum_assignment
from scipy.signal import fftconvolve
from scipy.sparse.linalg import LinearOperator, cg

Real = NDArray[np.floating]

SHARED = Path(__file__).resolve().parents[2] / "shared"


def kernel_similarity(found: Real, truth: Real, upsample: int = 1) -> float:
    """Largest normalised correlation of two kernels over all shifts and both signs.

    Parameters
    ----------
    found, truth : array (rows, cols) or (slices, rows, cols)
        Windows may differ; slices share one shift and one sign.
    upsample : int
        Shifts of ``1 / upsample`` pixels are tried, by band-limited interpolation.
    """
    return min(1.0, float(np.abs(_cross_correlation(found, truth, upsample)).max()))


def kernel_shift(found: Real, truth: Real, upsample: int = 8) -> Real:
    """Pixels (row, col) by which the found kernel lies off the true one; add it to found positions."""
    cross = np.abs(_cross_correlation(found, truth, upsample))
    size = np.array(cross.shape)
    peak = np.array(np.unravel_index(cross.argmax(), cross.shape), float)
    peak = np.where(peak > size / 2, peak - size, peak) / upsample
    pairs = zip(np.shape(found)[-2:], np.shape(truth)[-2:], strict=True)
    return np.asarray(peak - [(m - 1) // 2 - (n - 1) // 2 for m, n in pairs])


def _cross_correlation(found: Real, truth: Real, upsample: int) -> Real:
    a, b = (np.reshape(k, (-1, *np.shape(k)[-2:])).astype(float) for k in (found, truth))
    if len(a) != len(b):
        raise ValueError(f"found has {len(a)} slices and truth {len(b)}: compare kernels of the same slices")
    # Even sizes: the spectrum is then padded alike on both sides.
    shape = [2 * fft.next_fast_len((m + n) // 2) for m, n in zip(a.shape[1:], b.shape[1:], strict=True)]
    spectrum = fft.fftshift((fft.fft2(a, shape) * np.conj(fft.fft2(b, shape))).sum(0))
    margins = [(n * (upsample - 1) // 2,) * 2 for n in shape]
    cross = fft.ifft2(fft.ifftshift(np.pad(spectrum, margins))).real * upsample**2
    return np.asarray(cross / (np.linalg.norm(a) * np.linalg.norm(b)))


def match_points(found: Real, truth: Real, within: float) -> dict[str, float]:
    """Precision, recall, F1 and median error of points (row, col) matched one to one within a distance."""
    found, truth = (np.asarray(p, float).reshape(-1, 2) for p in (found, truth))
    errors = np.empty(0)
    if len(found) and len(truth):
        apart = np.linalg.norm(found[:, None] - truth[None], axis=-1)
        pairs = linear_sum_assignment(np.where(apart <= within, apart, 1e6))
        errors = apart[pairs][apart[pairs] <= within]
    hits = len(errors)
    precision = hits / len(found) if len(found) else float(not len(truth))
    recall = hits / len(truth) if len(truth) else 1.0
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if precision + recall else 0.0,
        "hits": hits,
        "median_error": float(np.median(errors)) if hits else float("nan"),
        "rms_error": float(np.sqrt(np.mean(errors**2))) if hits else float("nan"),
    }


def oracle_similarity(y: Real, x: Real, truth: Real) -> float:
    """Similarity of the least-squares kernel, a bias included, when the true map is known: the bound.

    Parameters
    ----------
    y, x : array (rows, cols)
        Image and true activation map without defects outside the frame.
    truth : array (k1, k2)
    """
    rows, cols = truth.shape
    before = [((k - 1) // 2, k // 2) for k in truth.shape]
    # Map with room for the kernel on both sides: its "valid" convolution is the image.
    padded = np.pad(x, [(k - 1 - f, k - 1 - b) for (f, b), k in zip(before, truth.shape, strict=True)])
    turned = padded[::-1, ::-1]

    def forward(a: Real) -> Real:
        image = fftconvolve(padded, a.reshape(rows, cols), "valid")
        return np.asarray(image - image.mean())

    def adjoint(r: Real) -> Real:
        return np.asarray(fftconvolve(turned, r - r.mean(), "valid")).ravel()

    normal = LinearOperator((truth.size, truth.size), matvec=lambda a: adjoint(forward(a)), dtype=float)
    kernel, _ = cg(normal, adjoint(y), rtol=1e-8, maxiter=500)
    return kernel_similarity(kernel.reshape(rows, cols), truth)


def _shared_score() -> ModuleType | None:
    spec = importlib.util.spec_from_file_location("score", SHARED / "score.py")
    if spec is None or spec.loader is None or not (SHARED / "score.py").is_file():
        return None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


NAMES = ("kernel_similarity", "kernel_shift", "match_points", "oracle_similarity")
SOURCE = "benchmarks/yardsticks.py"
if (_score := _shared_score()) is not None:
    globals().update({name: getattr(_score, name) for name in NAMES})
    SOURCE = "../shared/score.py"
