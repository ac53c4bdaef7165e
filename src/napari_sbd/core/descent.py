"""The descent at one λ: alternating inertial steps in the maps and, on the sphere, in the kernels.

Proximal alternating linearised minimisation with inertia (iPALM; Lau et al., ICLR 2020), the bias in
closed form. Slow and plain: the reference of the engine's tests, and what takes over where defects crowd so
much that steps on the support do not pay.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.convolution import largest_gain
from napari_sbd.core.objective import Objective, Penalty, misfit
from napari_sbd.core.sites import Sites
from napari_sbd.core.sphere import norms, retract, tangent

Real = NDArray[np.floating]

LARGEST_INERTIA = 0.95


@dataclass(frozen=True, eq=False)
class Iterate:
    """Where a descent stands after a step: kernels, extended maps, and ψ, the bias in closed form."""

    kernels: Real
    maps: Real
    objective: float

    @cached_property
    def sites(self) -> Sites:
        """Where the maps are not zero; many ask for that."""
        return Sites.of(self.maps)


@dataclass(frozen=True)
class Schedule:
    """How long a descent goes on: at most `steps` steps, less once no kernel moves by `tolerance` in norm.

    With `thorough`, steps on a support end only if no place off it is left to be taken in; at most a share
    `slight` of the sites is not worth another round. Where it `foresees`, what further steps would move on
    the same sites counts instead of what the last has moved.
    """

    steps: int
    tolerance: float = 1e-4
    thorough: bool = True
    slight: float = 0.01
    foresees: bool = False


def descend(
    objective: Objective, kernels: Real, maps: Real, penalty: Penalty, schedule: Schedule
) -> Iterator[Iterate]:
    """Descend on ψ in maps and kernels together, from these kernels and maps; yields every iterate.

    Inertia is dropped and built up again whenever ψ rises.
    """
    model = objective.convolution
    kernel_spectra, map_spectra = model.kernel_spectra(kernels), model.map_spectra(maps)
    last_kernels, last_kernel_spectra = kernels, kernel_spectra
    last_maps, last_map_spectra = maps, map_spectra
    last_value, age = np.inf, 0
    for _ in range(schedule.steps):
        inertia = min(age / (age + 3), LARGEST_INERTIA)
        ahead = maps + inertia * (maps - last_maps)
        ahead_spectra = map_spectra + inertia * (map_spectra - last_map_spectra)
        last_maps, last_map_spectra = maps, map_spectra
        residual, _ = objective.residual(kernel_spectra, ahead_spectra)
        step = 1 / largest_gain(kernel_spectra)
        maps = penalty.prox(ahead - step * model.correlate_kernels(kernel_spectra, residual), step)
        map_spectra = model.map_spectra(maps)

        turned = kernels + inertia * (kernels - last_kernels)
        length = norms(turned)
        turned_spectra = (kernel_spectra + inertia * (kernel_spectra - last_kernel_spectra)) / length
        turned = turned / length
        last_kernels, last_kernel_spectra = kernels, kernel_spectra
        residual, _ = objective.residual(turned_spectra, map_spectra)
        gain = largest_gain(map_spectra)
        if gain > 0:
            slope = tangent(turned, model.correlate_maps(map_spectra, residual))
            kernels = retract(turned, -slope / gain)
            kernel_spectra = model.kernel_spectra(kernels)

        value = misfit(residual) + penalty.value(maps)
        age = 0 if value > last_value else age + 1
        last_value = value
        yield Iterate(kernels, maps, value)
        if np.linalg.norm(kernels - last_kernels) < schedule.tolerance:
            return


def solve_maps(
    objective: Objective, kernels: Real, maps: Real, penalty: Penalty, schedule: Schedule
) -> Iterator[Iterate]:
    """Minimise ψ in the maps for kernels that stay (FISTA with restart); yields every iterate.

    Stops once the maps move by less than `schedule.tolerance` of their own norm.
    """
    model = objective.convolution
    kernel_spectra = model.kernel_spectra(kernels)
    step = 1 / largest_gain(kernel_spectra)
    last_maps, age = maps, 0
    for _ in range(schedule.steps):
        ahead = maps + age / (age + 3) * (maps - last_maps)
        residual, _ = objective.residual(kernel_spectra, model.map_spectra(ahead))
        last_maps = maps
        maps = penalty.prox(ahead - step * model.correlate_kernels(kernel_spectra, residual), step)
        moved = maps - last_maps
        uphill = float(np.vdot(ahead - maps, moved)) > 0
        age = 0 if uphill else age + 1
        yield Iterate(kernels, maps, misfit(residual) + penalty.value(ahead))
        if np.linalg.norm(moved) <= schedule.tolerance * np.linalg.norm(maps):
            return
