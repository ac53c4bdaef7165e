"""A finished recovery as it is worked with: its image normalised again, its kernels and maps with it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.descent import Iterate
from napari_sbd.core.device import HOST, Device
from napari_sbd.core.normalise import normalised
from napari_sbd.core.objective import Objective
from napari_sbd.core.observation import Observation
from napari_sbd.core.sites import Sites
from napari_sbd.core.sparsity import matched_noise
from napari_sbd.core.symmetry import Ties

Real = NDArray[np.floating]

FEW = 10  # of so many places one that is active, at most, where maps are nearly empty


@dataclass(frozen=True, eq=False)
class Revisit:
    """What least squares with a finished recovery need: slices of equal noise, and the way back.

    Parameters
    ----------
    objective : Objective
        The image, normalised, seen with the recovery's window.
    found : Iterate
        Kernels of unit norm and extended maps, in the unit of the normalised image.
    scales : array (slices,)
        Factor of each slice that gives the image's unit back.
    norms : array (types,)
        Amplitude in the image's unit over that in the normalised one.
    """

    objective: Objective
    found: Iterate
    scales: Real
    norms: Real

    @property
    def rest(self) -> Real:
        """What the model leaves of the normalised image (slices, rows, cols); zero where masked."""
        return -self.objective.left(self.found.kernels, self.found.maps)

    def returned(self, kernels: Real) -> Real:
        """Kernels of the normalised image in the image's unit, each of unit norm."""
        scaled = kernels.astype(float) * self.scales[None, :, None, None]
        size = np.linalg.norm(scaled.reshape(len(scaled), -1), axis=1)
        return np.asarray(scaled / np.where(size > 0, size, 1)[:, None, None, None])


def revisit(seen: Observation, kernels: Real, extended: Real, device: Device = HOST) -> Revisit:
    """Normalise a recovered image again.

    Parameters
    ----------
    seen : Observation
    kernels : array (types, slices, k1, k2)
        Of unit norm, in the image's unit.
    extended : array (types, n1 + k1 - 1, n2 + k2 - 1)
        Extended activation maps, in the image's unit.
    device : Device
    """
    normal = normalised(seen)
    window = (kernels.shape[2], kernels.shape[3])
    return revisited(Objective(normal.data, seen.mask, window, device), normal.scales, kernels, extended)


def revisited(raw: Objective, scales: Real, kernels: Real, extended: Real) -> Revisit:
    """The same where the image as it is normalised and its scales are known."""
    objective = Objective(raw.data, raw.mask, (kernels.shape[2], kernels.shape[3]), raw.device)
    found, norms = as_normalised(kernels, extended, scales)
    return Revisit(objective, found, scales, norms)


def as_normalised(kernels: Real, extended: Real, scales: Real) -> tuple[Iterate, Real]:
    """Kernels and maps in the image's unit as an iterate of the normalised one; each type's factor.

    Takes back what `in_image_unit` does.
    """
    plain = kernels / scales[None, :, None, None]
    size = np.linalg.norm(plain.reshape(len(plain), -1), axis=1)
    size = np.where(size > 0, size, 1)
    unit = (plain / size[:, None, None, None]).astype(np.float32)
    return Iterate(unit, _scaled(extended, size, np.float32), np.inf), 1 / size


def in_image_unit(found: Iterate, scales: Real) -> tuple[Real, Real, Real]:
    """Kernels of unit norm and extended maps in the image's unit, and the factor of each type's maps.

    Parameters
    ----------
    found : Iterate
        In the unit of the normalised image.
    scales : array (slices,)
        Factor of each slice that gives the image's unit back.
    """
    scaled = found.kernels.astype(float) * scales[None, :, None, None]
    size = np.linalg.norm(scaled.reshape(len(scaled), -1), axis=1)
    norms = np.where(size > 0, size, 1)
    return scaled / norms[:, None, None, None], _scaled(found.maps, norms, float), norms


def _scaled(maps: Real, factors: Real, dtype: type[np.floating] | type[float]) -> Real:
    """Maps times a factor for each type; of those nearly empty only what is not zero takes memory."""
    if np.count_nonzero(maps != 0) * FEW > maps.size:
        return np.asarray((maps * factors[:, None, None]).astype(dtype))
    sites = Sites.of(maps)
    scaled = np.zeros(maps.shape, dtype)
    scaled[sites.kinds, sites.rows, sites.cols] = sites.read(maps) * factors[sites.kinds]
    return scaled


def upright(found: Iterate, ties: Ties | None = None) -> Iterate:
    """The same with the signs for which `Σ x ≥ 0`, over all orientations of a type."""
    sums = found.maps.sum((1, 2), dtype=float)
    if ties is not None:
        sums = np.bincount(ties.types, sums)[ties.types]
    signs = np.where(sums < 0, -1, 1).astype(found.maps.dtype)
    if (signs > 0).all():
        return found
    return replace(
        found, kernels=found.kernels * signs[:, None, None, None], maps=found.maps * signs[:, None, None]
    )


def amplitude_noise(objective: Objective, left: Real, kernels: Real, norms: Real) -> tuple[float, ...]:
    """Standard deviation of the noise that an amplitude of each type meets, in the image's unit.

    Parameters
    ----------
    objective : Objective
    left : array (slices, rows, cols)
        Residual, in the unit of the normalised image.
    kernels : array (types, slices, k1, k2)
    norms : array (types,)
        See `in_image_unit`.
    """
    levels = [n * matched_noise(objective, left, a) for n, a in zip(norms, kernels, strict=True)]
    return tuple(float(level) for level in levels)
