"""Other programs on the same image: SPORCO's convolutional dictionary learning, and inertial descent."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import cpu_seconds
from napari_sbd.core.descent import Iterate, Schedule, descend
from napari_sbd.core.objective import Penalty
from napari_sbd.core.recovery import Recovery
from napari_sbd.core.revisit import revisit

Real = NDArray[np.floating]

ITERATIONS = 500
LAM = 0.1
# Penalty parameters of SPORCO's own dictionary learning examples.
RHO_MAPS, RHO_KERNEL = 50 * LAM + 0.5, 10.0
# Of the inertial descent: steps, rounds of reweighting, and the share of the largest where weights halve.
INERTIAL, REWEIGHTINGS, SOFTENED = Schedule(600, 1e-5), 4, 0.1


@dataclass(frozen=True)
class Learned:
    """A kernel that was learned, its map on the image's pixels, and the CPU seconds it took."""

    kernel: Real
    map_: Real
    seconds: float


def sporco_missing() -> str:
    """Why SPORCO cannot be measured; empty where it can."""
    try:
        import sporco  # noqa: F401
    except ImportError as error:
        return f"SPORCO is not installed ({error}): pip install sporco adds it to the table."
    return ""


def sporco(image: Real, window: int, scale: float, lam: float = LAM) -> Learned:
    """Learn one filter with ``ConvBPDNDictLearn`` from the patch round the strongest pixel.

    Parameters
    ----------
    image : array (rows, cols)
    window : int
        Size of the filter.
    scale : float
        The image is divided by it, after its median was taken away: SPORCO fits no constant, and λ
        presupposes a scale.
    lam : float
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

    def learn() -> tuple[Real, Real]:
        solver = ConvBPDNDictLearn(first, data, lam, options, dimK=0, dmethod="cns")
        return np.asarray(solver.solve()).squeeze(), np.asarray(solver.getcoef()).squeeze()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seconds, (kernel, map_) = cpu_seconds(learn)
    # Its maps hold the corner of an atom, on a torus.
    return Learned(kernel, np.roll(map_, ((window - 1) // 2,) * 2, (0, 1)), seconds)


def inertial(recovery: Recovery, share: float) -> Learned:
    """The plain alternating descent with inertia (iPALM), reweighted, from the kernel that was recovered.

    Parameters
    ----------
    recovery : Recovery
        Of one type; its kernel is a better start than that program has.
    share : float
        λ over the kernel's largest correlation with the image.
    """
    past = revisit(recovery.observation, recovery.kernels, recovery.extended_activations)
    objective, kernels = past.objective, past.found.kernels
    lam, maps = share * float(np.abs(objective.correlation(kernels)).max()), np.zeros_like(past.found.maps)

    def learn() -> Iterate:
        found, weights = Iterate(kernels, maps, np.inf), None
        for _ in range(REWEIGHTINGS):
            penalty = Penalty(lam, nonnegative=True, weights=weights)
            *_, found = descend(objective, found.kernels, found.maps, penalty, INERTIAL)
            size = np.abs(found.maps) / max(float(np.abs(found.maps).max()), 1e-30)
            weights = (1 / (1 + size / SOFTENED)).astype(maps.dtype)
        return found

    seconds, found = cpu_seconds(learn)
    return Learned(found.kernels[0, 0], objective.convolution.on_frame(found.maps)[0], seconds)


def _strongest_patch(data: Real, window: int) -> Real:
    place = np.unravel_index(np.abs(data).argmax(), data.shape)
    row, col = (int(np.clip(p - window // 2, 0, n - window)) for p, n in zip(place, data.shape, strict=True))
    return data[row : row + window, col : col + window].copy()
