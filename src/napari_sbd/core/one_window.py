"""A recovery with one window: a first type, its signs, further types, amplitudes without penalty."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core import stages
from napari_sbd.core.atoms import atoms_of, likely_atoms
from napari_sbd.core.centre import centred
from napari_sbd.core.clusters import extent_of_clusters
from napari_sbd.core.descent import Iterate
from napari_sbd.core.domain import Domain
from napari_sbd.core.kernel_size import estimate_window
from napari_sbd.core.more_types import MoreTypes
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.oriented import OrientedTypes
from napari_sbd.core.own_window import with_own_windows
from napari_sbd.core.parameters import Parameters
from napari_sbd.core.progress import Progress
from napari_sbd.core.rearrange import composed
from napari_sbd.core.resize import resized
from napari_sbd.core.shrinkage import without_noise
from napari_sbd.core.signs import both_signs
from napari_sbd.core.single import Single
from napari_sbd.core.sorted_types import joined_alike, told_at_once
from napari_sbd.core.sparsity import Levels, largest_penalty
from napari_sbd.core.start import Starts
from napari_sbd.core.steps import Snapshot, Steps, shown_as
from napari_sbd.core.symmetry import Ties, by_type, group_of
from napari_sbd.core.verdict import (
    FEWEST_IN_A_LATTICE,
    colour,
    description,
    fills_a_lattice,
    little_left,
    residual_of,
    strong_peaks,
    worth,
)

Real = NDArray[np.floating]
_Standing = tuple[Objective, Levels, Domain, Penalty]

HIGHER_FIRST = 0.5  # of λ_max, in stage I of the second search where starts do not agree
UNSURE = 1.0  # deviations of what noise gains in so many pixels of kernels, by which a window must be better
# Of the image's energy, what sampled places leave at most where its colour is that of misplaced ones: .033 of
# a noise-free field of θ .1 whose kernel is .9986 alike.
SAMPLED = 0.05
TOO_LARGE = 2.0  # times the window that the autocorrelation suggests


class OneWindow:
    """What is found with one window, from the first search to debiased amplitudes; `steps` does the work.

    Parameters
    ----------
    raw : Objective
        The image, normalised, with the window to begin with.
    parameters : Parameters
    starts : Starts
        Where to begin.
    automatic : bool
        Whether the window may be fitted to the kernel.
    pixel_size : tuple of float
        Length of a pixel along rows and columns, by which shapes are turned.

    Attributes
    ----------
    first : Single
        The search for the first type.
    accepted : Iterate or None
        What is accepted until now.
    penalty : Penalty
        Whether activations are positive, as far as that is known.
    nothing : str
        Why what was found is nothing; empty where it is something.
    """

    def __init__(
        self,
        raw: Objective,
        parameters: Parameters,
        starts: Starts,
        automatic: bool,
        pixel_size: tuple[float, float] = (1.0, 1.0),
    ) -> None:
        self.parameters, self.begun = parameters, raw
        ties = group_of(parameters.symmetry, pixel_size)
        self.penalty = Penalty(1.0, 0.0, parameters.activations != "signed", ties=ties)
        self._in_given = Single(raw, parameters, self.penalty, starts, automatic)
        self.first = self._small() or self._in_given
        self.accepted: Iterate | None = None
        self.nothing = ""

    def _small(self) -> Single | None:
        """The search as it begins in a crowd where a window may be too large: wrong kernels fill that."""
        given, raw = self._in_given, self.begun
        if given.automatic or given.starts.window is not None:
            return None
        if not given.domain.whitened or given.domain.clear:
            return None
        small, most = estimate_window(raw.data, raw.mask), raw.convolution.kernel_shape
        if any(k <= TOO_LARGE * s for k, s in zip(most, small, strict=True)):
            return None
        return Single(raw.with_window(small), self.parameters, self.penalty, given.starts, True, most=most)

    @property
    def raw(self) -> Objective:
        """The image, normalised, with the kernel's window."""
        return self.first.raw

    def plan(self) -> list[float]:
        """Cost of each phase, steps times pixels."""
        return [*self.first.plan(), stages.DEBIAS.steps * float(np.prod(self.raw.convolution.map_shape))]

    def steps(self, progress: Progress) -> Generator[Snapshot, None, None]:
        """Run from beginning to end; yields after every step."""
        best = yield from self.first.steps(progress)
        if self.first.abandoned:
            self.first = self._in_given
            progress.extend(self.first.plan())
            best = yield from self.first.steps(progress)
        self.accepted, self.penalty = best, self.first.penalty
        levels = self.first.levels
        assert levels is not None
        if self.parameters.activations == "automatic":
            best, self.penalty = yield from both_signs(self.first, best, progress)
            self.accepted = best
        # What may be composed of several types is judged when they were sought.
        pays = self._pays(best)
        mixed = composed(best) or (not pays and self._pays(best, white=True))
        if not mixed and self._nothing_but(best, pays):
            return
        self.accepted = yield from self._with_further_types(best, progress)
        levels = self.first.levels
        assert levels is not None
        mixed = mixed or len(self.accepted.kernels) > 1
        if mixed and self._nothing_but(self.accepted, self._pays(self.accepted)):
            return
        if self.penalty.ties is None:
            self.accepted = self._grown(self.accepted)
            sampled = self.first.domain.sampled
            lam = levels.last if levels.fixed else stages.residual_level(self.raw, self.accepted, levels)
            self.accepted = yield from centred(self.raw, self.accepted, self.penalty.at(lam), sampled)
        if len(self.accepted.kernels) > 1:
            own = with_own_windows(self.raw, self.accepted, self.penalty.at(levels.last))
            self.accepted, self.penalty = yield from own
        yield from self._end(self.accepted, levels)

    def _end(self, found: Iterate, levels: Levels) -> Generator[Snapshot, None, None]:
        """Amplitudes without penalty, kernels without noise, and close defects placed by these."""
        here = self.penalty.at(levels.last)
        self.accepted = yield from stages.debias(self.raw, found, here)
        self.accepted = without_noise(self.raw, self.accepted, self.penalty.ties)
        yield Snapshot("debias", here.lam, self.accepted)
        if self.penalty.ties is None and self._may_be_drawn(self.first.domain):
            seed = self.parameters.seed
            self.accepted = yield from stages.place(self.raw, self.accepted, levels, self.penalty, seed)

    def _with_further_types(self, best: Iterate, progress: Progress) -> Steps:
        """All types, those of one sampled where that pays; or the first alone."""
        group, levels = self.first.search.penalty.ties, self.first.levels
        assert levels is not None
        if group is not None:
            oriented = OrientedTypes(
                self.raw, self.parameters, self.penalty, levels, self.first.domain, group
            )
            return (yield from self._sought(oriented, best, progress))
        before = self._standing
        told = yield from told_at_once(self.first, best, self.penalty, progress)
        assert self.first.levels is not None
        more = MoreTypes(self.raw, self.parameters, self.penalty, self.first.levels, self.first.domain)
        found = yield from self._sought(more, told, progress)
        if self.parameters.types is None:
            found = yield from joined_alike(self.first, found, self.penalty)
        if found is not told:
            self._no_longer_sampled()
        self.accepted = found
        if len(found.kernels) == 1:
            self.accepted = found = self._grown(found)
            return (yield from self._drawn_again(found, self._standing))
        return found if self.parameters.types else (yield from self._or_alone(found, best, before))

    def _or_alone(self, found: Iterate, best: Iterate, before: _Standing) -> Steps:
        """Several types; or the first alone, sampled, where it describes the image in less.

        What its defects on wrong pixels leave may pass for a further type.
        """
        alone = yield from shown_as(found, self._drawn_again(best, before, roughly=True))
        if alone is best or _described(self.raw, found) < _described(before[0], alone):
            return found
        self.first.raw, self.first.levels, self.first.domain, self.penalty = before
        self.accepted = alone
        return (yield from self._drawn_again(alone, before))

    @property
    def _standing(self) -> _Standing:
        """What the latest result is seen with."""
        assert self.first.levels is not None
        return self.first.raw, self.first.levels, self.first.domain, self.penalty

    def _sought(self, more: MoreTypes | OrientedTypes, best: Iterate, progress: Progress) -> Steps:
        for snapshot in more.steps(best, progress):
            self.accepted = snapshot.iterate
            if self.accepted is not best:
                self._no_longer_sampled()
            yield snapshot
        self.penalty = more.penalty
        assert more.accepted is not None
        return more.accepted

    def _no_longer_sampled(self) -> None:
        self.first.domain = replace(self.first.domain, sampled=False)

    def _grown(self, best: Iterate) -> Iterate:
        """In a search that began in a small window, the kernels in the window that they fill by now."""
        if self.first.most is None:
            return best
        raw, found = resized(self.raw, best, most=self.first.most)
        if not np.any(np.greater(raw.convolution.kernel_shape, self.raw.convolution.kernel_shape)):
            return best
        self.first.raw = raw
        return found

    def _drawn_again(self, best: Iterate, seen: _Standing, roughly: bool = False) -> Steps:
        """One type in a crowd that was not sampled yet, sampled from there where that costs less."""
        (raw, levels, domain, penalty), options = seen, self.parameters
        if len(best.kernels) > 1 or not self._may_be_drawn(domain):
            return best
        return (yield from stages.draw_again(raw, best, levels, penalty, options.seed, roughly))

    def _may_be_drawn(self, domain: Domain) -> bool:
        """Whether defects may overlap, and were not sampled."""
        return domain.overlapping and not domain.sampled and bool(self.parameters.refinements)

    def adopt(self, raw: Objective, found: Iterate, other: OneWindow) -> None:
        """Take over what the search in `other` has come to, as `found` on this grid shows it."""
        self.accepted, self.penalty, self.nothing = found, replace(other.penalty, ties=None), other.nothing
        largest = largest_penalty(raw, found.kernels, self.penalty.nonnegative)
        self.first.adopt(raw, other.first, largest)

    @property
    def doubtful(self) -> bool:
        """Whether most starts ended elsewhere, though defects do not crowd: a higher penalty may help."""
        search = self.first.search
        few = 2 * search.agreeing(self.accepted) < len(search.found) and not self.first.domain.whitened
        return few and not self.nothing and self.parameters.lam_first < HIGHER_FIRST

    def extent_of_clusters(self) -> tuple[int, int] | None:
        """Extent of the clusters that most defects stand in; None where they stand alone, or all is dense."""
        if self.nothing or self.accepted is None or self.first.domain.whitened:
            return None
        peaks = atoms_of(self.accepted).peaks(self.accepted)
        return extent_of_clusters(peaks, self.raw.convolution.kernel_shape, int(self.raw.mask.sum()))

    def ties_of(self, found: Iterate) -> Ties | None:
        """Which kernels of the best until now are orientations of one shape; None where none is."""
        ties = self.penalty.ties if self.accepted is not None else self.first.ties
        return ties if ties is not None and len(ties.orientations) == len(found.kernels) else None

    def is_better_than(self, other: OneWindow) -> bool:
        """Whether kernels and defects describe the image in less than those of another window do."""
        if self.nothing or self.accepted is None or other.accepted is None:
            return False
        rest = residual_of(other.raw, other.accepted)
        power = max(colour(other.raw, rest, kernel) for kernel in other.accepted.kernels)
        own, others = (one._description(power) for one in (self, other))
        margin = power * UNSURE * float(np.sqrt(self.accepted.kernels.size))
        return own < others - margin

    def _description(self, power: float) -> float:
        assert self.accepted is not None
        return _described(self.raw, self.accepted, power, self.penalty.ties)

    def _nothing_but(self, best: Iterate, pays: bool) -> bool:
        """Whether what was found is nothing; then it is let go."""
        self.nothing = self._nothing_in(best, pays)
        if self.nothing:
            self.accepted = replace(best, maps=np.zeros_like(best.maps))
        return bool(self.nothing)

    def _nothing_in(self, best: Iterate, pays: bool) -> str:
        """Why what was found is nothing; empty where it is something."""
        peaks = by_type(likely_atoms(best).peaks(best), self.penalty.ties)
        if not pays:
            return "what the best kernel explains is no more than noise"
        many = max(len(strong_peaks(p).amplitudes) for p in peaks) >= FEWEST_IN_A_LATTICE
        if many and fills_a_lattice(self._model_in_part(best)):
            return "what repeats is a lattice: remove it first"
        return ""

    def _pays(self, best: Iterate, white: bool = False) -> bool:
        """Whether it explains more than its price; what is left of others has a colour."""
        white = white or (self.first.domain.sampled and little_left(self.raw, best, SAMPLED))
        empty = replace(best, maps=np.zeros_like(best.maps))
        peaks = by_type(likely_atoms(best).peaks(best), self.penalty.ties)
        defects = sum(len(p.amplitudes) for p in peaks)
        return worth(self.raw, empty, best, len(peaks), defects, white=white)

    def _model_in_part(self, best: Iterate) -> Real:
        """What the model shows, of a large image in the region of the search: what repeats does so there."""
        region, window = self.first.domain.region, self.raw.convolution.kernel_shape
        if region.shape == self.raw.convolution.image_shape:
            return np.asarray(residual_of(self.raw, best) + self.raw.centred)
        (row, col), (rows, cols) = region.corner, region.shape
        maps = best.maps[:, row : row + rows + window[0] - 1, col : col + cols + window[1] - 1]
        part = Objective(
            np.zeros((len(self.raw.data), rows, cols), maps.dtype),
            region.seen(self.raw.mask),
            window,
            self.raw.device,
        )
        return part.left(best.kernels, maps)


def _described(raw: Objective, found: Iterate, power: float | None = None, ties: Ties | None = None) -> float:
    """What it describes the image in; `power` is the colour of what it leaves where none is given."""
    if power is None:
        power = max(colour(raw, residual_of(raw, found), kernel) for kernel in found.kernels)
    types = by_type(atoms_of(found).peaks(found), ties)
    defects = sum(len(strong_peaks(p).amplitudes) for p in types)
    return description(raw, found, defects, power, len(types))
