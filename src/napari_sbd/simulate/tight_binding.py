"""Impurities on a square lattice: change of the local density of states (LDoS) by the T-matrix.

The band is E(k) = -2t (cos kx + cos ky) - 4t' cos kx cos ky with t = 1 and t' = -0.3, energies in units of t
and lengths in lattice constants. With these signs the band's bottom, E = -2.8, lies at k = 0, where E = -2.8
+ 0.4 k^2 + O(k^4): contours of constant energy, and so the Friedel rings round an impurity, are nearly round
(k differs by 11 % between axis and diagonal at E = -2.4) and squarer the nearer E comes to the van Hove
singularity at -1.2. The mass is large enough that a broadening of 0.08 makes the rings fade within a few
periods.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, linalg

from napari_sbd.simulate._validation import checked_positive
from napari_sbd.simulate.sample import FloatArray

HOPPING = 1.0
NEXT_HOPPING = -0.3
BAND_BOTTOM = -4 * HOPPING - 4 * NEXT_HOPPING
VAN_HOVE = 4 * NEXT_HOPPING

ComplexArray = NDArray[np.complex128]


def band_energy(kx: ArrayLike, ky: ArrayLike) -> FloatArray:
    """Return the band's energy at wave vectors in units of 1 / lattice constant.

    Parameters
    ----------
    kx, ky : array_like
        Components of the wave vector; they are broadcast against each other.

    Returns
    -------
    float array
        Energy in units of the hopping.

    Examples
    --------
    >>> float(band_energy(0.0, 0.0).round(6))
    -2.8
    """
    cx, cy = np.cos(np.asarray(kx, float)), np.cos(np.asarray(ky, float))
    return np.asarray(-2 * HOPPING * (cx + cy) - 4 * NEXT_HOPPING * cx * cy)


def wave_number(energy: float) -> float:
    """Return the wave number along a lattice axis at which the band has this energy.

    The rings of the LDoS round an impurity are pi / wave number apart, in lattice constants.

    Parameters
    ----------
    energy : float
        Energy in units of the hopping, between the band's bottom and the van Hove singularity.

    Raises
    ------
    ValueError
        If the energy lies outside that range, where there are no rings.

    Examples
    --------
    >>> round(wave_number(-2.4), 4)
    1.0472
    """
    if not BAND_BOTTOM < energy < VAN_HOVE:
        raise ValueError(
            f"energy is {energy}; give one between the band's bottom {BAND_BOTTOM:g} and the van Hove "
            f"singularity {VAN_HOVE:g}, in units of the hopping"
        )
    return float(np.arccos(-(energy + 2 * HOPPING) / (2 * HOPPING + 4 * NEXT_HOPPING)))


def group_velocity(energy: float) -> float:
    """Return dE/dk along a lattice axis; the LDoS of an impurity fades as exp(-2 broadening r / velocity)."""
    return float((2 * HOPPING + 4 * NEXT_HOPPING) * np.sin(wave_number(energy)))


@lru_cache(maxsize=16)
def greens_function(energy: float, broadening: float, size: int) -> ComplexArray:
    """Return the bare lattice Green's function G0(r, E + i broadening).

    G0(r) is the mean over a mesh of size x size wave vectors of exp(i k r) / (E + i broadening - E(k)), by
    FFT. The mesh makes the lattice periodic: take a size of several velocity / broadening beyond the largest
    r needed.

    Parameters
    ----------
    energy, broadening : float
        In units of the hopping; the broadening is positive.
    size : int
        Points of the mesh along each axis.

    Returns
    -------
    (size, size) complex array
        G0 at r = (i, j) lattice constants, negative ones counted from the end. Read-only, as it is cached.

    Raises
    ------
    ValueError
        If the broadening is not positive.

    Examples
    --------
    >>> green = greens_function(-2.4, 0.08, 256)
    >>> bool(green[0, 0].imag < 0), bool(np.isclose(green[3, 1], green[-1, 3]))
    (True, True)
    """
    checked_positive(broadening, "broadening")
    k = 2 * np.pi * fft.fftfreq(size)
    green: ComplexArray = fft.ifft2(1 / (energy + 1j * broadening - band_energy(k[:, None], k[None, :])))
    green.setflags(write=False)
    return green


def t_matrix(sites: ArrayLike, strengths: ArrayLike, green: ComplexArray) -> ComplexArray:
    """Return the T-matrix of point impurities, all orders of scattering between them included.

    T = (V^-1 - G0)^-1 with V the diagonal matrix of strengths and G0 the matrix of G0(r_i - r_j).

    Parameters
    ----------
    sites : (n, 2) int array_like
        Lattice site (row, col) of each impurity, no site twice.
    strengths : (n,) array_like
        Potential of each impurity in units of the hopping; none is 0.
    green : (size, size) complex array
        Result of `greens_function`.

    Returns
    -------
    (n, n) complex array

    Raises
    ------
    ValueError
        If a strength is 0, a site occurs twice or the numbers of sites and strengths differ.

    Examples
    --------
    >>> green = greens_function(-2.4, 0.08, 256)
    >>> t = t_matrix([[0, 0]], [2.0], green)
    >>> bool(np.isclose(t[0, 0], 1 / (1 / 2.0 - green[0, 0])))
    True
    """
    places = np.asarray(sites, np.int64).reshape(-1, 2)
    potentials = np.asarray(strengths, float).ravel()
    if len(places) != len(potentials):
        raise ValueError(
            f"sites has {len(places)} rows and strengths {len(potentials)} values; give one per impurity"
        )
    if np.any(potentials == 0) or not np.all(np.isfinite(potentials)):
        raise ValueError(
            "strengths holds a 0 or a value that is not finite; leave out impurities of strength 0"
        )
    if len(np.unique(places, axis=0)) != len(places):
        raise ValueError("sites holds a site twice; give each impurity a lattice site of its own")
    inverse = np.diag(1 / potentials) - _between(places, places, green)
    solved: ComplexArray = linalg.inv(inverse)
    return solved


def ldos_change(
    sites: ArrayLike, strengths: ArrayLike, shape: tuple[int, int], green: ComplexArray
) -> FloatArray:
    """Return the change of the LDoS at every site of a lattice, by exact multiple scattering.

    delta rho(r) = -1/pi Im sum_ij G0(r - r_i) T_ij G0(r_j - r).

    Parameters
    ----------
    sites, strengths, green
        As in `t_matrix`; sites are counted from the first site of the lattice that is returned.
    shape : (rows, cols)
        Number of lattice sites to return.

    Returns
    -------
    (rows, cols) float array
        In states per site and unit of hopping.

    Raises
    ------
    ValueError
        As `t_matrix`; and if the Green's function reaches less far than the lattice.

    Examples
    --------
    >>> green = greens_function(-2.4, 0.08, 256)
    >>> change = ldos_change([[8, 8]], [1.0], (17, 17), green)
    >>> bool(np.allclose(change, change.T))
    True
    """
    if 2 * max(shape) > len(green):
        raise ValueError(
            f"green has size {len(green)}; for a lattice of {shape} make it at least {2 * max(shape)}"
        )
    t = t_matrix(sites, strengths, green)
    lattice = np.indices(shape).reshape(2, -1).T
    propagated = _between(lattice, np.asarray(sites, np.int64).reshape(-1, 2), green)
    change: FloatArray = -np.einsum("rj,rj->r", propagated @ t, propagated).imag / np.pi
    return change.reshape(shape)


def _between(first: NDArray[np.int64], second: NDArray[np.int64], green: ComplexArray) -> ComplexArray:
    apart = first[:, None, :] - second[None, :, :]
    between: ComplexArray = green[apart[..., 0], apart[..., 1]]
    return between
