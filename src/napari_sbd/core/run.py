"""One recovery on its way: the order of it all, what has been found, and how far it is."""

from __future__ import annotations

import platform
from collections.abc import Generator, Iterator
from dataclasses import replace
from functools import cache
from importlib import metadata
from math import prod

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_sbd.core.candidates import peaks_of
from napari_sbd.core.descent import Iterate
from napari_sbd.core.device import device_of
from napari_sbd.core.kernel_size import LARGEST_SHARE, estimate_window
from napari_sbd.core.noise import robust_std, sampled, white_noise
from napari_sbd.core.normalise import normalised
from napari_sbd.core.objective import Objective, misfit
from napari_sbd.core.observation import Observation
from napari_sbd.core.one_window import HIGHER_FIRST, OneWindow
from napari_sbd.core.own_grid import (
    CLEAR,
    OTHERS,
    STEP,
    brought_back,
    cost,
    enlarged,
    every_other,
    fine_window,
    halved,
    leaves_white,
    noise_reaches,
    too_fine,
)
from napari_sbd.core.parameters import Parameters
from napari_sbd.core.peaks import Peaks
from napari_sbd.core.progress import Progress
from napari_sbd.core.recovery import Recovery, Status
from napari_sbd.core.revisit import Revisit, amplitude_noise, in_image_unit, revisited, upright
from napari_sbd.core.single import Single
from napari_sbd.core.sites import Sites
from napari_sbd.core.start import NO_STARTS, Starts
from napari_sbd.core.steps import Snapshot, drained, shown_as
from napari_sbd.core.tiles import bands
from napari_sbd.core.verdict import residual_of
from napari_sbd.core.window import rewindowed

Real = NDArray[np.floating]

WIDENINGS = 2  # of a window that is too small for what its defects compose
WIDER = 1.5  # at least, from one window to the next
PACKAGES = ("napari-sbd", "numpy", "scipy", "numba", "scikit-image", "napari")


class Run:
    """A recovery from its normalised image to its result; `steps` does the work.

    Parameters
    ----------
    seen : Observation
    parameters : Parameters
    """

    def __init__(self, seen: Observation, parameters: Parameters, starts: Starts = NO_STARTS) -> None:
        self.seen = seen
        self.parameters = parameters
        normal = normalised(seen)
        self.scales = normal.scales
        window = parameters.kernel_size or starts.window or estimate_window(normal.data, seen.mask)
        self.automatic = parameters.kernel_size is None and starts.window is None
        device = device_of(parameters.device, len(seen.data))
        raw = Objective(normal.data, seen.mask, window, device)
        self.starts = starts
        self.sought = OneWindow(raw, parameters, starts, self.automatic, seen.pixel_size)
        self.every_other = self._of_every_other()
        self._there = False
        self.reached: float | None = None
        self._back: tuple[Objective, Iterate] | None = None
        self.latest: Snapshot | None = None
        self.history: list[tuple[float, str, int, float, float]] = []
        self.progress = Progress(self.sought.plan())

    @property
    def raw(self) -> Objective:
        """The image, normalised, with the kernel's window."""
        return self.sought.raw

    @property
    def first(self) -> Single:
        """The search for the first type."""
        return self.sought.first

    def steps(self) -> Iterator[Snapshot]:
        """The recovery from beginning to end; yields after every step."""
        if self.every_other is None or not (yield from self._on_every_other(self.every_other)):
            yield from self._on_all_pixels()
        self._settle()

    @property
    def coarser(self) -> bool:
        """Whether what every other pixel showed is the result."""
        return self._back is not None

    def _of_every_other(self) -> Run | None:
        """The recovery of every other pixel, where defects crowd in an image on too fine a grid."""
        plain = self.starts is NO_STARTS and self.parameters.symmetry == "none"
        if not (plain and self.parameters.refinements and self.first.domain.whitened):
            return None
        options, region = halved(self.parameters), self.first.domain.region
        if options is None:
            return None
        if not too_fine(region.seen(self.raw.data), region.seen(self.seen.mask)):
            return None
        return Run(every_other(self.seen), options)

    def _on_every_other(self, other: Run) -> Generator[Snapshot, None, bool]:
        """Recover from every other pixel; whether that is all there is to be done."""
        other.progress, other.history, self._there = self.progress, self.history, True
        self.progress.replan([*other.sought.plan(), *self.sought.plan()[-1:]])
        yield from other.steps()
        if not other.sought.nothing:
            self._back = yield from shown_as(other.found(), self._brought_back(other))
        self._there = False
        return self._back is not None and (other.coarser or leaves_white(other.raw, other.found()))

    def _brought_back(self, other: Run) -> Generator[Snapshot, None, tuple[Objective, Iterate]]:
        """What every other pixel has shown, on all of them."""
        window = other.raw.convolution.kernel_shape
        given = self.parameters.kernel_size if window == other.parameters.kernel_size else None
        raw = self.raw.with_window(given or fine_window(window))
        # A matched filter passes on twice as much of noise that is smooth over twice as many pixels a side.
        self.reached = STEP * (other.reached or noise_reaches(other.raw))
        last = self.parameters.lam_last
        penalty = other.sought.penalty.at(self.reached if last is None else STEP * last * other.first.largest)
        return raw, (yield from brought_back(raw, other.found(), penalty))

    def _on_all_pixels(self) -> Iterator[Snapshot]:
        """The recovery of the image as given; what every other pixel showed is let go if this is better."""
        self.progress.replan(self.sought.plan())
        yield from self.sought.steps(self.progress)
        if self._back is not None:
            if self.sought.nothing or (not self._explained(self.found()) and self._coarse_is_cheaper()):
                return
            self._back = self.reached = None
        self.sought = yield from self._surer(self.sought)
        if not self.automatic:
            return
        widest = self.sought
        for _ in range(WIDENINGS):
            extent = widest.extent_of_clusters()
            if extent is None:
                return
            wider = self._wider(widest.raw, extent)
            widest = OneWindow(wider, self.parameters, self.starts, True, self.seen.pixel_size)
            self.progress.extend(widest.plan())
            assert self.sought.accepted is not None
            yield from shown_as(self.sought.accepted, widest.steps(self.progress), "wider window, ")
            widest = yield from self._surer(widest)
            if widest.is_better_than(self.sought):
                self.sought = widest

    def _surer(self, one: OneWindow) -> Generator[Snapshot, None, OneWindow]:
        """The same, or where starts do not agree what a higher penalty of stage I finds, if that is better.

        There a kernel composes a strong defect of several activations, and many such kernels do alike.
        """
        if not one.doubtful:
            return one
        options = replace(self.parameters, lam_first=HIGHER_FIRST)
        other = OneWindow(one.begun, options, self.starts, self.automatic, self.seen.pixel_size)
        self.progress.extend(other.plan())
        assert self.sought.accepted is not None
        yield from shown_as(self.sought.accepted, other.steps(self.progress), "sparser, ")
        return other if other.is_better_than(one) else one

    def _wider(self, raw: Objective, extent: tuple[int, int]) -> Objective:
        """The image seen with a window in which a whole cluster has room."""
        pairs = zip(raw.convolution.kernel_shape, extent, self.seen.shape, strict=True)
        rows, cols = (min(max(k + e, int(WIDER * k)) | 1, int(LARGEST_SHARE * n) | 1) for k, e, n in pairs)
        return raw.with_window((rows, cols))

    def note(self, snapshot: Snapshot) -> None:
        """Take a step down: progress and history."""
        self.latest = snapshot
        if self._there and self.every_other is not None:
            self.every_other.note(snapshot)
            return
        self.progress.advance(float(prod(snapshot.iterate.maps.shape[1:])))
        lam = snapshot.lam / self.first.largest
        row = (self.progress.elapsed, snapshot.stage, snapshot.start, lam, snapshot.iterate.objective)
        self.history.append(row)

    def shown(self, snapshot: Snapshot) -> tuple[Real, Real, float]:
        """Kernels and activation maps of a step in the image's unit, and its λ over λ_max."""
        if self._there and self.every_other is not None:
            return self._enlarged(*self.every_other.shown(snapshot))
        found = self.first.windowed(snapshot.iterate)
        ties = self.sought.ties_of(found)
        kernels, maps, _ = in_image_unit(upright(found, ties), self.scales)
        seen = self.raw.convolution.on_frame(maps)
        kernels, _ = self._in_given_window(kernels, maps)
        if ties is not None:
            kernels, seen = ties.shapes(kernels), ties.summed(seen)
        return kernels, seen, snapshot.lam / self.first.largest

    def result(self, status: Status) -> Recovery:
        """The result in the image's unit; bias and noise belong to the returned kernels and maps."""
        self._settle()
        best = self.found()
        ties = self.sought.ties_of(best)
        best = upright(best, ties)
        # Of a large image before there are maps in its unit, whose pages would add to what this takes.
        found = peaks_of(self.raw, best, self.first.domain.sampled, refine=status == "finished")
        kernels, maps, norms = in_image_unit(best, self.scales)
        peaks = tuple(Peaks(p.centres, p.amplitudes * norm) for p, norm in zip(found, norms, strict=True))
        bias = self._bias(kernels, maps)
        kernels, maps = self._in_given_window(kernels, maps)
        past = revisited(self.raw, self.scales, kernels, maps) if self.raw.in_one_piece else None
        left, levels = self._left(past or Revisit(self.raw, best, self.scales, norms))
        noise = robust_std(sampled(left, self.seen.mask))
        quality = self._quality(left, noise)
        del left
        recovery = Recovery(
            self.seen,
            self.parameters,
            kernels,
            maps,
            peaks,
            bias,
            noise,
            status,
            amplitude_noise=levels,
            nothing=self.sought.nothing if status == "finished" else "",
            quality=quality,
            history=pd.DataFrame(self.history, columns=["seconds", "stage", "start", "lam", "objective"]),
            versions=dict(_versions()),
            orientations=() if ties is None or self.parameters.symmetry == "none" else ties.orientations,
            own_windows=() if ties is None else ties.windows,
            sampled=self.first.domain.sampled,
        )
        # Of a large image only now: its pages and what was left would be there at the same time.
        recovery.remember(past or revisited(self.raw, self.scales, kernels, maps))
        self.raw.device.release()
        return recovery

    def _left(self, seen: Revisit) -> tuple[Real, tuple[float, ...]]:
        """What the result leaves, in the image's unit, and the noise that an amplitude of each type meets.

        In one piece as the table of defects will see it, which needs no other look at the image then.
        """
        objective, found = seen.objective, seen.found
        left = objective.left(found.kernels, found.maps)
        left.flags.writeable = not objective.in_one_piece
        levels = amplitude_noise(objective, left, found.kernels, seen.norms)
        scales = self.scales.astype(left.dtype)[:, None, None]
        return np.multiply(left, scales, out=left if left.flags.writeable else None), levels

    def _settle(self) -> None:
        """Take what every other pixel has shown until now, unless all of them have shown better."""
        other = self.every_other
        if other is None:
            return
        if self._there and other.latest is not None:
            other._settle()
            self._back, self._there = drained(self._brought_back(other)), False
        if self._back is not None:
            self.sought.adopt(*self._back, other.sought)

    def _enlarged(self, kernels: Real, maps: Real, lam: float) -> tuple[Real, Real, float]:
        """What is shown of every other pixel, on all of them."""
        whole = np.zeros((len(maps), *self.seen.shape), maps.dtype)
        whole[OTHERS] = maps
        return enlarged(kernels, self.parameters.kernel_size or fine_window(kernels.shape[-2:])), whole, lam

    def found(self) -> Iterate:
        """The best until now, on the image as given."""
        assert self.latest is not None
        accepted = self.sought.accepted
        return self.first.best(self.latest) if accepted is None else accepted

    def _in_given_window(self, kernels: Real, maps: Real) -> tuple[Real, Real]:
        """Kernels and extended maps in the window that the user gave, also where a smaller one held all."""
        return rewindowed(kernels, maps, self.parameters.kernel_size or self.raw.convolution.kernel_shape)

    def _bias(self, kernels: Real, maps: Real) -> Real:
        """Mean of each slice less that of what the model shows there, in the image's unit."""
        sites, field = Sites.of(maps), self.raw.field
        shown = sites.read(maps) @ field.seen_sums(kernels, sites) / field.count
        means = [
            sum(float(v[rows].sum(where=m[rows], dtype=float)) for rows in bands(self.seen.shape)) / count
            for v, m, count in zip(self.seen.data, self.seen.mask, field.count, strict=True)
        ]
        return np.where(self.seen.mask.any((1, 2)), np.asarray(means) - shown, 0.0)

    def _explained(self, best: Iterate) -> bool:
        """Whether sampling on all pixels left next to nothing: in a great crowd its defects are dear."""
        left = misfit(residual_of(self.raw, best))
        return self.first.domain.sampled and left < CLEAR * self.raw.field.energy

    def _coarse_is_cheaper(self) -> bool:
        assert self._back is not None
        return cost(*self._back) < cost(self.raw, self.found())

    def _quality(self, rest: Real, noise: float) -> dict[str, float]:
        search = self.first.search
        own = OTHERS if self._back is not None else ...
        grain = white_noise(rest[own], self.seen.mask[own])
        return {
            "starts": len(search.found),
            "starts_agreeing": search.agreeing(self.sought.accepted),
            "residual_to_noise": noise / grain if grain > 0 else float("nan"),
            "lam_max": self.first.largest * float(np.mean(self.scales)),
        }


@cache
def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions
