"""One type of defect: from its search in a domain to kernel and map on the image as given."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np

from napari_sbd.core import stages
from napari_sbd.core.descent import Iterate
from napari_sbd.core.domain import Domain, choose_domain
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.parameters import Parameters
from napari_sbd.core.progress import Progress
from napari_sbd.core.resize import resized
from napari_sbd.core.search import Search
from napari_sbd.core.sparsity import Levels, largest_penalty, levels
from napari_sbd.core.stages import Snapshot
from napari_sbd.core.start import Starts
from napari_sbd.core.window import crop, recentre

Steps = Generator[Snapshot, None, Iterate]


class Single:
    """The recovery of one kernel and its map from one image, or from what other types left of it.

    Parameters
    ----------
    raw : Objective
        The image, normalised.
    parameters : Parameters
    penalty : Penalty
        Whether activations are positive.
    starts : Starts
        Where to begin.
    automatic : bool
        Whether the window may be fitted to the kernel.
    like : Domain, optional
        Of an earlier search, which tells whether defects crowd.
    """

    def __init__(
        self,
        raw: Objective,
        parameters: Parameters,
        penalty: Penalty,
        starts: Starts,
        automatic: bool,
        like: Domain | None = None,
    ) -> None:
        self.raw = raw
        self.parameters = parameters
        self.penalty = penalty
        self.starts = starts
        self.automatic = automatic
        self.domain = choose_domain(raw, parameters.starts, penalty.nonnegative, parameters.seed, like)
        self.search = Search(self.domain, parameters, penalty, starts)
        self.levels: Levels | None = None
        self._searching, self._in_domain = True, True

    @property
    def largest(self) -> float:
        """λ_max of the data that is worked on."""
        return self.search.largest if self.levels is None else self.levels.largest

    def plan(self) -> list[float]:
        """Cost of each phase, steps times pixels."""
        pixels = float(np.prod(self.raw.convolution.map_shape))
        refinement = self.parameters.refinements * stages.REFINE.steps
        polish = stages.POLISH.steps * (self.domain.whitened + (self.domain.part is not self.domain.whole))
        return [*self.search.plan(), (refinement * (1 + self.domain.whitened) + polish) * pixels]

    def steps(self, progress: Progress) -> Steps:
        """Run; yields after every step and returns what was found on the image as given."""
        best = yield from self.search.steps(progress)
        self._searching = False
        assert self.search.levels is not None
        best = yield from self._end(best, self.search.levels)
        progress.finish_phase()
        return best

    def _end(self, best: Iterate, found: Levels) -> Steps:
        """From the search's best on: whole image, image as given, window, refinement."""
        rounds, penalty, domain = self.parameters.refinements, self.penalty, self.domain
        if best.maps.shape[1:] != domain.whole.convolution.map_shape:
            begin = replace(best, maps=domain.embed(best.maps))
            best = yield from stages.polish(domain.whole, begin, penalty.at(found.last))
        if domain.whitened:
            best = yield from stages.refine(domain.whole, best, found, penalty, rounds)
        raw, self._in_domain = domain.to_raw(best), False
        if self.automatic:
            self.raw, raw = resized(self.raw, raw)
        self.levels = found
        if raw is not best:
            self.levels = found = self._levels_of(raw)
            best = yield from stages.polish(self.raw, raw, penalty.at(found.last))
        return (yield from stages.refine(self.raw, best, found, penalty, rounds, domain.overlapping))

    def _levels_of(self, found: Iterate) -> Levels:
        """Penalties for a kernel of the image as given."""
        options = self.parameters
        largest = largest_penalty(self.raw, found.kernels, self.penalty.nonnegative)
        return levels(self.raw, found.kernels, largest, options.lam_first, options.lam_last)

    def best(self, latest: Snapshot) -> Iterate:
        """The best until now, on the image as given."""
        best = self.search.best(latest) if self._searching else latest.iterate
        best = self.windowed(best)
        return self.domain.to_raw(best) if self._in_domain else best

    def windowed(self, found: Iterate) -> Iterate:
        """An iterate of any stage at the final window and on the whole frame."""
        window = self.raw.convolution.kernel_shape
        kernels, maps = found.kernels, found.maps
        if kernels.shape[-2:] != window:
            kernels, maps, _ = recentre(kernels, maps, window)
            kernels, maps = crop(kernels, maps, window)
        if self._searching:
            maps = self.domain.embed(maps)
        return replace(found, kernels=kernels, maps=maps)
