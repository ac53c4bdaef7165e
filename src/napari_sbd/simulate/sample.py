"""A simulated image together with everything that was put into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Sample:
    """A test image with known truth, in the conventions of the method.

    A defect sits at the pixel of its kernel's centre, index ``(k - 1) // 2`` of a window of k. Positions are
    (row, col) in pixels, counted from the centre of the first pixel, and may lie between pixels.

    Attributes
    ----------
    name : str
        What the image is called in the viewer.
    image : (rows, cols) float array
        What the instrument shows: clean image, artefacts and noise, in `value_unit`.
    clean : (rows, cols) float array
        The same without noise and without artefacts.
    kernels : (types, k1, k2) float array
        The true kernel of each defect type, each of unit Frobenius norm. k1, k2 are the recommended window.
    positions : (n, 2) float array
        Row and column of each defect inside the frame.
    types : (n,) int array
        Defect type of each position, an index into `kernels`.
    amplitudes : (n,) float array
        Factor of the unit-norm kernel at each position, in `value_unit`.
    extended_activations : (types, rows + k1 - 1, cols + k2 - 1) float array
        True activation map with the defects outside the frame that reach in; of a defect between pixels the
        nearest pixel is marked. ``convolve(extended_activations[t], kernels[t], "valid")``, summed over the
        types, is `clean` less its bias where all defects sit on pixels.
    pixel_size : tuple of two floats
        Size of a pixel, (row, col), in `unit`.
    value_unit : str
        Unit of `image`, `clean` and `amplitudes`.
    noise_std : float
        Standard deviation of the noise, in `value_unit` (of shot noise: the root mean square over the image).
    seed : int
        The seed that gives this very sample again.
    unit : str
        Unit of length.

    Examples
    --------
    >>> from napari_sbd.simulate import random_field, ldos_kernel
    >>> sample = random_field(ldos_kernel(13), (64, 64), density=0.01, seed=1)
    >>> sample.window
    (13, 13)
    >>> sample.activations.shape
    (1, 64, 64)
    """

    name: str
    image: FloatArray
    clean: FloatArray
    kernels: FloatArray
    positions: FloatArray
    types: IntArray
    amplitudes: FloatArray
    extended_activations: FloatArray
    pixel_size: tuple[float, float]
    value_unit: str
    noise_std: float
    seed: int
    unit: str = "nm"

    @property
    def kernel(self) -> FloatArray:
        """The true kernel, (k1, k2), of a sample with one defect type."""
        if len(self.kernels) != 1:
            raise ValueError(f"the sample has {len(self.kernels)} defect types; use kernels[type]")
        kernel: FloatArray = self.kernels[0]
        return kernel

    @property
    def window(self) -> tuple[int, int]:
        """Recommended window (k1, k2) in pixels."""
        return self.kernels.shape[1], self.kernels.shape[2]

    @property
    def activations(self) -> FloatArray:
        """True activation map on the image's own grid, (types, rows, cols)."""
        rows, cols = (size // 2 for size in self.window)
        inside: FloatArray = self.extended_activations[
            :, rows : rows + self.image.shape[0], cols : cols + self.image.shape[1]
        ]
        return inside

    def truth(self) -> dict[str, Any]:
        """Return the truth as plain lists and numbers, ready for a layer's metadata or JSON.

        Returns
        -------
        dict
            ``name``, ``seed``, ``window``, ``kernels``, ``positions``, ``types``, ``amplitudes``,
            ``pixel_size``, ``unit``, ``value_unit`` and ``noise_std``.

        Examples
        --------
        >>> from napari_sbd.simulate import random_field, ldos_kernel
        >>> random_field(ldos_kernel(13), (64, 64), density=0.01, seed=1).truth()["window"]
        [13, 13]
        """
        return {
            "name": self.name,
            "seed": self.seed,
            "window": list(self.window),
            "kernels": self.kernels.tolist(),
            "positions": self.positions.tolist(),
            "types": self.types.tolist(),
            "amplitudes": self.amplitudes.tolist(),
            "pixel_size": list(self.pixel_size),
            "unit": self.unit,
            "value_unit": self.value_unit,
            "noise_std": self.noise_std,
        }


def marked_map(
    positions: FloatArray,
    types: IntArray,
    amplitudes: FloatArray,
    shape: Sequence[int],
    kernels_shape: Sequence[int],
) -> FloatArray:
    """Return the extended activation map with each defect on its nearest pixel.

    Parameters
    ----------
    positions : (n, 2) float array
        Row and column in the image's pixels; what lies outside the extended domain is left out.
    types, amplitudes : (n,) arrays
        Type and amplitude of each defect; amplitudes at one pixel add up.
    shape : (rows, cols)
        Shape of the image.
    kernels_shape : (types, k1, k2)
        Shape of the kernels.

    Returns
    -------
    (types, rows + k1 - 1, cols + k2 - 1) float array
        Pixel (i, j) of the image stands at ``[type, i + k1 // 2, j + k2 // 2]``.
    """
    count, *window = kernels_shape
    extended = np.zeros((count, shape[0] + window[0] - 1, shape[1] + window[1] - 1))
    pixels = np.floor(positions + 0.5).astype(np.int64) + np.array(window) // 2
    held = np.all((pixels >= 0) & (pixels < extended.shape[1:]), axis=1)
    np.add.at(extended, (types[held], *pixels[held].T), amplitudes[held])
    return extended
