"""Inner products of atoms that the frame cuts, from tables instead of pixels: where there are many.

Of two atoms that one edge of the frame cuts, the sum over the rows (or columns) inside depends on their lag,
and on how far the first one reaches out. Only two that stand at one corner need their pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import fft

if TYPE_CHECKING:
    from napari_sbd.core.support_model import SupportModel

Real = NDArray[np.floating]
Index = NDArray[np.intp]

BEFORE, AFTER = 1, 2  # edges of the frame along an axis


class BorderPairs:
    """Pairs of sites that one edge cuts, and where tables hold what is seen of their overlap.

    Parameters
    ----------
    model : SupportModel
        Of one type, in a frame without holes that is no smaller than the window.
    """

    def __init__(self, model: SupportModel) -> None:
        sites, pairs, window = model.sites, model.pairs, model.field.window
        frame = [n - 2 * (k - 1) for n, k in zip(model.field.target.shape[1:], window, strict=True)]
        shares = [_cut(at, k, n) for at, k, n in zip((sites.rows, sites.cols), window, frame, strict=True)]
        cut = (shares[0][0] > 0) | (shares[1][0] > 0)
        near = np.flatnonzero(cut[pairs.first] & cut[pairs.second])
        ends, lags = (pairs.first[near], pairs.second[near]), np.divmod(pairs.lag[near], 2 * window[1] - 1)
        both = [(edge[ends[0]] > 0) & (edge[ends[0]] == edge[ends[1]]) for edge, _ in shares]
        self._axes = []
        for axis, (edge, rows) in enumerate(shares):
            here = np.flatnonzero(both[axis] & ~both[1 - axis])
            first, side = ends[0][here], window[1 - axis]
            length = _length(side)
            places = rows[first] * (2 * window[axis] - 1) + lags[axis][here]
            places = places * length + (lags[1 - axis][here] - side + 1) % length
            self._axes.append((near[here], places, edge[first] == BEFORE))
        at_corner = np.flatnonzero(both[0] & both[1])
        corner = 3 * shares[0][0] + shares[1][0]
        self._corners = []
        for one in np.unique(corner[ends[0][at_corner]]):
            own = np.flatnonzero(corner == one)
            here = at_corner[corner[ends[0][at_corner]] == one]
            numbers = np.searchsorted(own, [ends[0][here], ends[1][here]])
            standing = sites.chosen(own)
            self._corners.append((model.field.hidden(standing), standing.kinds, near[here], *numbers))

    def cut(self, values: Real, kernel: Real) -> Real:
        """Inner products of pairs of whole atoms without what the frame cuts; `values` is written to."""
        for turned, (numbers, places, before) in zip(
            (kernel, kernel.transpose(0, 2, 1)), self._axes, strict=True
        ):
            part = summed_rows(turned).take(places)
            values[numbers] = np.where(before, values[numbers] - part, part)
        for hidden, kinds, numbers, first, second in self._corners:
            values[numbers] -= hidden.products(kernel[None], kinds)[first, second]
        return values


def _cut(places: Index, window: int, frame: int) -> tuple[Index, Index]:
    """Along an axis, which edge cuts the patch at each place, and up to which row sums are to be taken."""
    before, after = window - 1 - places, places - (frame - 1)
    edge = np.where(before > 0, BEFORE, np.where(after > 0, AFTER, 0))
    return edge, np.where(after > 0, window - after, np.maximum(before, 0))


def _length(side: int) -> int:
    return int(fft.next_fast_len(2 * side - 1, real=True))


def summed_rows(kernel: Real) -> Real:
    """`Σ a[r, c] a[r + d, c + e]` over slices, c and rows before h: (h, d + k1 - 1, e), e wraps round.

    Examples
    --------
    >>> table = summed_rows(np.array([[[1.0, 2.0], [3.0, 4.0]]]))
    >>> table[1, 1, 0].round(6).item(), table[1, 2, 1].round(6).item()
    (5.0, 4.0)
    """
    rows, length = kernel.shape[1], _length(kernel.shape[2])
    spectra = fft.rfft(kernel, length)
    products = fft.irfft(np.einsum("srm,stm->rtm", spectra.conj(), spectra), length)
    sums = np.zeros((rows, 2 * rows - 1, length), kernel.dtype)
    for row in range(rows - 1):
        sums[row + 1] = sums[row]
        sums[row + 1, rows - 1 - row : 2 * rows - 1 - row] += products[row]
    return sums
