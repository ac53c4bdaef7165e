"""One kernel for all frames of a series, each with its own defects: the frames as one image, side by side."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sbd import api
from napari_sbd.core.kernel_size import estimate_window
from napari_sbd.core.noise import robust_std
from napari_sbd.core.observation import Observation
from napari_sbd.core.parameters import Parameters
from napari_sbd.core.peaks import Peaks
from napari_sbd.layers import Source
from napari_sbd.results import Recovery

Real = NDArray[np.floating]


def recover_with_one_kernel(
    seen: Observation, source: Source, stop: Any = None, **options: Any
) -> list[Recovery]:
    """Recover a series of images that share the kernels, not the places of their defects.

    The frames are laid below one another with masked rows between them, so wide that no atom reaches two
    frames: that is the model of every frame with common kernels, exactly.

    Parameters
    ----------
    seen : Observation
        The frames are its slices.
    source : Source
    stop : Event, optional
    **options
        Settings.

    Returns
    -------
    list of Recovery
        One for each frame; figures of quality and the history are those of all together.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> frames = rng.normal(0, 0.05, (2, 40, 40))
    >>> for frame, row, col in ((0, 10, 20), (0, 30, 8), (1, 25, 25)):
    ...     frames[frame, row : row + 3, col : col + 3] += [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    >>> first, second = recover_with_one_kernel(*api.read(frames), kernel_size=5)
    >>> len(first.defects), len(second.defects), bool((first.kernels == second.kernels).all())
    (2, 1, True)
    """
    offsets = np.array(
        [np.median(d[m]) if m.any() else 0.0 for d, m in zip(seen.data, seen.mask, strict=True)]
    )
    gap = _gap(seen, offsets, Parameters.from_options(_settings(options)).kernel_size)
    while True:
        whole = last(api.follow(_side_by_side(seen, offsets, gap), source, stop, **options))
        if max(whole.window) <= gap + 1 or whole.status == "cancelled":
            break
        gap = 2 * max(whole.window)
    return [_frame(whole, seen, source, n, offsets[n], gap) for n in range(len(seen.data))]


def _settings(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "start"}


def last(states: api.States) -> Recovery:
    """The result of a recovery that is followed to its end."""
    recovery = None
    for state in states:
        recovery = state.recovery
    assert isinstance(recovery, Recovery)
    return recovery


def _gap(seen: Observation, offsets: Real, window: tuple[int, int] | None) -> int:
    """Rows between frames; a window that is chosen by itself may yet grow."""
    if window is not None:
        return window[0] - 1
    first = np.where(seen.mask[:1], seen.data[:1] - offsets[0], 0)
    return int(2 * estimate_window(first, seen.mask[:1])[0])


def _side_by_side(seen: Observation, offsets: Real, gap: int) -> Observation:
    data = np.where(seen.mask, seen.data - offsets[:, None, None], 0)
    padding = ((0, 0), (0, gap), (0, 0))
    rows = len(data) * (seen.shape[0] + gap) - gap
    images = [np.pad(part, padding).reshape(1, -1, seen.shape[1])[:, :rows] for part in (data, seen.mask)]
    return Observation(images[0], images[1], seen.pixel_size, seen.unit)


def _frame(
    whole: Recovery, seen: Observation, source: Source, number: int, offset: float, gap: int
) -> Recovery:
    """The part of the result that belongs to one frame."""
    rows, height = seen.shape[0], whole.window[0]
    top = number * (rows + gap)
    one = slice(number, number + 1)
    part = Recovery(
        observation=Observation(seen.data[one], seen.mask[one], seen.pixel_size, seen.unit),
        parameters=whole.parameters,
        kernels=whole.kernels,
        extended_activations=whole.extended_activations[:, top : top + rows + height - 1].copy(),
        peaks=tuple(_peaks_between(p, top - height // 2, top + rows + height // 2, top) for p in whole.peaks),
        bias=whole.bias + offset,
        noise=0.0,
        status=whole.status,
        amplitude_noise=whole.amplitude_noise,
        nothing=whole.nothing,
        quality=dict(whole.quality),
        history=whole.history,
        versions=dict(whole.versions),
        orientations=whole.orientations,
        own_windows=whole.own_windows,
        sampled=whole.sampled,
        source=replace(
            source,
            name=f"{source.name} [{number}]",
            origin={**source.origin, "frame": number, "frames": len(seen.data)},
        ),
    )
    rest = part.residual[part.observation.mask]
    bias = part.bias + (rest.mean() if rest.size else 0.0)
    noise = robust_std(rest - rest.mean()) if rest.size else 0.0
    return replace(part, bias=bias, noise=noise)


def _peaks_between(peaks: Peaks, low: int, high: int, top: int) -> Peaks:
    chosen = peaks.chosen((peaks.centres[:, 0] >= low) & (peaks.centres[:, 0] < high))
    return Peaks(chosen.centres - [top, 0], chosen.amplitudes)
