"""The engine: exact steps on the support, in kernels and maps by turns, and screening for new sites.

Between two screenings nothing touches a pixel that no defect covers. Where the support grows too large for
that to pay, the plain descent takes over.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.amplitudes import solve_amplitudes
from napari_sbd.core.descent import Iterate, Schedule, descend, solve_maps
from napari_sbd.core.objective import Objective, Penalty
from napari_sbd.core.sites import Sites
from napari_sbd.core.support_model import SupportModel

Real = NDArray[np.floating]

LARGEST_SHARE = 0.04  # of the map's places that may be sites
SCREENING = 3  # steps from one screening to the next, at most
SLACK = 1e-3  # of λ, by which a correlation must exceed it to be a candidate


def alternate(
    objective: Objective, kernels: Real, maps: Real, penalty: Penalty, schedule: Schedule
) -> Iterator[Iterate]:
    """Minimise ψ in maps and kernels by exact steps in turn, from these on; yields every iterate."""
    return _run(objective, kernels, maps, penalty, schedule, held=False)


def fit_maps(
    objective: Objective, kernels: Real, maps: Real, penalty: Penalty, schedule: Schedule
) -> Iterator[Iterate]:
    """Minimise ψ in the maps for kernels that stay; yields every iterate."""
    return _run(objective, kernels, maps, penalty, schedule, held=True)


def crowded(maps: Real) -> bool:
    """Whether a support is too large for steps on it to pay."""
    return bool(np.count_nonzero(maps) > LARGEST_SHARE * maps[0].size)


def fit_kernels_on_sphere(objective: Objective, kernels: Real, maps: Real) -> Real:
    """The kernels of unit norm that minimise ψ for maps that stay."""
    sites = Sites.of(maps)
    if not len(sites):
        return kernels
    return SupportModel(objective.field, sites, len(kernels)).quadratic(sites.read(maps)).minimised(kernels)


def _run(
    objective: Objective, kernels: Real, maps: Real, penalty: Penalty, schedule: Schedule, held: bool
) -> Iterator[Iterate]:
    field, types = objective.field, len(kernels)
    sites = Sites.of(maps)
    amplitudes = sites.read(maps)
    model: SupportModel | None = None
    since, moved = SCREENING, np.inf
    last = Iterate(kernels, maps, np.zeros(len(objective.data)), np.inf)
    for _ in range(schedule.steps):
        settled = moved < schedule.tolerance
        if since >= SCREENING or settled:
            fresh = _candidates(objective, kernels, sites, amplitudes, maps, penalty)
            if settled and not len(fresh):
                return
            kept = amplitudes != 0
            sites, amplitudes = (
                sites.chosen(kept).joined(fresh),
                np.append(amplitudes[kept], np.zeros(len(fresh), amplitudes.dtype)),
            )
            if len(sites) > LARGEST_SHARE * maps[0].size:
                plain = solve_maps if held else descend
                yield from plain(objective, kernels, sites.write(amplitudes, maps), penalty, schedule)
                return
            model, since = SupportModel(field, sites, types), 0
        if model is None or not len(sites):
            yield Iterate(kernels, sites.write(amplitudes, maps), last.bias, field.energy)
            return
        since += 1
        price = penalty.lam * (1 if penalty.weights is None else sites.read(penalty.weights))
        price = np.broadcast_to(np.asarray(price, amplitudes.dtype), amplitudes.shape)
        reach = model.reach(kernels)
        gram = model.gram(kernels)
        before = amplitudes
        amplitudes = solve_amplitudes(gram, reach, price, amplitudes, penalty.nonnegative)
        if held:
            value = 0.5 * float(np.vdot(amplitudes, gram @ amplitudes)) - float(np.vdot(amplitudes, reach))
            moved = float(np.linalg.norm(amplitudes - before)) / max(float(np.linalg.norm(amplitudes)), 1e-30)
            since = SCREENING
        else:
            quadratic = model.quadratic(amplitudes)
            turned = quadratic.minimised(kernels)
            value = quadratic.value(turned)
            moved = float(np.linalg.norm((turned - kernels).reshape(types, -1), axis=1).max())
            kernels = turned
        value += field.energy + float(np.vdot(price, np.abs(amplitudes)))
        last = Iterate(kernels, sites.write(amplitudes, maps), last.bias, value)
        yield last


def _candidates(
    objective: Objective, kernels: Real, sites: Sites, amplitudes: Real, maps: Real, penalty: Penalty
) -> Sites:
    """Places off the support where the residual's correlation exceeds λ, of neighbours the best."""
    model = objective.convolution
    spectra = model.kernel_spectra(kernels)
    residual, _ = objective.residual(spectra, model.map_spectra(sites.write(amplitudes, maps)))
    slope = -model.correlate_kernels(spectra, residual)
    size = slope if penalty.nonnegative else np.abs(slope)
    price = penalty.lam if penalty.weights is None else penalty.lam * penalty.weights
    above = size > price * (1 + SLACK)
    above[sites.kinds, sites.rows, sites.cols] &= amplitudes == 0
    kinds, rows, cols = np.nonzero(above)
    best = np.ones(len(kinds), bool)
    excess = np.pad(size - price, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    here = excess[kinds, rows + 1, cols + 1]
    for down in range(3):
        for right in range(3):
            best &= here >= excess[kinds, rows + down, cols + right]
    return Sites(kinds[best], rows[best], cols[best])
