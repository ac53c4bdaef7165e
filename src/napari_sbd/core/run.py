"""One recovery on its way: the order of it all, what has been found, and how far it is."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from importlib import metadata

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_sbd.core import stages
from napari_sbd.core.atoms import atoms_of, refined_peaks
from napari_sbd.core.defects import Peaks
from napari_sbd.core.descent import Iterate
from napari_sbd.core.domain import Domain, choose_domain
from napari_sbd.core.kernel_size import estimate_window
from napari_sbd.core.noise import robust_std, white_noise
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.observation import Observation
from napari_sbd.core.parameters import Parameters
from napari_sbd.core.progress import Progress
from napari_sbd.core.recovery import Recovery, Status
from napari_sbd.core.resize import resized
from napari_sbd.core.search import Search
from napari_sbd.core.sparsity import Levels, largest_penalty, levels
from napari_sbd.core.stages import Snapshot
from napari_sbd.core.window import crop, recentre

Real = NDArray[np.floating]
Steps = Generator[Snapshot, None, Iterate]

PACKAGES = ("napari-sbd", "numpy", "scipy", "scikit-image")


class Run:
    """A recovery from its normalised image to its result; `steps` does the work.

    Parameters
    ----------
    seen : Observation
    parameters : Parameters
    """

    def __init__(self, seen: Observation, parameters: Parameters) -> None:
        self.seen = seen
        data, self.scale = _normalised(seen)
        window = parameters.kernel_size or estimate_window(data, seen.mask)
        self.parameters = parameters
        self.raw = Objective(data.astype(np.float32), seen.mask, window)
        self.penalty = Penalty(1.0, 0.0, parameters.activations == "positive")
        self.search: Search | None = None
        self.levels: Levels | None = None
        self.automatic = parameters.kernel_size is None
        self.searching, self.in_domain = True, True
        self.latest: Snapshot | None = None
        self.history: list[tuple[float, str, int, float, float]] = []
        self.progress = Progress([1.0])

    @property
    def window(self) -> tuple[int, int]:
        """Window of the kernel."""
        return self.raw.convolution.kernel_shape

    def steps(self) -> Iterator[Snapshot]:
        """The recovery from beginning to end; yields after every step."""
        options = self.parameters
        domain = choose_domain(self.raw, options.starts, self.penalty.nonnegative, options.seed)
        self.search = Search(domain, options, self.penalty)
        self.progress.replan([*self.search.plan(), self._cost_of_end(domain)])
        best = yield from self.search.steps(self.progress)
        self.searching = False
        assert self.search.levels is not None
        yield from self._end(domain, best, self.search.levels)

    def _end(self, domain: Domain, best: Iterate, found: Levels) -> Steps:
        """From the search's best to the last word: whole image, image as given, window, amplitudes."""
        rounds, penalty = self.parameters.refinements, self.penalty
        if best.maps.shape[1:] != domain.whole.convolution.map_shape:
            begin = replace(best, maps=domain.embed(best.maps))
            best = yield from stages.polish(domain.whole, begin, penalty.at(found.last))
        if domain.whitened:
            best = yield from stages.refine(domain.whole, best, found, penalty, rounds)
        raw, self.in_domain = domain.to_raw(best), False
        if self.automatic:
            self.raw, raw = resized(self.raw, raw)
        if raw is not best:
            self.levels = found = self._levels_of(raw)
            best = yield from stages.polish(self.raw, raw, penalty.at(found.last))
        best = yield from stages.refine(self.raw, best, found, penalty, rounds)
        return (yield from stages.debias(self.raw, best, penalty.at(found.last)))

    def _levels_of(self, found: Iterate) -> Levels:
        """Penalties for a kernel of the image as given."""
        options = self.parameters
        largest = largest_penalty(self.raw, found.kernels, self.penalty.nonnegative)
        return levels(self.raw, found.kernels, largest, options.lam_first, options.lam_last)

    def _cost_of_end(self, domain: Domain) -> float:
        pixels = float(np.prod(self.raw.convolution.map_shape))
        refinement = self.parameters.refinements * stages.REFINE.steps
        polish = stages.POLISH.steps * (domain.whitened + (domain.part is not domain.whole))
        return (refinement * (1 + domain.whitened) + polish + stages.DEBIAS.steps) * pixels

    def note(self, snapshot: Snapshot) -> None:
        """Take a step down: progress and history."""
        self.latest = snapshot
        self.progress.advance(float(np.prod(snapshot.iterate.maps.shape[1:])))
        lam = snapshot.lam / self._largest()
        row = (self.progress.elapsed, snapshot.stage, snapshot.start, lam, snapshot.iterate.objective)
        self.history.append(row)

    def _largest(self) -> float:
        """λ_max of the data that is worked on."""
        if self.levels is not None:
            return self.levels.largest
        return self.search.largest if self.search is not None else 1.0

    def shown(self, snapshot: Snapshot) -> tuple[Real, Real, float]:
        """Kernels and activation maps of a step in the image's unit, and its λ over λ_max."""
        kernels, maps = self._as_returned(snapshot.iterate)
        return kernels, self.raw.convolution.on_frame(maps), snapshot.lam / self._largest()

    def result(self, status: Status) -> Recovery:
        """The result in the image's unit; bias and noise belong to the returned kernels and maps."""
        best = self._best()
        kernels, maps = self._as_returned(best)
        zeros = np.zeros(len(self.seen.data))
        peaks = self._peaks(best, refine=status == "finished")
        unbiased = Recovery(self.seen, self.parameters, kernels, maps, peaks, zeros, 0.0, status)
        bias = np.array(
            [
                np.mean(r[m]) if m.any() else 0.0
                for r, m in zip(unbiased.residual, self.seen.mask, strict=True)
            ]
        )
        rest = unbiased.residual - bias[:, None, None]
        noise = robust_std(rest[self.seen.mask])
        return replace(
            unbiased,
            bias=bias,
            noise=noise,
            quality=self._quality(rest, noise),
            history=pd.DataFrame(self.history, columns=["seconds", "stage", "start", "lam", "objective"]),
            versions=_versions(),
        )

    def _best(self) -> Iterate:
        """The best until now, on the image as given."""
        assert self.latest is not None
        assert self.search is not None
        best = self.search.best(self.latest) if self.searching else self.latest.iterate
        best = self._windowed(best)
        return self.search.domain.to_raw(best) if self.in_domain else best

    def _windowed(self, found: Iterate) -> Iterate:
        """An iterate of any stage at the final window and on the whole frame."""
        kernels, maps = found.kernels, found.maps
        if kernels.shape[-2:] != self.window:
            kernels, maps, _ = recentre(kernels, maps, self.window)
            kernels, maps = crop(kernels, maps, self.window)
        if self.searching and self.search is not None:
            maps = self.search.domain.embed(maps)
        return replace(found, kernels=kernels, maps=maps)

    def _as_returned(self, found: Iterate) -> tuple[Real, Real]:
        """Kernels of unit norm and extended maps in the image's unit, the sign such that Σ x ≥ 0."""
        found = self._windowed(found)
        sign = _signs(found.maps)
        kernels = found.kernels.astype(float) * sign[:, None, None, None]
        kernels /= np.linalg.norm(kernels.reshape(len(kernels), -1), axis=1)[:, None, None, None]
        return kernels, found.maps.astype(float) * sign[:, None, None] * self.scale

    def _peaks(self, best: Iterate, refine: bool) -> tuple[Peaks, ...]:
        """Candidates for defects in the image's unit; Σ x ≥ 0 as for the maps."""
        peaks = refined_peaks(self.raw, best) if refine else atoms_of(best).peaks(best)
        signs = _signs(best.maps) * self.scale
        return tuple(Peaks(p.centres, p.amplitudes * sign) for p, sign in zip(peaks, signs, strict=True))

    def _quality(self, rest: Real, noise: float) -> dict[str, float]:
        assert self.search is not None
        grain = white_noise(np.nan_to_num(rest), self.seen.mask)
        return {
            "starts": len(self.search.found),
            "starts_agreeing": self.search.agreeing(),
            "residual_to_noise": noise / grain if grain > 0 else float("nan"),
            "lam_max": self._largest() * self.scale,
        }


def _signs(maps: Real) -> Real:
    return np.where(maps.sum((1, 2), dtype=float) < 0, -1.0, 1.0)


def _normalised(seen: Observation) -> tuple[Real, float]:
    """Data less the median of each slice, to unit deviation; and the scale that undoes it."""
    centre = [np.median(d[m]) if m.any() else 0.0 for d, m in zip(seen.data, seen.mask, strict=True)]
    data = np.where(seen.mask, seen.data - np.array(centre)[:, None, None], 0)
    largest = float(np.abs(data).max())
    data /= largest
    deviation = float(data[seen.mask].std())
    return data / deviation, largest * deviation


def _versions() -> dict[str, str]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions
