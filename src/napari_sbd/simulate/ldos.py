"""What an STM tip sees of a lattice's LDoS, and kernels of single impurities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from napari_sbd.simulate._validation import checked_positive, checked_window
from napari_sbd.simulate.sample import FloatArray
from napari_sbd.simulate.tight_binding import greens_function, group_velocity, ldos_change

LATTICE_PX = 3.1
LATTICE_NM = 0.39
TIP_PX = 1.5
PIXEL_NM = LATTICE_NM / LATTICE_PX


def tip_image(
    ldos: NDArray[Any],
    origin: tuple[float, float],
    shape: tuple[int, int],
    lattice_px: float = LATTICE_PX,
    tip_px: float = TIP_PX,
) -> FloatArray:
    """Return a lattice's LDoS seen through a Gaussian tip: sum over sites of ldos(site) Gaussian(r - site).

    The Gaussian has unit integral times the area of a lattice cell, so that a constant LDoS gives the same
    constant. With a tip of half a lattice constant the corrugation left of the lattice itself is about 1 %.

    Parameters
    ----------
    ldos : (m1, m2) array
        Value at each lattice site.
    origin : (row, col)
        Where the first site lies, in pixels of the image; it may lie outside the frame and between pixels.
    shape : (rows, cols)
        Shape of the image.
    lattice_px, tip_px : float
        Lattice constant and standard deviation of the tip, in pixels.

    Returns
    -------
    (rows, cols) float array

    Raises
    ------
    ValueError
        If the lattice constant or the width of the tip is not positive.

    Examples
    --------
    >>> image = tip_image(np.ones((30, 30)), (-9.0, -9.0), (64, 64))
    >>> bool(abs(image.mean() - 1) < 0.01)
    True
    """
    checked_positive(lattice_px, "lattice_px")
    checked_positive(tip_px, "tip_px")
    rows, cols = (
        np.exp(-((np.arange(n)[:, None] - first - lattice_px * np.arange(m)) ** 2) / (2 * tip_px**2))
        * (lattice_px / (tip_px * np.sqrt(2 * np.pi)))
        for n, m, first in zip(shape, ldos.shape, origin, strict=True)
    )
    seen: FloatArray = rows @ ldos @ cols.T
    return seen


def impurity_image(
    window: int,
    energy: float,
    broadening: float,
    strength: float,
    lattice_px: float = LATTICE_PX,
    tip_px: float = TIP_PX,
) -> FloatArray:
    """Return the LDoS change of one impurity on the centre pixel of an odd window, as a tip sees it.

    Parameters
    ----------
    window : int
        Odd size of the square window in pixels.
    energy, broadening, strength : float
        In units of the hopping.
    lattice_px, tip_px : float
        Lattice constant and standard deviation of the tip, in pixels.

    Returns
    -------
    (window, window) float array
        In states per site and unit of hopping; not normalised.

    Raises
    ------
    ValueError
        If the window is even or smaller than 3, or the energy outside the band's range with rings.

    Examples
    --------
    >>> image = impurity_image(41, -2.4, 0.08, 1.0)
    >>> bool(np.allclose(image, image[::-1])), int(abs(image).argmax())
    (True, 840)
    """
    half = checked_window(window) // 2
    checked_positive(broadening, "broadening")
    checked_positive(lattice_px, "lattice_px")
    reach = int(np.ceil((half + 5 * tip_px) / lattice_px))
    mesh = fft.next_fast_len(int(4 * reach + 16 * group_velocity(energy) / broadening))
    green = greens_function(energy, broadening, mesh)
    change = ldos_change([[reach, reach]], [strength], (2 * reach + 1, 2 * reach + 1), green)
    first = half - reach * lattice_px
    return tip_image(change, (first, first), (window, window), lattice_px, tip_px)


def ldos_kernel(
    window: int,
    energy: float = -2.4,
    *,
    broadening: float | None = None,
    strength: float = -2.5,
    lattice_px: float = LATTICE_PX,
    tip_px: float = TIP_PX,
    taper: bool = True,
) -> FloatArray:
    """Return one impurity's kernel, of unit norm: Friedel rings that fill the window and fade to its edge.

    For tests and measurements that need many kernels of one family: the energy sets the distance of the rings
    (about 16 px at -2.65, 9 px at -2.4, 6 px at -2.0 with the default lattice constant).

    Parameters
    ----------
    window : int
        Odd size of the square window in pixels.
    energy : float
        Between the band's bottom -2.8 and the van Hove singularity -1.2, in units of the hopping.
    broadening : float, optional
        In units of the hopping. By default such that the rings decay by exp(-1), beside their 1 / r, from the
        centre to the edge; within 0.03 to 0.12.
    strength : float
        Potential of the impurity in units of the hopping, not 0. An attractive one (negative) near the bottom
        of the band has the stronger rings.
    lattice_px, tip_px : float
        Lattice constant and standard deviation of the tip, in pixels.
    taper : bool
        Let the outer quarter of the radius fade to 0, so that the window cuts nothing off.

    Returns
    -------
    (window, window) float array
        Unit Frobenius norm, the impurity on the centre pixel.

    Raises
    ------
    ValueError
        If the window is even or smaller than 3, the energy out of range, a length not positive or the
        strength 0.

    References
    ----------
    Cheung et al., Nat. Commun. 11, 1081 (2020), for recovery tests on simulated LDoS kernels.

    Examples
    --------
    >>> kernel = ldos_kernel(25, -2.2)
    >>> kernel.shape, round(float(np.linalg.norm(kernel)), 12)
    ((25, 25), 1.0)
    """
    radius = checked_window(window) / 2
    checked_positive(lattice_px, "lattice_px")
    if broadening is None:
        broadening = float(np.clip(0.5 * group_velocity(energy) * lattice_px / radius, 0.03, 0.12))
    kernel = impurity_image(window, energy, broadening, strength, lattice_px, tip_px)
    if taper:
        distance = np.linalg.norm(np.indices(kernel.shape) - window // 2, axis=0)
        kernel *= 0.5 + 0.5 * np.cos(np.pi * np.clip(4 * distance / radius - 3, 0, 1))
    unit: FloatArray = kernel / np.linalg.norm(kernel)
    return unit
