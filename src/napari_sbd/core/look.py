"""A look at what is left of a small image: kept, for the next step often asks for the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.tiles import Active

Real = NDArray[np.floating]
Complex = NDArray[np.complexfloating]


@dataclass
class Look:
    """What kernels and amplitudes leave of an image, and what is known of that.

    Parameters
    ----------
    kernels : array (types, slices, k1, k2)
    active : Active
    canvas : array
        Image less model, the bias in closed form, on the convolution's canvas.
    rest : array (slices, rows, cols)
        The same inside the frame.
    spectra : array, optional
        Transforms of the kernels, as long as they are of use.
    slope : array (types, n1 + k1 - 1, n2 + k2 - 1), optional
        Correlation of the kernels with it, once that is known.
    residual : array (slices, rows, cols), optional
        Its negative, once somebody has asked for that.
    """

    kernels: Real
    active: Active
    canvas: Real
    rest: Real
    spectra: Complex | None = None
    slope: Real | None = None
    residual: Real | None = None

    def is_of(self, kernels: Real, active: Active) -> bool:
        """Whether it is that of these."""
        same = kernels is self.kernels or np.array_equal(kernels, self.kernels)
        return same and self.active.same_as(active)
