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
from napari_sbd.core.pieces import come_together
from napari_sbd.core.progress import Progress
from napari_sbd.core.rearrange import dense
from napari_sbd.core.resize import resized
from napari_sbd.core.search import Search
from napari_sbd.core.sparsity import Levels, largest_penalty, levels, widened
from napari_sbd.core.start import Starts
from napari_sbd.core.steps import Snapshot
from napari_sbd.core.symmetry import Ties
from napari_sbd.core.tied_moves import one_of_alike
from napari_sbd.core.verdict import leaves_noise
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
    most : tuple of int, optional
        The largest window that may be fitted.
    like : Domain, optional
        Of an earlier search, which tells whether defects crowd.

    Attributes
    ----------
    abandoned : bool
        Whether a search that began in a small window was given up, its kernel being wrong.
    """

    def __init__(
        self,
        raw: Objective,
        parameters: Parameters,
        penalty: Penalty,
        starts: Starts,
        automatic: bool,
        most: tuple[int, int] | None = None,
        like: Domain | None = None,
    ) -> None:
        self.raw = raw
        self.parameters = parameters
        self.penalty = penalty
        self.starts = starts
        self.automatic, self.most = automatic, most
        self.domain = choose_domain(raw, parameters.starts, penalty.nonnegative, parameters.seed, like)
        self.search = Search(self.domain, parameters, penalty, starts)
        self.levels: Levels | None = None
        self._searching, self._in_domain = True, True
        self.abandoned = False
        self._in_region = self.domain.part is not self.domain.whole

    @property
    def largest(self) -> float:
        """λ_max of the data that is worked on."""
        return self.search.largest if self.levels is None else self.levels.largest

    @property
    def ties(self) -> Ties | None:
        """What is tied of the best until now."""
        return self.search.ties_of_best if self._searching and self.search.polished else self.penalty.ties

    def plan(self) -> list[float]:
        """Cost of each phase, steps times pixels."""
        pixels = float(np.prod(self.raw.convolution.map_shape))
        refinement = self.parameters.refinements * stages.REFINE.steps
        polish = stages.POLISH.steps * (self.domain.whitened + (self.domain.part is not self.domain.whole))
        return [*self.search.plan(), (refinement * (1 + self.domain.whitened) + polish) * pixels]

    def steps(self, progress: Progress) -> Steps:
        """Run; yields after every step and returns what was found on the image as given.

        That is of one type, unless starts tell several that leave nothing but noise.
        """
        begun = self.raw, self._in_region
        best = yield from self._finished(self.search.steps(progress), progress)
        if self.search.told is not None and not leaves_noise(self.raw, best):
            (self.raw, self._in_region), self._in_domain, self._searching = begun, True, True
            progress.extend(self.plan()[self.parameters.starts :])
            best = yield from self._finished(self.search.one_type(progress), progress)
        return best

    def _finished(self, search: Steps, progress: Progress) -> Steps:
        """The search, and what makes its best a result."""
        best = yield from search
        self._searching = False
        self.penalty = replace(self.penalty, ties=self.search.ties_of_best)
        assert self.search.levels is not None
        best = yield from self._end(best, self.search.levels, progress)
        if self.abandoned:
            return best
        assert self.levels is not None
        best, penalty = one_of_alike(best, self.penalty)
        if penalty is not self.penalty:
            self.penalty = penalty
            best = yield from stages.polish(self.raw, best, penalty.at(self.levels.last))
        progress.finish_phase()
        return best

    def _end(self, best: Iterate, found: Levels, progress: Progress) -> Steps:
        """From the search's best on: window, refinement; of a large image first in the region."""
        if self.domain.whitened:
            return (yield from self._refined(best, found, self.domain, progress))
        alone = self.domain.alone
        best = yield from self._refined(best, found, alone, progress)
        assert self.levels is not None
        region = alone.raw.with_window(self.raw.convolution.kernel_shape)
        lam = stages.residual_level(region, best, self.levels) if self.parameters.refinements else found.last
        self.levels = widened(self.levels, lam, region, self.raw)
        if region is self.raw and not come_together(self.raw, best, self.penalty.at(self.levels.last)):
            return best
        kernels, maps = self.domain.in_slices(best.kernels), self.domain.embed(best.maps, self.raw)
        best, self._in_region = replace(best, kernels=kernels, maps=maps), False
        rounds = self.parameters.refinements
        return (yield from stages.widen(self.raw, best, self.levels, self.penalty, rounds))

    def _refined(self, best: Iterate, found: Levels, domain: Domain, progress: Progress) -> Steps:
        """Carry the search's best over to the domain's own image, fit the window, refine."""
        rounds, penalty, seen = self.parameters.refinements, self.penalty, domain.raw
        best = yield from self._embedded(best, found, domain)
        crowd = bool(rounds) and domain.whitened and dense(best)
        if crowd and penalty.ties is None:
            drawn = yield from self._drawn(best, domain)
            if drawn is not None:
                return drawn
            if self.most is not None:
                self.abandoned = True
                return best
            best = yield from self.search.finished(progress)
            best = yield from self._embedded(best, found, domain)
        if crowd:
            best = yield from stages.refine(domain.whole, best, found, penalty, rounds)
        raw, self._in_domain = domain.to_raw(best, self.penalty.ties), False
        if self.automatic:
            seen, raw = resized(seen, raw, self.penalty.ties, self.most)
            self.raw = self.raw.with_window(seen.convolution.kernel_shape)
        self.levels = found
        if raw is not best:
            self.levels = found = self._levels_of(seen, raw)
            schedule = stages.POLISH if crowd else stages.ROUGH
            best = yield from stages.polish(seen, raw, penalty.at(found.last), schedule=schedule)
        return (yield from stages.refine(seen, best, found, penalty, rounds))

    def _embedded(self, best: Iterate, found: Levels, domain: Domain) -> Steps:
        """The search's best on the domain's own image, where it was found in a part of it."""
        if best.maps.shape[1:] == domain.whole.convolution.map_shape:
            return best
        begin = replace(best, maps=domain.embed(best.maps))
        self._in_region = False
        return (yield from stages.polish(domain.whole, begin, self.penalty.at(found.last)))

    def _drawn(self, best: Iterate, domain: Domain) -> Generator[Snapshot, None, Iterate | None]:
        """A dense field sampled on the image as given; None where that is not the way."""
        seen, raw = domain.raw, domain.to_raw(best)
        if self.automatic:
            seen, raw = resized(seen, raw, most=self.most)
        before, levels = (self.raw, self.levels), self._levels_of(seen, raw)
        self.raw, self.levels = self.raw.with_window(seen.convolution.kernel_shape), levels
        self._in_domain = False
        drawn = yield from stages.draw(seen, raw, levels, self.penalty, self.parameters.seed)
        if drawn is None:
            (self.raw, self.levels), self._in_domain = before, True
        else:
            self.domain = replace(self.domain, sampled=True)
        return drawn

    def adopt(self, raw: Objective, other: Single, largest: float) -> None:
        """Take over another search for this image as `raw` shows it, where λ_max is `largest`."""
        self.raw, self.search = raw, other.search
        lam = self.parameters.lam_first * largest
        self.levels = Levels(largest, lam, lam)
        self._searching, self._in_domain, self._in_region = False, False, False

    def _levels_of(self, seen: Objective, found: Iterate) -> Levels:
        """Penalties for a kernel of the image as given."""
        options = self.parameters
        largest = largest_penalty(seen, found.kernels, self.penalty.nonnegative)
        return levels(seen, found.kernels, largest, options.lam_first, options.lam_last)

    def best(self, latest: Snapshot) -> Iterate:
        """The best until now, on the image as given."""
        best = self.search.best(latest) if self._searching else latest.iterate
        best = self.windowed(best)
        return self.domain.to_raw(best) if self._in_domain else best

    def windowed(self, found: Iterate) -> Iterate:
        """An iterate of any stage at the final window and on the whole frame."""
        window = self.raw.convolution.kernel_shape
        kernels, maps = self.domain.in_slices(found.kernels), found.maps
        if kernels.shape[-2:] != window:
            kernels, maps, _ = recentre(kernels, maps, window)
            kernels, maps = crop(kernels, maps, window)
        if self._in_region:
            maps = self.domain.embed(maps, self.raw)
        return replace(found, kernels=kernels, maps=maps)
