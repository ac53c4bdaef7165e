"""The search for the kernel: starts, stage I, selection, stage II, selection."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core import stages
from napari_sbd.core.course import Course
from napari_sbd.core.descent import Iterate, Schedule
from napari_sbd.core.domain import Domain
from napari_sbd.core.explained import Explained
from napari_sbd.core.mirror_line import finer_line, mirror_line
from napari_sbd.core.objective import Penalty
from napari_sbd.core.parameters import Parameters
from napari_sbd.core.progress import Progress
from napari_sbd.core.quality import KNOWN, agreement, likest, overlap_shape, overlap_spectra, starts_agreeing
from napari_sbd.core.rearrange import dense
from napari_sbd.core.sparsity import Levels, crowding, is_noisy, largest_penalty, levels, noise_reach
from napari_sbd.core.start import NO_STARTS, Starts, patches_at, salient_places
from napari_sbd.core.steps import Snapshot, Steps
from napari_sbd.core.symmetry import Ties
from napari_sbd.core.tied_moves import one_of_alike
from napari_sbd.core.told_by_starts import told_by_starts
from napari_sbd.core.verdict import MOST_TYPES, residual_of

Real = NDArray[np.floating]

TYPICAL_LEVELS = 8
LOOKS = 12  # steps, after each of which a start is compared with those before
# Steps, after which a start in a crowd is given up where it would stay behind, gaining so many times as much
# more as it did in the last few.
PACED, LATELY, HOPE = 12, 5, 2.0
FULL = 0.75  # level of a whitened image's matched filters over λ_max, below which λ of stage I is lower, too
ABOVE = 2.0  # times what noise reaches, which that is at least
RARER = (
    0.1  # of the other sign's power in the maps: .02 to .03 in dense fields of one sign, .7 and more of both
)


@dataclass
class Search:
    """One search in one domain, and what it has found until now.

    Parameters
    ----------
    domain : Domain
    parameters : Parameters
    penalty : Penalty
        λ is set by the search; whether activations are positive is taken from it.
    starts : Starts
        What the user gave to begin with.
    """

    domain: Domain
    parameters: Parameters
    penalty: Penalty
    starts: Starts = NO_STARTS
    largest: float = 1.0
    first: float = 1.0
    patches: list[Real] = field(default_factory=list)
    found: list[Iterate] = field(default_factory=list)
    polished: list[Iterate] = field(default_factory=list)
    ties: list[Ties | None] = field(default_factory=list)
    places: list[tuple[int, int]] = field(default_factory=list)
    explained: dict[Iterate, Explained] = field(default_factory=dict)
    levels: Levels | None = None
    told: Iterate | None = None
    _order: list[int] = field(default_factory=list)
    given_up: set[Iterate] = field(default_factory=set)

    def plan(self) -> list[float]:
        """Cost of each phase, steps times pixels: stage I of each start, stage II of each that is kept."""
        pixels = float(np.prod(self.domain.part.convolution.map_shape))
        first = stages.FIRST.steps * pixels
        second = (TYPICAL_LEVELS * stages.EXACT.steps + stages.POLISH.steps) * pixels
        starts = self.parameters.starts
        return [first] * starts + [second] * min(starts, self.parameters.kept)

    def steps(self, progress: Progress) -> Generator[Snapshot, None, Iterate]:
        """Run; yields after each step and returns the best of the polished candidates."""
        part, options = self.domain.part, self.parameters
        self.patches = patches = self.starts.patches(self.domain) or self._salient_patches()
        if self.penalty.ties is not None:
            self.patches = patches = [self.penalty.ties.of_shapes(patch) for patch in patches]
        tops = [largest_penalty(part, patch, self.penalty.nonnegative) for patch in patches]
        self.largest = float(np.median(tops))
        self.first = self._first_share()
        first = self._first_penalty
        schedule = self._schedule
        courses = [
            Course(stages.stage_one(part, patch, first, number, schedule))
            for number, patch in enumerate(patches)
        ]
        if self._in_crowd:
            yield from self._better_first(courses)
        for number, course in enumerate(courses):
            known = self._explaining(number)
            if known is None:
                known = yield from self._until_known(course)
            self.found.append(known)
            if number < options.starts:
                progress.finish_phase()
        progress.skip(max(0, options.starts - len(patches)))
        yield from self._align_mirrors()
        ended = [n for n in range(len(patches)) if self.found[n] not in self.given_up]
        order = sorted(ended, key=lambda n: self.found[n].objective)
        best, self._order = self.found[order[0]], self._distinct(order)
        told = yield from self._told_by_starts(best, order, courses)
        if told is not best:
            self.told = told
            return (yield from self._several(told, progress))
        return (yield from self.one_type(progress))

    def one_type(self, progress: Progress) -> Steps:
        """Stage II of one type, whether or not starts told several; returns the best."""
        self.told, self.polished, self.ties = None, [], []
        yield from self._choose_levels(self.found[self._order[0]])
        refined = bool(self.parameters.refinements)
        rough = self.domain.whitened and refined and self.penalty.ties is None
        yield from self._second(progress, rough)
        progress.skip(min(self.parameters.kept, self.parameters.starts) - len(self.polished))
        return self.best_polished()

    def _several(self, told: Iterate, progress: Progress) -> Steps:
        """Stage II of several types that the starts told."""
        yield from self._choose_levels(told)
        assert self.levels is not None
        steps = stages.stage_two(self.domain.part, told, self.levels, self.penalty, 0, ending=stages.ROUGH)
        self.polished, self.ties = [(yield from steps)], [None]
        progress.skip(min(self.parameters.kept, self.parameters.starts))
        return self.best_polished()

    def _choose_levels(self, best: Iterate) -> Generator[Snapshot, None, None]:
        """Penalties of stage II, by what is left where stage I ended."""
        part, rest = self.domain.part, None
        if not self.domain.whitened:
            known = self.explained[best].debiased if best in self.explained else None
            rest = residual_of(part, known or (yield from stages.debias(part, best, self._first_penalty)))
        last, noise = self.parameters.lam_last, self.domain.noise
        self.levels = levels(part, best.kernels, self.largest, self.first, last, noise, rest)

    def _told_by_starts(self, best: Iterate, order: list[int], courses: list[Course]) -> Steps:
        """Several types, where the kernels of starts tell them; else the best."""
        options = self.parameters
        if self._in_crowd or self.penalty.ties is not None or options.types == 1 or not options.refinements:
            return best
        ends = [self.found[number].kernels for number in self._distinct(order, MOST_TYPES)]
        early = [course.early for course in courses if course.early is not None]
        most = options.types or MOST_TYPES
        others, first = ends + early, self._first_penalty
        return (yield from told_by_starts(self.domain.part, best, others, first, most, options.seed))

    def finished(self, progress: Progress) -> Steps:
        """Stage II to its end, where it ended early because the field is dense; returns the best."""
        self.polished, self.ties = [], []
        yield from self._second(progress, rough=False)
        return self.best_polished()

    def _second(self, progress: Progress, rough: bool) -> Generator[Snapshot, None, None]:
        """Stage II of the starts that are kept; with `rough` it ends once the field turns out to be dense."""
        assert self.levels is not None
        part = self.domain.part
        ending = self._ending
        for number in self._order:
            begin, penalty = one_of_alike(self.found[number], self.penalty)
            one = yield from stages.stage_two(part, begin, self.levels, penalty, number, rough, ending)
            one, penalty = one_of_alike(one, penalty)
            penalty = replace(penalty, ties=finer_line(part, one, penalty.at(self.levels.last)))
            self.polished.append(one)
            self.ties.append(penalty.ties)
            progress.finish_phase()
            if rough and dense(self.polished[-1]):
                return

    @property
    def _ending(self) -> Schedule | None:
        """How stage II is polished: roughly, where nothing is compared with the one start that is refined.

        On a whitened image not at all: then refinement polishes on the image as given.
        """
        refined = bool(self.parameters.refinements) and self.penalty.ties is None
        if not refined or len(self._order) > 1:
            return stages.POLISH
        return None if self.domain.whitened else stages.ROUGH

    def _align_mirrors(self) -> Generator[Snapshot, None, None]:
        """Stage I once more where the group's mirror lines run otherwise than rows and columns."""
        ties = self.penalty.ties
        if ties is None or not any(how.mirrored for how in ties.orientations):
            return
        best = min(self.found, key=lambda it: it.objective)
        aligned = mirror_line(self.domain.part, best, self._first_penalty)
        if aligned == ties:
            return
        self.penalty, self.found = replace(self.penalty, ties=aligned), []
        for number, patch in enumerate(self.patches):
            self.patches[number] = aligned.tied(patch)
            one = stages.stage_one(self.domain.part, self.patches[number], self._first_penalty, number)
            self.found.append((yield from self._until_known(Course(one))))

    @property
    def _first_penalty(self) -> Penalty:
        """That of stage I."""
        return self.penalty.at(self.first * self.largest)

    @property
    def _schedule(self) -> Schedule:
        """That of stage I: in crowds with noise, where sampling follows, it need not come to its end.

        In real images with few defects, starts not followed to their end end in other kernels.
        """
        domain = self.domain
        if not domain.whitened or domain.clear:
            return stages.FIRST
        noisy = is_noisy(domain.part, domain.noise or domain.part.pixel_noise, self.largest)
        return stages.NOISY_CROWD if noisy else stages.CROWD

    def _first_share(self) -> float:
        """λ of stage I over λ_max: where defects crowd, what most of them reach tells, not the best place.

        Not near what noise reaches.
        """
        share, domain = self.parameters.lam_first, self.domain
        if not domain.whitened:
            return share
        filled = crowding(domain.part, self.patches, self.penalty.nonnegative)
        noise = noise_reach(domain.part, domain.noise or 0.0) / self.largest
        return min(share, max(share * filled / FULL, ABOVE * noise))

    def _salient_patches(self) -> list[Real]:
        part, options = self.domain.part, self.parameters
        self.places = self.domain.places
        if self.places:
            return list(self.domain.patches)
        seen = part.data, part.mask, part.convolution.kernel_shape
        self.places = salient_places(*seen, options.starts, np.random.default_rng(options.seed))
        return patches_at(*seen, self.places)

    def _explaining(self, number: int) -> Iterate | None:
        """What another start ended in, if that explains all that this one's patch shows."""
        if self.penalty.ties is not None or len(self.places) != len(self.patches):
            return None
        for known in self.found:
            if known not in self.explained:
                self.explained[known] = Explained(
                    self.domain.part, known, self._first_penalty, self.domain.noise
                )
            if self.explained[known].at(self.places[number]):
                return known
        return None

    @property
    def _in_crowd(self) -> bool:
        """Whether starts need not come to their ends: where defects crowd, sampling makes more of any."""
        return self.domain.whitened and self.penalty.ties is None

    def _better_first(self, courses: list[Course]) -> Generator[Snapshot, None, None]:
        """The second start before the first, where neither ends soon and it comes farther.

        What ends first tells which others stay behind, and a bad start may take long to end.
        """
        for course in courses[:2]:
            yield from course.ahead(PACED)
            if course.ended:
                return
        if len(courses) > 1 and courses[1].values[-1] < courses[0].values[-1]:
            courses[:2], self.patches[:2] = courses[1::-1], self.patches[1::-1]
            self.places[:2] = self.places[1::-1]

    def _until_known(self, course: Course) -> Steps:
        """Stage I from one start; where it comes to what another start ended in, that one's end.

        In a crowd it is given up where it stays behind another: sampling makes more of either.
        """
        shape = overlap_shape(self.patches[0], self.patches[0])
        # Many starts may have one and the same end.
        ends = {
            known: [overlap_spectra(kernel, shape) for kernel in known.kernels]
            for known in dict.fromkeys(self.found)
        }
        while True:
            here = course.here
            if ends and here is not None:
                if not course.ended and self._stays_behind(course.values):
                    self.given_up.add(here)
                    return here
                if len(course.values) <= LOOKS:
                    own = overlap_spectra(here.kernels[0], shape)
                    for known, spectra in ends.items():
                        if max(likest(own, other, shape) for other in spectra) > KNOWN:
                            return known
            if here is not None and course.ended:
                return here
            yield from course.ahead(1)

    def _stays_behind(self, values: list[float]) -> bool:
        """Whether a start with these ψ after its steps will not reach what another one has reached."""
        if not self._in_crowd or len(values) < PACED:
            return False
        hoped = values[-1] - HOPE * (values[-1 - LATELY] - values[-1])
        return hoped > min(it.objective for it in self.found)

    def gain_of_signs(self) -> Generator[Snapshot, None, float]:
        """What stage I explains with activations of both signs, from its best start, over what it did.

        Nothing more where one sign is rare: what a start then finds more of, another might, too.
        """
        number = min(range(len(self.found)), key=lambda n: self.found[n].objective)
        free = replace(self._first_penalty, nonnegative=False)
        # To its end: one sign's kernel looks much like this one on the way.
        signed = yield from stages.stage_one(self.domain.part, self.patches[number], free, number)
        power = [float(np.square(signed.maps[part]).sum()) for part in (signed.maps > 0, signed.maps < 0)]
        if min(power) < RARER * max(power):
            return 1.0
        energy = self.domain.part.field.energy
        explained = energy - self.found[number].objective
        return (energy - signed.objective) / explained if explained > 0 else 1.0

    def _distinct(self, order: list[int], most: int | None = None) -> list[int]:
        """The best starts, at most so many, of those that ended in the same kernel only the first."""
        most = self.parameters.kept if most is None else most
        chosen: list[int] = []
        for number in order:
            kernels = self.found[number].kernels[0]
            if any(self.found[number] is self.found[other] for other in chosen):
                continue
            if len(chosen) < most and not agreement(
                [kernel for other in chosen for kernel in self.found[other].kernels], kernels
            ):
                chosen.append(number)
        return chosen

    @property
    def ties_of_best(self) -> Ties | None:
        """What is tied of the best polished candidate."""
        best = min(range(len(self.polished)), key=lambda n: self.polished[n].objective)
        return self.ties[best]

    def best_polished(self) -> Iterate:
        """The polished candidate of lowest ψ: all were polished at the same λ."""
        return min(self.polished, key=lambda it: it.objective)

    def best(self, latest: Snapshot) -> Iterate:
        """The best until now; ψ compares within stage I, and among polished candidates."""
        if latest.stage == "stage I":
            return min([*self.found, latest.iterate], key=lambda it: it.objective)
        return self.best_polished() if self.polished else latest.iterate

    def agreeing(self, accepted: Iterate | None = None) -> int:
        """How many starts found the kernel that was chosen in the end, or one of those accepted at last.

        Those that were given up count by what they had come to.
        """
        if not self.found:
            return 0
        chosen = self.best_polished() if self.polished else min(self.found, key=lambda it: it.objective)
        kernels = [*chosen.kernels]
        if accepted is not None and len(accepted.kernels) > 1 and not self.domain.whitened:
            # They were told apart after the search; whitened starts do not compare.
            kernels += [*self.domain.in_part(accepted.kernels)]
        # Each start counts in the orientation in which it agrees best; many have one and the same end.
        ends = {id(it): it.kernels[0] for it in self.found}
        agrees = {key: max(starts_agreeing([kernel], one) for one in kernels) for key, kernel in ends.items()}
        return sum(agrees[id(it)] for it in self.found)
