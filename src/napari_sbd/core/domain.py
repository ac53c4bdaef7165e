"""The data on which the kernel is sought: a region of the image, whitened where defects crowd."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.alternation import fit_maps
from napari_sbd.core.components import Components
from napari_sbd.core.descent import Iterate, Schedule
from napari_sbd.core.kernel_fit import fit_kernels
from napari_sbd.core.memory import check
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.region import Region, search_region
from napari_sbd.core.sparsity import crowding, largest_penalty
from napari_sbd.core.sphere import project
from napari_sbd.core.start import patches_at, salient_places
from napari_sbd.core.symmetry import Ties
from napari_sbd.core.tied import fit_tied
from napari_sbd.core.whitening import whiten

Real = NDArray[np.floating]

# Above this fraction of λ_max a matched filter sees the defects themselves as its noise.
CROWDED = 0.4
OVERLAPPING = 0.1  # the same, below which defects are too few to hide one another
# λ over λ_max, and steps, of the map by which a known kernel is carried into a whitened domain.
SHARE_OF_PEAKS = 0.2
MAPS = Schedule(60, 1e-3)


@dataclass(frozen=True)
class Domain:
    """An image as it is searched: `whole` and its `part` inside `region`, either as given or whitened.

    Parameters
    ----------
    raw : Objective
        The image as given (normalised), whole.
    whole, part : Objective
        What is searched, whole and inside the region; there few components stand for the slices of a stack.
    region : Region
    whitened : bool
    noise : float or None
        Deviation of the whitened noise; None where the data themselves tell.
    places : list of tuple
        Pixels of `part` (row, col) around which salient patches lie, if they are known.
    patches : list of array (1, slices, k1, k2)
        Those patches.
    crowding : float
        How much of a matched filter's output defects fill, see `crowding`.
    components : Components or None
        Those of the part; None where it has the slices of the image.
    sampled : bool
        Whether all defects found were sampled, and so told apart already.
    clear : bool
        Whether it is whitened and has little noise, and is not what another search left of one.
    """

    raw: Objective
    whole: Objective
    part: Objective
    region: Region
    whitened: bool = False
    noise: float | None = None
    places: list[tuple[int, int]] = field(default_factory=list)
    patches: list[Real] = field(default_factory=list)
    crowding: float = 0.0
    components: Components | None = None
    sampled: bool = False
    clear: bool = False

    @property
    def overlapping(self) -> bool:
        """Whether so many defects overlap that close ones may be mistaken for one."""
        return self.crowding > OVERLAPPING

    def embed(self, maps: Real, whole: Objective | None = None) -> Real:
        """Maps of the region on those of the whole image, `whole` where its window is another by now."""
        shape = (whole or self.whole).convolution.map_shape
        return maps if maps.shape[1:] == shape else self.region.embed(maps, shape)

    @property
    def alone(self) -> Domain:
        """The region as an image of its own; not of a domain that is whitened."""
        if self.part is self.whole:
            return self
        inner = Region((0, 0), self.region.shape)
        return replace(self, raw=self.part, whole=self.part, region=inner)

    def given_alone(self, window: tuple[int, int]) -> Objective:
        """The region as an image of its own, not whitened, seen with a window."""
        if not self.whitened:
            return self.alone.raw.with_window(window)
        whole = self.region.shape == self.raw.convolution.image_shape
        return (self.raw if whole else self.region.cut(self.raw)).with_window(window)

    def in_part(self, kernels: Real) -> Real:
        """Kernels (types, slices, k1, k2) as they show in the part."""
        return kernels if self.components is None else self.components.combined(kernels)

    def in_slices(self, kernels: Real) -> Real:
        """Kernels of the part, or of the whole, as they show in all slices."""
        whole = self.components is None or kernels.shape[1] == len(self.raw.data)
        return kernels if whole or self.components is None else self.components.expanded(kernels)

    def to_raw(self, found: Iterate, ties: Ties | None = None) -> Iterate:
        """What was found here, as kernels and maps of the image as given."""
        if not self.whitened:
            return found
        return (
            fit_kernels(self.raw, found.maps)
            if ties is None
            else fit_tied(self.raw, found.maps, ties, found.kernels)
        )

    def from_raw(self, kernels: Real) -> Real:
        """A kernel of the image as given, as it shows in this domain: by the map that it gives there."""
        if not self.whitened:
            return kernels
        unit = project(kernels).astype(self.raw.data.dtype)
        penalty = Penalty(SHARE_OF_PEAKS * largest_penalty(self.raw, unit, nonnegative=True))
        maps = np.zeros((1, *self.raw.convolution.map_shape), unit.dtype)
        solved = deque(fit_maps(self.raw, unit, maps, penalty, MAPS), maxlen=1)
        return fit_kernels(self.whole, solved[0].maps).kernels


def choose_domain(
    raw: Objective, starts: int, nonnegative: bool, seed: int, like: Domain | None = None
) -> Domain:
    """Take the richest region; whiten where defects crowd, as the matched filters of patches tell.

    What an earlier search left of an image is mostly noise, which looks crowded: there `like`, the domain of
    that search, tells.
    """
    region = search_region(raw)
    part = raw if region.shape == raw.convolution.image_shape else region.cut(raw)
    components = Components.of(part)
    part = part if components is None else components.seen(part)
    window = raw.convolution.kernel_shape
    places: list[tuple[int, int]] = []
    patches: list[Real] = []
    if like is None:
        places = salient_places(part.data, part.mask, window, starts, np.random.default_rng(seed))
        patches = patches_at(part.data, part.mask, window, places)
        filled = crowding(part, patches, nonnegative)
    else:
        filled = like.crowding
    if filled <= CROWDED:
        return Domain(
            raw,
            raw,
            part,
            region,
            places=places,
            patches=patches,
            crowding=filled,
            components=components,
        )
    check(len(raw.data), raw.convolution.image_shape, crowded=True)
    flat = whiten(raw.data, raw.mask, window)
    whole = raw.replaced(flat.data)
    part, noise, clear = region.cut(whole), flat.noise, flat.clear and like is None
    return Domain(raw, whole, part, region, True, noise, crowding=filled, clear=clear)
