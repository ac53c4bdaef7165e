"""One recovery on its way: the order of it all, what has been found, and how far it is."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_sbd.core import stages
from napari_sbd.core.atoms import atoms_of, likely_atoms, refined_peaks
from napari_sbd.core.defects import Peaks
from napari_sbd.core.descent import Iterate
from napari_sbd.core.kernel_size import estimate_window
from napari_sbd.core.more_types import MoreTypes
from napari_sbd.core.noise import robust_std, sampled, white_noise
from napari_sbd.core.normalise import normalised
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.observation import Observation
from napari_sbd.core.parameters import Parameters
from napari_sbd.core.progress import Progress
from napari_sbd.core.rearrange import composed
from napari_sbd.core.recovery import Recovery, Status
from napari_sbd.core.revisit import amplitude_noise, in_image_unit, upright
from napari_sbd.core.signs import both_signs
from napari_sbd.core.single import Single
from napari_sbd.core.sites import Sites
from napari_sbd.core.start import NO_STARTS, Starts
from napari_sbd.core.steps import Snapshot
from napari_sbd.core.tiles import bands
from napari_sbd.core.verdict import FEWEST_IN_A_LATTICE, fills_a_lattice, residual_of, strong_peaks, worth

Real = NDArray[np.floating]

MIDDLE = 1024  # px, of an image that the first window is estimated from
PACKAGES = ("napari-sbd", "numpy", "scipy", "scikit-image", "napari")


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
        window = parameters.kernel_size or starts.window or _first_window(normal.data, seen.mask)
        automatic = parameters.kernel_size is None and starts.window is None
        raw = Objective(normal.data, seen.mask, window)
        self.penalty = Penalty(1.0, 0.0, parameters.activations != "signed")
        self.first = Single(raw, parameters, self.penalty, starts, automatic)
        self.nothing = ""
        self.accepted: Iterate | None = None
        self.latest: Snapshot | None = None
        self.history: list[tuple[float, str, int, float, float]] = []
        self.progress = Progress([*self.first.plan(), self._cost_of_end()])

    @property
    def raw(self) -> Objective:
        """The image, normalised, with the kernel's window."""
        return self.first.raw

    def steps(self) -> Iterator[Snapshot]:
        """The recovery from beginning to end; yields after every step."""
        best = yield from self.first.steps(self.progress)
        self.accepted = best
        levels = self.first.levels
        assert levels is not None
        if self.parameters.activations == "automatic":
            best, signed = yield from both_signs(self.first, best, self.progress)
            self.accepted = best
            self.penalty = replace(self.penalty, nonnegative=not signed)
        # What several types were composed of is judged when they were sought.
        mixed = composed(best)
        if not mixed and self._nothing_but(best):
            return
        more = MoreTypes(self.raw, self.parameters, self.penalty, levels, self.first.domain)
        for snapshot in more.steps(best, self.progress):
            self.accepted = snapshot.iterate
            yield snapshot
        self.accepted, self.penalty = more.accepted, more.penalty
        if mixed and self._nothing_but(more.accepted):
            return
        yield from stages.debias(self.raw, self.accepted, self.penalty.at(levels.last))

    def _nothing_but(self, best: Iterate) -> bool:
        """Whether what was found is nothing; then it is let go."""
        self.nothing = self._nothing_in(best)
        if self.nothing:
            self.accepted = replace(best, maps=np.zeros_like(best.maps))
        return bool(self.nothing)

    def _nothing_in(self, best: Iterate) -> str:
        """Why what was found is nothing; empty where it is something."""
        peaks = likely_atoms(best).peaks(best)
        empty = replace(best, maps=np.zeros_like(best.maps))
        if not worth(self.raw, empty, best, len(peaks), sum(len(p.amplitudes) for p in peaks)):
            return "what the best kernel explains is no more than noise"
        many = min(len(strong_peaks(p).amplitudes) for p in peaks) >= FEWEST_IN_A_LATTICE
        if many and fills_a_lattice(self._model_in_part(best)):
            return "what repeats is a lattice: remove it first"
        return ""

    def _model_in_part(self, best: Iterate) -> Real:
        """What the model shows, of a large image in the region of the search: what repeats does so there."""
        region, window = self.first.domain.region, self.raw.convolution.kernel_shape
        (row, col), (rows, cols) = region.corner, region.shape
        maps = best.maps[:, row : row + rows + window[0] - 1, col : col + cols + window[1] - 1]
        part = Objective(
            np.zeros((len(self.raw.data), rows, cols), maps.dtype), region.seen(self.raw.mask), window
        )
        return part.left(best.kernels, maps)

    def _cost_of_end(self) -> float:
        return stages.DEBIAS.steps * float(np.prod(self.raw.convolution.map_shape))

    def note(self, snapshot: Snapshot) -> None:
        """Take a step down: progress and history."""
        self.latest = snapshot
        self.progress.advance(float(np.prod(snapshot.iterate.maps.shape[1:])))
        lam = snapshot.lam / self.first.largest
        row = (self.progress.elapsed, snapshot.stage, snapshot.start, lam, snapshot.iterate.objective)
        self.history.append(row)

    def shown(self, snapshot: Snapshot) -> tuple[Real, Real, float]:
        """Kernels and activation maps of a step in the image's unit, and its λ over λ_max."""
        found = upright(self.first.windowed(snapshot.iterate))
        kernels, maps, _ = in_image_unit(found, self.scales)
        return kernels, self.raw.convolution.on_frame(maps), snapshot.lam / self.first.largest

    def result(self, status: Status) -> Recovery:
        """The result in the image's unit; bias and noise belong to the returned kernels and maps."""
        best = upright(self._best())
        kernels, maps, norms = in_image_unit(best, self.scales)
        peaks = self._peaks(best, norms, refine=status == "finished")
        left = residual_of(self.raw, best)
        levels = amplitude_noise(self.raw, left, best.kernels, norms)
        left *= self.scales.astype(left.dtype)[:, None, None]
        noise = robust_std(sampled(left, self.seen.mask))
        quality = self._quality(left, noise)
        del left
        return Recovery(
            self.seen,
            self.parameters,
            kernels,
            maps,
            peaks,
            self._bias(kernels, maps),
            noise,
            status,
            amplitude_noise=levels,
            nothing=self.nothing if status == "finished" else "",
            quality=quality,
            history=pd.DataFrame(self.history, columns=["seconds", "stage", "start", "lam", "objective"]),
            versions=_versions(),
        )

    def _best(self) -> Iterate:
        """The best until now, on the image as given."""
        assert self.latest is not None
        if self.accepted is None:
            return self.first.best(self.latest)
        debiased = self.latest.stage == "debias" and not self.nothing
        return self.latest.iterate if debiased else self.accepted

    def _bias(self, kernels: Real, maps: Real) -> Real:
        """Mean of each slice less that of what the model shows there, in the image's unit."""
        sites, field = Sites.of(maps), self.raw.field
        shown = sites.read(maps) @ field.seen_sums(kernels, sites) / field.count
        means = [
            sum(float(v[rows].sum(where=m[rows], dtype=float)) for rows in bands(self.seen.shape)) / count
            for v, m, count in zip(self.seen.data, self.seen.mask, field.count, strict=True)
        ]
        return np.where(self.seen.mask.any((1, 2)), np.asarray(means) - shown, 0.0)

    def _peaks(self, best: Iterate, norms: Real, refine: bool) -> tuple[Peaks, ...]:
        """Candidates for defects in the image's unit; Σ x ≥ 0 as for the maps."""
        peaks = refined_peaks(self.raw, best) if refine else atoms_of(best).peaks(best)
        return tuple(Peaks(p.centres, p.amplitudes * norm) for p, norm in zip(peaks, norms, strict=True))

    def _quality(self, rest: Real, noise: float) -> dict[str, float]:
        search = self.first.search
        grain = white_noise(rest, self.seen.mask)
        return {
            "starts": len(search.found),
            "starts_agreeing": search.agreeing(),
            "residual_to_noise": noise / grain if grain > 0 else float("nan"),
            "lam_max": self.first.largest * float(np.mean(self.scales)),
        }


def _first_window(data: Real, mask: NDArray[np.bool_]) -> tuple[int, int]:
    """A first estimate of the window, from the middle of a large image."""
    middle = (
        slice(None),
        *(slice((n - min(n, MIDDLE)) // 2, (n + min(n, MIDDLE)) // 2) for n in data.shape[1:]),
    )
    return estimate_window(data[middle].astype(float), mask[middle])


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions
