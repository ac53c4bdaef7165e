"""A finished recovery solved again with other parameters: a few exact steps from where it ended."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_sbd.core.alternation import fit_maps
from napari_sbd.core.candidates import peaks_of
from napari_sbd.core.descent import Iterate, Schedule
from napari_sbd.core.noise import leftover, white_noise
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.observation import check_window
from napari_sbd.core.parameters import Parameters
from napari_sbd.core.peaks import Peaks
from napari_sbd.core.revisit import Revisit, amplitude_noise, in_image_unit, upright
from napari_sbd.core.shrinkage import without_noise
from napari_sbd.core.sparsity import largest_penalty
from napari_sbd.core.stages import reweighting
from napari_sbd.core.steps import FORBIDDEN, frozen
from napari_sbd.core.threads import one_thread
from napari_sbd.core.tied import alternate
from napari_sbd.core.window import rewindowed

if TYPE_CHECKING:
    from napari_sbd.core.recovery import Recovery, Status

Real = NDArray[np.floating]
AnyRecovery = TypeVar("AnyRecovery", bound="Recovery")

# Options of `Recovery.again`, and what settings they are.
OPTIONS = {
    "lam": "lam_last",
    "refinements": "refinements",
    "activations": "activations",
    "kernel_size": "kernel_size",
    "fixed_kernel": "fixed_kernel",
}
STAGE = "again"  # in the history
SOLVE = Schedule(30, 1e-3)
ROUND = Schedule(20, 1e-3)
ONCE = Schedule(1)  # amplitudes alone on a support that stays: one step is exact
FEW_NEIGHBOURS = 8  # in the error of an amplitude, in a sketch
SETTLED = 1e-3  # relative change of kernels and maps, below which another round changes nothing
EMPTY = "λ is so large that it leaves the activation map empty: choose a smaller one"


@dataclass(frozen=True)
class Wanted:
    """What a recovery is solved again with.

    Parameters
    ----------
    lam : float
        Sparsity penalty, as a fraction of λ_max of the recovery.
    refinements : int
        Rounds of reweighting, at most.
    signed : bool
        Whether activations may be negative.
    window : tuple of int
    fixed_kernel : bool
        Whether the kernels stay and only maps are solved.
    """

    lam: float
    refinements: int
    signed: bool
    window: tuple[int, int]
    fixed_kernel: bool = False

    def options(self) -> dict[str, Any]:
        """The options of `Recovery.again` that want the same."""
        return {
            "lam": self.lam,
            "refinements": self.refinements,
            "activations": "signed" if self.signed else "positive",
            "kernel_size": self.window,
            "fixed_kernel": self.fixed_kernel,
        }


def wanted_of(recovery: Recovery, options: dict[str, Any]) -> Wanted:
    """What is wanted, from the options of `Recovery.again`; what is not given stays as it was.

    Raises
    ------
    ValueError
        If an option is out of its limits, or if there is nothing that could be solved again.
    """
    if recovery.nothing or not recovery.extended_activations.any():
        why = recovery.nothing or "it found no defects"
        raise ValueError(f"this recovery cannot be solved again: {why}")
    for name in options:
        if name not in OPTIONS:
            raise ValueError(f"unknown option {name!r}: the options are {', '.join(OPTIONS)}")
    known = {OPTIONS[name]: value for name, value in options.items() if value is not None}
    fixed = bool(known.pop("fixed_kernel", False))
    try:
        asked = Parameters.from_options(known)
    except ValueError as error:
        raise ValueError(str(error).replace("lam_last", "lam")) from None
    window = asked.kernel_size or recovery.window
    check_window(window, recovery.observation.shape)
    signed = recovery.signed or recovery.parameters.activations == "signed"
    return Wanted(
        lam=last_lam(recovery) if asked.lam_last is None else asked.lam_last,
        refinements=asked.refinements if "refinements" in known else last_refinements(recovery),
        signed=signed if asked.activations == "automatic" else asked.activations == "signed",
        window=window,
        fixed_kernel=fixed,
    )


def last_lam(recovery: Recovery) -> float:
    """The λ over λ_max that a recovery ended with, within the limits of the setting."""
    known = recovery.parameters.lam_last or 0.1
    return float(recovery.history["lam"].iloc[-1]) if len(recovery.history) else known


def last_refinements(recovery: Recovery) -> int:
    """The rounds of reweighting that a recovery was asked for."""
    given = [asked["refinements"] for asked in recovery.solved_again if "refinements" in asked]
    return int(given[-1]) if given else recovery.parameters.refinements


@dataclass(frozen=True)
class Solved:
    """Where solving again has arrived.

    Parameters
    ----------
    wanted : Wanted
    objective : Objective
    plain : Iterate
        At λ, without weights: from here a neighbouring λ is near.
    found : Iterate
        Reweighted, and debiased at the end.
    """

    wanted: Wanted
    objective: Objective
    plain: Iterate
    found: Iterate


class Resolver:
    """A finished recovery that is solved again as often as wanted.

    Parameters
    ----------
    recovery : Recovery
        With defects.
    """

    def __init__(self, recovery: Recovery) -> None:
        self.recovery = recovery
        past = recovery._past
        self.begin, self.scales = past.found, past.scales
        self._objectives = {recovery.window: past.objective}
        scale = float(np.mean(past.scales))
        self.largest = recovery.quality.get("lam_max", 0.0) / scale
        if not self.largest > 0:
            self.largest = largest_penalty(past.objective, past.found.kernels, not recovery.signed)

    def steps(self, wanted: Wanted, last: Solved | None = None) -> Generator[Solved, None, Solved]:
        """Solve; yields after every step.

        Parameters
        ----------
        wanted : Wanted
        last : Solved, optional
            What was solved before, to set out from for a sketch; by default the recovery.
        """
        objective = self._seen_with(wanted.window)
        begin = self.begin if last is None else last.plain
        kernels, maps = rewindowed(begin.kernels, begin.maps, wanted.window)
        if not wanted.signed:
            maps = np.maximum(maps, 0)
        ties = self.recovery.ties
        penalty = Penalty(wanted.lam * self.largest, 0.0, nonnegative=not wanted.signed, ties=ties)
        solve = fit_maps if wanted.fixed_kernel else alternate
        here = Iterate(kernels, maps, np.inf)
        first = self._at_places(objective, wanted, penalty) if self.recovery.sampled else penalty
        for here in solve(objective, kernels, maps, first, SOLVE):
            yield Solved(wanted, objective, here, here)
        plain = here
        count = wanted.refinements if plain.maps.any() and not self.recovery.sampled else 0
        # From a neighbour only a sketch is wanted: the first round does most.
        count, rounds = (count, ROUND) if last is None else (min(count, 1), replace(ROUND, thorough=False))
        for _ in range(count):
            before = here
            heavier = reweighting(objective, here, penalty)
            for here in solve(objective, before.kernels, before.maps, heavier, rounds):
                yield Solved(wanted, objective, plain, here)
            if _settled(before, here):
                break
        return debiased(Solved(wanted, objective, plain, here))

    def result(self, solved: Solved, status: Status = "finished") -> Recovery:
        """What was solved as a Recovery, in the image's unit."""
        objective, found = solved.objective, self._freed(solved)
        kernels, maps, norms = in_image_unit(found, self.scales)
        left = objective.left(found.kernels, found.maps)
        peaks = peaks_of(objective, found, self.recovery.sampled)
        new = self._changed(solved, kernels, maps, _in_unit(peaks, norms))
        levels = amplitude_noise(objective, left, found.kernels, norms)
        new = with_noise(replace(new, status=status, amplitude_noise=levels))
        vars(new)["_past"] = Revisit(objective, found, self.scales, norms)
        return new

    def sketch(self, solved: Solved, figures: bool = True) -> Recovery:
        """The same without what takes long and hardly changes, for a picture while a hand drags.

        What the fit leaves out is not sought, centres stay centroids of activations, few neighbours take part
        in an amplitude's error, and noise of amplitudes and default threshold are those
        of the first recovery.

        Parameters
        ----------
        solved : Solved
        figures : bool
            Whether bias, noise and residual are worked out, or stay as they were, too.
        """
        old, found = self.recovery, self._freed(solved)
        kernels, maps, norms = in_image_unit(found, self.scales)
        peaks = peaks_of(solved.objective, found, self.recovery.sampled, refine=False)
        new = self._changed(solved, kernels, maps, _in_unit(peaks, norms))
        if figures:
            new = with_noise(new)
        vars(new)["_past"] = Revisit(solved.objective, found, self.scales, norms)
        vars(new)["noise_snr"] = old.noise_snr
        if new.window == old.window:
            vars(new)["_filtered"] = old._filtered
        vars(new)["candidates"] = new._candidates(neighbours=FEW_NEIGHBOURS)
        return new

    def _freed(self, solved: Solved) -> Iterate:
        """What was solved, upright, and without noise in kernels that were fitted."""
        found, ties = solved.found, self.recovery.ties
        if not solved.wanted.fixed_kernel:
            found = without_noise(solved.objective, found, ties)
        return upright(found, ties)

    def _changed(self, solved: Solved, kernels: Real, maps: Real, peaks: tuple[Peaks, ...]) -> Recovery:
        old = self.recovery
        return replace(
            old,
            kernels=kernels,
            extended_activations=maps,
            peaks=peaks,
            nothing="" if maps.any() else EMPTY,
            solved_again=(*old.solved_again, solved.wanted.options()),
            history=_continued(old.history, solved),
        )

    def _at_places(self, objective: Objective, wanted: Wanted, penalty: Penalty) -> Penalty:
        """A penalty that keeps to the places that were sampled: it would tell others less well itself.

        Weights are those of the recovery's own activations.
        """
        kernels, maps = rewindowed(self.begin.kernels, self.begin.maps, wanted.window)
        places = np.where(maps != 0, 1, FORBIDDEN).astype(maps.dtype)
        if wanted.refinements:
            weights = reweighting(objective, Iterate(kernels, maps, np.inf), penalty).weights
            assert weights is not None
            places = np.where(maps != 0, weights, places)
        return replace(penalty, weights=places)

    def _seen_with(self, window: tuple[int, int]) -> Objective:
        if window not in self._objectives:
            # Two at most: that of the recovery and the last other one.
            own = self._objectives[self.recovery.window]
            self._objectives = {self.recovery.window: own, window: own.with_window(window)}
        return self._objectives[window]


def solve_again(recovery: AnyRecovery, options: dict[str, Any], stop: Event | None = None) -> AnyRecovery:
    """What `Recovery.again` returns."""
    wanted = wanted_of(recovery, options)
    with one_thread():
        resolver = Resolver(recovery)
        solved, stopped = drained(resolver.steps(wanted), lambda: stop is not None and stop.is_set())
        new = resolver.result(solved, "cancelled" if stopped else "finished")
    return cast(AnyRecovery, new)


def drained(steps: Generator[Solved, None, Solved], stopped: Callable[[], bool]) -> tuple[Solved, bool]:
    """The end of steps, or the step at which they were stopped, debiased; and whether they were."""
    while True:
        try:
            here = next(steps)
        except StopIteration as end:
            return cast(Solved, end.value), False
        if stopped():
            return debiased(here), True


def debiased(solved: Solved) -> Solved:
    """Amplitudes without penalty on the support that was found; kernels stay."""
    found, objective = solved.found, solved.objective
    if not found.maps.any():
        return solved
    penalty = frozen(found, Penalty(1.0, 0.0, nonnegative=not solved.wanted.signed))
    [found] = fit_maps(objective, found.kernels, found.maps, penalty, ONCE)
    return replace(solved, found=found)


def _in_unit(peaks: list[Peaks], norms: Real) -> tuple[Peaks, ...]:
    return tuple(Peaks(p.centres, p.amplitudes * n) for p, n in zip(peaks, norms, strict=True))


def _settled(before: Iterate, here: Iterate) -> bool:
    """Whether a round has changed next to nothing."""
    pairs = ((before.kernels, here.kernels), (before.maps, here.maps))
    return all(np.linalg.norm(new - old) <= SETTLED * np.linalg.norm(new) for old, new in pairs)


def with_noise(new: Recovery) -> Recovery:
    """A recovery with the bias and the noise that belong to its kernels and maps."""
    mask = new.observation.mask
    unbiased = replace(new, bias=np.zeros(len(mask)))
    bias, rest, noise = leftover(unbiased.residual, mask)
    grain = white_noise(np.nan_to_num(rest), mask)
    ratio = noise / grain if grain > 0 else float("nan")
    found = replace(new, bias=bias, noise=noise, quality=new.quality | {"residual_to_noise": ratio})
    vars(found)["reconstruction"] = unbiased.reconstruction + bias[:, None, None]
    vars(found)["residual"] = rest
    return found


def _continued(history: pd.DataFrame, solved: Solved) -> pd.DataFrame:
    """The history with a last row of its own."""
    seconds = float(history["seconds"].iloc[-1]) if len(history) else 0.0
    row = {"seconds": seconds, "stage": STAGE, "start": 0, "lam": solved.wanted.lam}
    last = pd.DataFrame([row | {"objective": solved.found.objective}])
    return pd.concat([history, last], ignore_index=True) if len(history) else last
