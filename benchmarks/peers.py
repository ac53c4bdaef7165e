"""Other programs on the same image: SPORCO's convolutional dictionary learning."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import cpu_seconds

Real = NDArray[np.floating]

ITERATIONS = 500
LAM = 0.1
# Penalty parameters of SPORCO's own dictionary learning examples.
RHO_MAPS, RHO_KERNEL = 50 * LAM + 0.5, 10.0


@dataclass(frozen=True)
class Learned:
    """A kernel that was learned, and the CPU seconds it took."""

    kernel: Real
    seconds: float


def sporco_missing() -> str:
    """Why SPORCO cannot be measured; empty where it can."""
    try:
        import sporco  # noqa: F401
    except ImportError as error:
        return f"SPORCO is not installed ({error}): pip install sporco adds it to the table."
    return ""


def sporco(image: Real, window: int, scale: float) -> Learned:
    """Learn one filter with ``ConvBPDNDictLearn`` from the patch round the strongest pixel.

    Parameters
    ----------
    image : array (rows, cols)
    window : int
        Size of the filter.
    scale : float
        The image is divided by it, after its median was taken away: SPORCO fits no constant, and λ
        presupposes a scale.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import sporco.fft
        from sporco.dictlrn.cbpdndl import ConvBPDNDictLearn

    sporco.fft.pyfftw_threads = 1
    data = ((image - np.median(image)) / scale).astype(np.float32)
    options = ConvBPDNDictLearn.Options(
        {
            "Verbose": False,
            "MaxMainIter": ITERATIONS,
            "CBPDN": {"rho": RHO_MAPS},
            "CCMOD": {"rho": RHO_KERNEL},
        },
        dmethod="cns",
    )
    first = _strongest_patch(data, window)[..., None]

    def learn() -> Real:
        solver = ConvBPDNDictLearn(first, data, LAM, options, dimK=0, dmethod="cns")
        return np.asarray(solver.solve()).squeeze()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seconds, kernel = cpu_seconds(learn)
    return Learned(kernel, seconds)


def _strongest_patch(data: Real, window: int) -> Real:
    place = np.unravel_index(np.abs(data).argmax(), data.shape)
    row, col = (int(np.clip(p - window // 2, 0, n - window)) for p, n in zip(place, data.shape, strict=True))
    return data[row : row + window, col : col + window].copy()
