"""iter_recover and recover: the order of it all, the clock, and the stop."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from importlib import metadata
from threading import Event
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_sbd.core import stages
from napari_sbd.core.descent import Iterate
from napari_sbd.core.kernel_size import estimate_window
from napari_sbd.core.noise import robust_std, white_noise
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.observation import Observation, check_window, observe
from napari_sbd.core.parameters import Parameters
from napari_sbd.core.progress import Progress
from napari_sbd.core.quality import agreement
from napari_sbd.core.recovery import Recovery
from napari_sbd.core.region import search_region
from napari_sbd.core.sparsity import Levels, largest_penalty, levels
from napari_sbd.core.stages import Snapshot
from napari_sbd.core.start import salient_patches
from napari_sbd.core.window import crop, recentre

Real = NDArray[np.floating]

SECONDS_BETWEEN_STATES = 0.1
PACKAGES = ("napari-sbd", "numpy", "scipy", "scikit-image")


@dataclass(frozen=True, eq=False)
class State:
    """Where a recovery stands: what a user sees while it runs.

    Parameters
    ----------
    stage : str
        'stage I', 'stage II', 'polish', 'refine', 'debias' or 'finished'.
    start : int
        Number of the start that is followed, from 0.
    lam : float
        Sparsity penalty over λ_max.
    objective : float
        ψ of the normalised image at this λ.
    fraction : float
        Share of the planned work that is done.
    elapsed, remaining : float
        Seconds since the beginning, and estimated to the end.
    kernels : array (types, slices, k1, k2)
        A copy, of unit norm.
    activations : array (types, rows, cols)
        A copy, on the image's grid and in its unit.
    recovery : Recovery or None
        The result, in the last state only.
    """

    stage: str
    start: int
    lam: float
    objective: float
    fraction: float
    elapsed: float
    remaining: float
    kernels: Real
    activations: Real
    recovery: Recovery | None = None


States = Generator[State, None, Recovery]


def recover(image: Any, *, stop: Event | None = None, **options: Any) -> Recovery:
    """Recover the kernel, the activation map and the defects of an image.

    Takes what `iter_recover` takes and returns its result.

    Examples
    --------
    >>> image = np.zeros((40, 40))
    >>> image[10:13, 20:23] = image[30:33, 8:11] = [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    >>> recovery = recover(image + np.random.default_rng(0).normal(0, 0.05, image.shape), kernel_size=5)
    >>> sorted(recovery.defects["row"].round().astype(int))
    [11, 31]
    """
    *_, last = iter_recover(image, stop=stop, **options)
    assert last.recovery is not None
    return last.recovery


def iter_recover(
    image: Any,
    *,
    mask: Any = None,
    pixel_size: float | tuple[float, float] = 1.0,
    unit: str = "px",
    name: str = "image",
    stop: Event | None = None,
    **options: Any,
) -> States:
    """Recover step by step: yields its state about ten times a second, and ends with the result.

    Input is checked when this is called, before any work. The last state holds the Recovery, which is the
    generator's return value, too.

    Parameters
    ----------
    image : array-like (rows, cols) or (slices, rows, cols), or Observation
        See `observe`.
    mask, pixel_size, unit, name
        See `observe`.
    stop : threading.Event, optional
        Once set, the recovery ends within one step and returns the best until then, marked as cancelled.
    **options
        Settings, see `Parameters`.

    Raises
    ------
    ValueError
        If the image, the mask or an option cannot be used; the message names it and the remedy.

    Notes
    -----
    The two stages of Zhang et al. (2017), section 3.

    Examples
    --------
    >>> image = np.zeros((40, 40))
    >>> image[10:13, 20:23] = image[30:33, 8:11] = [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    >>> [state.stage for state in iter_recover(image, kernel_size=5)][-1]
    'finished'
    """
    parameters = Parameters.from_options(options)
    if isinstance(image, Observation):
        seen = image
    else:
        seen = observe(image, mask=mask, pixel_size=pixel_size, unit=unit, name=name)
    if parameters.kernel_size is not None:
        check_window(parameters.kernel_size, seen.shape)
    return _drive(_Run(seen, parameters), stop)


def _drive(run: _Run, stop: Event | None) -> States:
    status: Any = "finished"
    shown = time.perf_counter()
    for snapshot in run.steps():
        run.note(snapshot)
        if stop is not None and stop.is_set():
            status = "cancelled"
            break
        if time.perf_counter() - shown >= SECONDS_BETWEEN_STATES:
            yield run.state(snapshot)
            shown = time.perf_counter()
    recovery = run.recovery(status)
    yield replace(run.last_state(recovery), stage="finished", recovery=recovery)
    return recovery


class _Run:
    """One recovery on its way: the normalised image, what has been found, how far it is."""

    def __init__(self, seen: Observation, parameters: Parameters) -> None:
        self.seen = seen
        data, self.centre, self.scale = _normalised(seen)
        window = parameters.kernel_size or estimate_window(data, seen.mask)
        self.parameters = replace(parameters, kernel_size=window)
        self.whole = Objective(data.astype(np.float32), seen.mask, window)
        self.region = search_region(self.whole)
        self.part = self.region.cut(self.whole)
        self.penalty = Penalty(1.0, 0.0, parameters.activations == "positive")
        self.largest = 1.0
        self.found: list[Iterate] = []
        self.polished: list[Iterate] = []
        self.latest: Snapshot | None = None
        self.history: list[tuple[float, str, int, float, float]] = []
        self.progress = Progress(self._plan(self.parameters.starts, 9))

    @property
    def window(self) -> tuple[int, int]:
        return self.whole.convolution.kernel_shape

    def steps(self) -> Iterator[Snapshot]:
        """The recovery from beginning to end; yields after every step."""
        rng = np.random.default_rng(self.parameters.seed)
        part, options = self.part, self.parameters
        patches = salient_patches(part.data, part.mask, self.window, options.starts, rng)
        tops = [largest_penalty(part, patch, self.penalty.nonnegative) for patch in patches]
        self.largest = max(float(np.median(tops)), float(np.finfo(np.float32).tiny))
        self.progress.replan(self._plan(len(patches), 9))
        smooth = replace(
            self.penalty, lam=options.lam_first * self.largest, mu=stages.SMOOTHING * self.largest
        )
        for number, patch in enumerate(patches):
            self.found.append((yield from stages.stage_one(part, patch, smooth, number)))
            self.progress.finish_phase()
        order = sorted(range(len(patches)), key=lambda n: self.found[n].objective)
        chosen = levels(part, self.found[order[0]].kernels, self.largest, options.lam_first, options.lam_last)
        kept = order[: options.kept]
        self.progress.replan(self._plan(0, len(stages.continuation(chosen.first, chosen.last)), len(kept)))
        for number in kept:
            one = stages.stage_two(part, self.found[number], chosen, self.penalty, number)
            self.polished.append((yield from one))
            self.progress.finish_phase()
        yield from self._finish(min(self.polished, key=lambda it: it.objective), chosen)

    def _finish(self, best: Iterate, chosen: Levels) -> Iterator[Snapshot]:
        if self.part.convolution.image_shape != self.seen.shape:
            maps = self.region.embed(best.maps, self.whole.convolution.map_shape)
            best = replace(best, maps=maps)
            best = yield from stages.polish(self.whole, best, self.penalty.at(chosen.last))
        rounds = self.parameters.refinements
        best = yield from stages.refine(self.whole, best, chosen, self.penalty, rounds)
        yield from stages.debias(self.whole, best, self.penalty)

    def _plan(self, starts: int, levels: int, kept: int | None = None) -> list[float]:
        """Cost of the phases that are left: steps times pixels."""
        kept = min(self.parameters.kept, starts) if kept is None else kept
        part, whole = (float(np.prod(o.convolution.map_shape)) for o in (self.part, self.whole))
        first = stages.FIRST.steps * part
        second = (levels * stages.LEVEL.steps * 1.5 + stages.POLISH.steps) * part
        last = (self.parameters.refinements * stages.REFINE.steps + stages.DEBIAS.steps) * whole
        return [first] * starts + [second] * kept + [last]

    def note(self, snapshot: Snapshot) -> None:
        """Take a step down: the best until now, progress, history."""
        self.latest = snapshot
        self.progress.advance(float(np.prod(snapshot.iterate.maps.shape[1:])))
        lam = snapshot.lam / self.largest
        row = (self.progress.elapsed, snapshot.stage, snapshot.start, lam, snapshot.iterate.objective)
        self.history.append(row)

    def _best(self) -> Iterate:
        """The best until now; objectives compare within stage I, and among polished candidates."""
        assert self.latest is not None
        here = self.latest.iterate
        if self.latest.stage == "stage I":
            return min([*self.found, here], key=lambda it: it.objective)
        if self.latest.stage in ("stage II", "polish") and self.polished:
            return min(self.polished, key=lambda it: it.objective)
        return here

    def _as_returned(self, iterate: Iterate) -> tuple[Real, Real]:
        """Kernels and extended maps of the final window and the whole frame, the sign such that Σ x ≥ 0."""
        kernels, maps = iterate.kernels, iterate.maps
        if kernels.shape[-2:] != self.window:
            kernels, maps, _ = recentre(kernels, maps, self.window)
            kernels, maps = crop(kernels, maps, self.window)
        if maps.shape[1:] != self.whole.convolution.map_shape:
            maps = self.region.embed(maps, self.whole.convolution.map_shape)
        sign = np.where(maps.sum((1, 2), dtype=float) < 0, -1.0, 1.0)
        kernels = kernels.astype(float) * sign[:, None, None, None]
        kernels /= np.linalg.norm(kernels.reshape(len(kernels), -1), axis=1)[:, None, None, None]
        return kernels, maps.astype(float) * sign[:, None, None] * self.scale

    def state(self, snapshot: Snapshot) -> State:
        """What is shown of a step."""
        kernels, maps = self._as_returned(snapshot.iterate)
        progress = self.progress
        return State(
            stage=snapshot.stage,
            start=snapshot.start,
            lam=snapshot.lam / self.largest,
            objective=snapshot.iterate.objective,
            fraction=progress.fraction,
            elapsed=progress.elapsed,
            remaining=progress.remaining,
            kernels=kernels,
            activations=self.whole.convolution.on_frame(maps),
        )

    def last_state(self, recovery: Recovery) -> State:
        """The state that carries the result."""
        assert self.latest is not None
        state = self.state(self.latest)
        return replace(
            state, fraction=1.0, remaining=0.0, kernels=recovery.kernels, activations=recovery.activations
        )

    def recovery(self, status: Any) -> Recovery:
        """The result in the image's unit; bias and noise belong to the returned kernels and maps."""
        kernels, maps = self._as_returned(self._best())
        unbiased = Recovery(
            self.seen, self.parameters, kernels, maps, np.zeros(len(self.seen.data)), 0.0, status
        )
        bias = np.array([np.mean(r[m]) for r, m in zip(unbiased.residual, self.seen.mask, strict=True)])
        rest = unbiased.residual - bias[:, None, None]
        noise = robust_std(rest[self.seen.mask])
        columns = ["seconds", "stage", "start", "lam", "objective"]
        return replace(
            unbiased,
            bias=bias,
            noise=noise,
            quality=self._quality(kernels, rest, noise),
            history=pd.DataFrame(self.history, columns=columns),
            versions=_versions(),
        )

    def _quality(self, kernels: Real, rest: Real, noise: float) -> dict[str, float]:
        grain = white_noise(np.nan_to_num(rest), self.seen.mask)
        return {
            "starts": len(self.found),
            "starts_agreeing": agreement([it.kernels[0] for it in self.found], kernels[0]),
            "residual_to_noise": noise / grain if grain > 0 else float("nan"),
            "lam_max": self.largest * self.scale,
        }


def _normalised(seen: Observation) -> tuple[Real, Real, float]:
    """Data less the median of each slice, to unit deviation; the medians and the scale."""
    centre = np.array(
        [np.median(d[m]) if m.any() else 0.0 for d, m in zip(seen.data, seen.mask, strict=True)]
    )
    data = np.where(seen.mask, seen.data - centre[:, None, None], 0)
    largest = float(np.abs(data).max())
    data /= largest
    deviation = float(data[seen.mask].std())
    return data / deviation, centre, largest * deviation


def _versions() -> dict[str, str]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions
