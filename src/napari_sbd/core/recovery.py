"""Recovery: what a recovery returns. Plain data and what follows from it; no file format, no viewer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from threading import Event
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_sbd.core import resolve
from napari_sbd.core.alone import standing_alone
from napari_sbd.core.amplitude_errors import NEIGHBOURS
from napari_sbd.core.defects import candidate_table, chosen_rows
from napari_sbd.core.device import device_or_host
from napari_sbd.core.observation import Observation
from napari_sbd.core.oriented_table import COLUMNS, oriented_table
from napari_sbd.core.parameters import Parameters
from napari_sbd.core.peaks import FEWEST_ALIKE, WEAKEST, Peaks, typical_amplitude
from napari_sbd.core.revisit import Revisit, revisit
from napari_sbd.core.stability import RESAMPLES, kernel_errors
from napari_sbd.core.symmetry import Orientation, Ties, by_type
from napari_sbd.core.threshold import Filtered, Threshold, filtered, snr_for
from napari_sbd.core.tiles import OverlapSave, Tile
from napari_sbd.core.trust import Trust, trust_of

Real = NDArray[np.floating]
Status = Literal["finished", "cancelled"]

INDEPENDENT_OF_THRESHOLD = (
    "candidates",
    "noise_snr",
    "reconstruction",
    "residual",
    "trust",
    "_past",
    "_filtered",
)


@dataclass(frozen=True, eq=False)
class Recovery:
    """Kernels, activation maps and defects of an image, with what is needed to judge and to repeat them.

    Parameters
    ----------
    observation : Observation
        The image, its mask and its pixel size.
    parameters : Parameters
        As asked for: they give this result again, or that from which `solved_again` goes on. The window that
        was used is `window`.
    kernels : array (types, slices, k1, k2)
        Each of unit Frobenius norm over all slices; of a finished recovery without the noise that least
        squares leave. With a symmetry, one for each orientation of each type; `shapes` has one for each type.
    extended_activations : array (types, n1 + k1 - 1, n2 + k2 - 1)
        The model's own maps, one for each kernel, in the image's unit, with atoms outside the frame.
    peaks : tuple of Peaks
        Candidates for defects of each kernel, centres between pixels, amplitudes in the image's unit.
    bias : array (slices,)
        Constant of each slice, in the image's unit.
    noise : float
        Standard deviation of a pixel of the residual, in the image's unit, estimated robustly.
    status : {'finished', 'cancelled'}
        A cancelled recovery holds the best that was found until then.
    amplitude_noise : tuple of float
        Standard deviation of the noise that an amplitude of each type meets, in the image's unit: larger than
        `noise` where the noise of neighbouring pixels is correlated.
    nothing : str
        Why no defect was found, empty where some were.
    quality : dict
        Figures that say how far to trust the result.
    history : pandas.DataFrame
        Stage, start, λ over λ_max and objective, by time in seconds.
    versions : dict
        Versions of this package and of what it computes with.
    threshold : Threshold
        What a candidate must have to be a defect; see `with_threshold`.
    solved_again : tuple of dict
        Options with which it was solved again since `parameters` gave it; see `again`.
    orientations : tuple of Orientation
        With a symmetry, type and orientation of each kernel; else empty.
    own_windows : tuple of (rows, cols)
        Window of each type, in the middle of the common one; empty where all have the common one.
    sampled : bool
        Whether the places of a dense field were sampled: each strong activation is a defect then, and `again`
        keeps to their places.

    Examples
    --------
    >>> from napari_sbd.core.recover import recover
    >>> image = np.zeros((40, 40))
    >>> image[10:13, 20:23] = image[30:33, 8:11] = [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    >>> recovery = recover(image + np.random.default_rng(0).normal(0, 0.05, image.shape), kernel_size=5)
    >>> recovery.kernels.shape, len(recovery.defects)
    ((1, 1, 5, 5), 2)
    """

    observation: Observation
    parameters: Parameters
    kernels: Real
    extended_activations: Real
    peaks: tuple[Peaks, ...]
    bias: Real
    noise: float
    status: Status
    amplitude_noise: tuple[float, ...] = ()
    nothing: str = ""
    quality: dict[str, float] = field(default_factory=dict)
    history: pd.DataFrame = field(default_factory=pd.DataFrame)
    versions: dict[str, str] = field(default_factory=dict)
    threshold: Threshold = field(default_factory=Threshold)
    solved_again: tuple[dict[str, Any], ...] = ()
    orientations: tuple[Orientation, ...] = ()
    own_windows: tuple[tuple[int, int], ...] = ()
    sampled: bool = False

    @property
    def ties(self) -> Ties | None:
        """Which kernels are orientations of one shape, and own windows; None where there is neither."""
        if not self.orientations and not self.own_windows:
            return None
        alone = tuple(Orientation(kind) for kind in range(len(self.kernels)))
        return Ties(self.orientations or alone, self.observation.pixel_size, self.own_windows)

    @property
    def types(self) -> int:
        """Number of defect types."""
        return len(self.kernels) if self.ties is None else len(self.ties.first)

    @property
    def shapes(self) -> Real:
        """The kernel of each type (types, slices, k1, k2); with a symmetry, that of orientation 0."""
        return self.kernels if self.ties is None else self.ties.shapes(self.kernels)

    @property
    def window(self) -> tuple[int, int]:
        """Rows and columns of the kernels' window, as asked for or as found."""
        return self.kernels.shape[2], self.kernels.shape[3]

    @property
    def windows(self) -> tuple[tuple[int, int], ...]:
        """Window (rows, cols) of each type: the common one, or the smaller one that it was cut to."""
        return self.own_windows or (self.window,) * self.types

    @property
    def signed(self) -> bool:
        """Whether defects of both signs occur."""
        return bool((self.extended_activations < 0).any())

    @property
    def activations(self) -> Real:
        """Activation maps (types, rows, cols): an activation belongs to the pixel of its kernel's centre.

        With a symmetry, the activations of all orientations of a type together.
        """
        rows, cols = self.observation.shape
        first = [k // 2 for k in self.kernels.shape[-2:]]
        maps = self.extended_activations[:, first[0] : first[0] + rows, first[1] : first[1] + cols]
        return maps if self.ties is None else self.ties.summed(maps)

    @cached_property
    def reconstruction(self) -> Real:
        """What the model explains (slices, rows, cols): `Σ_k a_{k,s} ∗ x_k + b_s`, in the image's unit."""
        shown = np.empty(self.observation.data.shape)
        for tile, image in self._shown():
            shown[:, tile.rows, tile.cols] = image
        return shown

    @cached_property
    def residual(self) -> Real:
        """What the model does not explain (slices, rows, cols): NaN where masked."""
        seen = self.observation
        left = np.full(seen.data.shape, np.nan)
        for tile, image in self._shown():
            here = (slice(None), tile.rows, tile.cols)
            np.subtract(seen.data[here], image, out=left[here], where=seen.mask[here])
        return left

    def _shown(self) -> Iterator[tuple[Tile, Real]]:
        """The reconstruction tile by tile."""
        maps = self.extended_activations
        lens = OverlapSave(self.kernels, (maps.shape[1], maps.shape[2]))
        for tile, image in lens.predicted(maps):
            image += self.bias[:, None, None]
            yield tile, image

    @cached_property
    def defects(self) -> pd.DataFrame:
        """Table of the defects by `threshold`, see `napari_sbd.core.defects.candidate_table`."""
        chosen, table, sure = self.threshold, self.candidates, None
        if self._snr >= self.noise_snr and chosen.strength >= WEAKEST:
            # What the fit left out may be explained by pieces of another type; what the frame cuts is unsure.
            # Beside few defects of a type it may be their misfit.
            few = np.array([len(p.amplitudes) < FEWEST_ALIKE for p in self.peaks])[
                table["type"].to_numpy(int)
            ]
            left, cut, alone = (table[name].to_numpy() for name in ("left_out", "near_border", "alone"))
            sure = alone | ~(left & (cut | few | bool(self.orientations)))
        return chosen_rows(table, self._snr, chosen.strength, chosen.outside, sure)

    @cached_property
    def candidates(self) -> pd.DataFrame:
        """All that may be a defect, see `napari_sbd.core.defects.candidate_table`."""
        empty = not self.extended_activations.any()
        left = [] if empty else [(f.left_out, f.errors) for f in self._filtered]
        return self._candidates(left)

    def _candidates(
        self, left: Sequence[tuple[Peaks, Real]] = (), neighbours: int = NEIGHBOURS
    ) -> pd.DataFrame:
        """The table of candidates: those of the model, and these others."""
        seen, ties = self.observation, self.ties
        types = () if ties is None else ties.types.tolist()
        place = seen.pixel_size, seen.unit, neighbours, types, [self.windows[kind] for kind in types]
        table = candidate_table(self.peaks, self.kernels, seen.mask, self._levels, left, *place)
        if ties is not None and self.orientations:
            return oriented_table(table, ties)
        table["alone"] = standing_alone(table, self.kernels, seen)
        return table

    @cached_property
    def noise_snr(self) -> float:
        """The default threshold of `snr`: noise alone is expected to pass it 0.1 times in the image."""
        return snr_for([f.field for f in self._filtered])

    @cached_property
    def false_positives(self) -> float:
        """How many rows of `defects` are expected to be noise alone."""
        if not self.extended_activations.any():
            return 0.0
        kinds = range(len(self.kernels)) if self.ties is None else self.ties.types
        alike = [typical_amplitude(p.amplitudes) for p in by_type(self.peaks, self.ties)]
        typical = [alike[kind] / n for kind, n in zip(kinds, self._levels, strict=True)]
        weakest = [max(self._snr, self.threshold.strength * t) for t in typical]
        return sum(f.field.expected(snr) for f, snr in zip(self._filtered, weakest, strict=True))

    def with_threshold(
        self, snr: float | None = None, strength: float | None = None, outside: bool = False
    ) -> Self:
        """The same recovery with another threshold of its table of defects; nothing is run again.

        Below the default, candidates appear that the fit left out: maxima of what the matched filter makes
        of the residual.

        Parameters
        ----------
        snr : float, optional
            Smallest amplitude over its standard error; by default such that noise alone is expected to pass
            it 0.1 times in the image.
        strength : float, optional
            Smallest amplitude over the typical one of its type, 0.3 by default. Up to that, weaker ones are
            listed, too, that stand alone, far above the noise, and look like the kernel.
        outside : bool
            Whether defects outside the frame are listed, which are known by what reaches in.

        Examples
        --------
        >>> from napari_sbd.core.recover import recover
        >>> image = np.zeros((40, 40))
        >>> image[10:13, 20:23] = image[30:33, 8:11] = [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
        >>> recovery = recover(image + np.random.default_rng(0).normal(0, 0.05, image.shape), kernel_size=5)
        >>> len(recovery.with_threshold(snr=1000).defects), len(recovery.defects)
        (0, 2)
        """
        threshold = Threshold(snr, WEAKEST if strength is None else strength, outside)
        other = replace(self, threshold=threshold)
        known = {n: value for n, value in vars(self).items() if n in INDEPENDENT_OF_THRESHOLD}
        vars(other).update(known)
        return other

    def again(self, *, stop: Event | None = None, **options: Any) -> Self:
        """The same image solved again with other parameters, from where this recovery ended.

        A few exact steps for kernels and maps, without the search for the kernel: far faster than a new
        recovery, for changes that leave the kernel's nature as it is.

        Parameters
        ----------
        lam : float, optional
            Sparsity penalty as a fraction of this recovery's λ_max.
        refinements : int, optional
            Rounds of reweighting, at most.
        activations : {'positive', 'signed', 'automatic'}, optional
            Whether both signs may occur; automatic leaves it as it was found.
        kernel_size : int or tuple of int, optional
            Window of the kernels, larger or smaller on all sides.
        fixed_kernel : bool, optional
            Whether the kernels stay as they are, and only the maps are solved.
        stop : threading.Event, optional
            Once set, the best until then is returned, marked as cancelled.

        Raises
        ------
        ValueError
            If an option is out of its limits, or if there are no defects to set out from.

        Examples
        --------
        >>> from napari_sbd.core.recover import recover
        >>> from napari_sbd.simulate import ldos_kernel, random_field
        >>> field = random_field(ldos_kernel(9), (64, 64), density=0.005, snr_db=10)
        >>> recovery = recover(field.image, kernel_size=9)
        >>> again = recovery.again(lam=0.5, activations="positive")
        >>> float(again.trust.lam), len(again.defects) <= len(recovery.defects)
        (0.5, True)
        """
        return resolve.solve_again(self, options, stop)

    @cached_property
    def trust(self) -> Trust:
        """Figures that say how far to trust this recovery, see `napari_sbd.core.trust.Trust`."""
        return trust_of(self)

    def stability(self, *, resamples: int = RESAMPLES, seed: int = 0) -> Real:
        """Standard error of each pixel of each shape, (types, slices, k1, k2), by bootstrap over defects.

        See `napari_sbd.core.stability.kernel_errors`.

        Parameters
        ----------
        resamples : int
            Number of fits of the kernels.
        seed : int
            Seed of their random weights.

        Examples
        --------
        >>> from napari_sbd.core.recover import recover
        >>> from napari_sbd.simulate import ldos_kernel, random_field
        >>> field = random_field(ldos_kernel(9), (64, 64), density=0.005, snr_db=10)
        >>> recover(field.image, kernel_size=9).stability(seed=1).shape
        (1, 1, 9, 9)
        """
        if self.nothing:
            raise ValueError(f"there is no kernel to judge: {self.nothing}")
        return kernel_errors(self._past, self.peaks, resamples, seed, self.ties)

    @property
    def _snr(self) -> float:
        return self.noise_snr if self.threshold.snr is None else float(self.threshold.snr)

    @property
    def _levels(self) -> tuple[float, ...]:
        levels = np.broadcast_to(self.amplitude_noise or self.noise, len(self.kernels))
        return tuple(np.maximum(levels, np.finfo(float).tiny).tolist())

    def remember(self, past: Revisit) -> None:
        """Keep the image as it was normalised, which otherwise is done again when it is asked for."""
        vars(self)["_past"] = past

    @cached_property
    def _past(self) -> Revisit:
        device = device_or_host(self.parameters.device, len(self.observation.data))
        return revisit(self.observation, self.kernels, self.extended_activations, device)

    @cached_property
    def _filtered(self) -> list[Filtered]:
        found = filtered(self._past, self.peaks, self._levels, self.signed)
        self._past.objective.device.release()
        return found

    @property
    def summary(self) -> str:
        """One plain sentence on what was found."""
        if self.nothing:
            return f"no defects: {self.nothing}"
        defects = len(self.defects)
        figures = [f"{defects} defect{'' if defects == 1 else 's'}{self._in_orientations}"]
        if self.quality.get("starts", 0) > 1:
            figures.append(f"{self.quality['starts_agreeing']:g} of {self.quality['starts']:g} starts agree")
        if "residual_to_noise" in self.quality:
            figures.append(f"residual {self.quality['residual_to_noise']:.1f} × noise")
        if self.status == "cancelled":
            figures.insert(0, "cancelled, best so far")
        return "; ".join([*figures, *self.trust.hints])

    @property
    def _in_orientations(self) -> str:
        if not self.orientations:
            return ""
        known = ["type", *(name for name in COLUMNS if name in self.defects)]
        number = len(self.defects[known].drop_duplicates())
        return f" in {number} orientation{'' if number == 1 else 's'}"

    def provenance(self) -> dict[str, Any]:
        """Parameters, versions and figures as plain values, to be stored with the result."""
        chosen = {name: getattr(self.parameters, name) for name in self.parameters.__dataclass_fields__}
        return {
            "parameters": chosen,
            "window": self.window,
            "versions": dict(self.versions),
            "status": self.status,
            "quality": dict(self.quality),
            "threshold": asdict(self.threshold),
            "solved_again": [dict(options) for options in self.solved_again],
            "noise": self.noise,
            "bias": [float(b) for b in self.bias],
        }
