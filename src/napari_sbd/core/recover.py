"""iter_recover and recover: the order of it all, the clock, and the stop."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.device import device_of
from napari_sbd.core.memory import check, check_there
from napari_sbd.core.observation import Observation, check_window, observe
from napari_sbd.core.parameters import Parameters
from napari_sbd.core.recovery import Recovery, Status
from napari_sbd.core.run import Run
from napari_sbd.core.start import given_starts
from napari_sbd.core.steps import Snapshot
from napari_sbd.core.threads import one_thread
from napari_sbd.core.tiles import in_one_piece

Real = NDArray[np.floating]

SECONDS_BETWEEN_STATES = 0.1
PAUSE_AFTER_STATE = 10  # times as long as it took: those of large images take time, at most a tenth of all
SEEN_AS = ("mask", "pixel_size", "unit", "name")  # options of `observe`


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
    run = _begun(image, **options)
    with one_thread():
        status: Status = "finished"
        for snapshot in run.steps():
            run.note(snapshot)
            if stop is not None and stop.is_set():
                status = "cancelled"
                break
        return run.result(status)


def iter_recover(
    image: Any,
    *,
    mask: Any = None,
    pixel_size: float | tuple[float, float] = 1.0,
    unit: str = "px",
    name: str = "image",
    start: Any = None,
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
    start : array-like or Recovery, optional
        Where to begin instead of salient patches: boxes (n, 2, 2), each round a whole defect, as corners
        ((row, col), (row, col)) in pixels; a kernel (k1, k2) or (slices, k1, k2); or an earlier recovery.
    stop : threading.Event, optional
        Once set, the recovery ends within one step and returns the best until then, marked as cancelled.
    **options
        Settings, see `Parameters`.

    Raises
    ------
    ValueError
        If the image, the mask or an option cannot be used, or if the image needs more memory than is free;
        the message names it and the remedy.

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
    seen_as = {"mask": mask, "pixel_size": pixel_size, "unit": unit, "name": name}
    return _drive(_begun(image, start=start, **seen_as, **options), stop)


def _begun(image: Any, *, start: Any = None, **options: Any) -> Run:
    """A run whose input has been checked."""
    seen_as = {key: options.pop(key) for key in SEEN_AS if key in options}
    parameters = Parameters.from_options(options)
    device_of(parameters.device)  # which says what is missing, if anything is
    _check_memory(image, parameters)
    if isinstance(image, Observation):
        seen = image
    else:
        seen = observe(image, **seen_as)
    if parameters.kernel_size is not None:
        check_window(parameters.kernel_size, seen.shape)
    starts = given_starts(start, seen.shape, len(seen.data))
    if starts.window is not None:
        check_window(starts.window, seen.shape)
    with one_thread():
        return Run(seen, parameters, starts)


def _check_memory(image: Any, parameters: Parameters) -> None:
    """Raise TooLarge where an image cannot fit; other input is judged where it is read."""
    shape = tuple(getattr(image.data if isinstance(image, Observation) else image, "shape", ()))
    if len(shape) in (2, 3) and not (len(shape) == 3 and shape[-1] in (3, 4)):
        slices = shape[0] if len(shape) == 3 else 1
        check(slices, (shape[-2], shape[-1]), parameters.types)
        device = device_of(parameters.device, slices)
        if device.apart and not in_one_piece(slices, (shape[-2], shape[-1])):
            check_there(slices, (shape[-2], shape[-1]), device.free())


def _drive(run: Run, stop: Event | None) -> States:
    status: Status = "finished"
    due = time.perf_counter() + SECONDS_BETWEEN_STATES
    for snapshot in _each_in_one_thread(run.steps()):
        run.note(snapshot)
        if stop is not None and stop.is_set():
            status = "cancelled"
            break
        began = time.perf_counter()
        if began >= due:
            state = _state(run, snapshot)
            pause = max(SECONDS_BETWEEN_STATES, PAUSE_AFTER_STATE * (time.perf_counter() - began))
            yield state
            due = time.perf_counter() + pause
    with one_thread():
        recovery = run.result(status)
    yield _last_state(run, recovery)
    return recovery


def _each_in_one_thread(steps: Iterator[Snapshot]) -> Iterator[Snapshot]:
    """What steps yield; between two of them, whoever waits has all threads back."""
    while True:
        with one_thread():
            snapshot = next(steps, None)
        if snapshot is None:
            return
        yield snapshot


def _state(run: Run, snapshot: Snapshot) -> State:
    kernels, activations, lam = run.shown(snapshot)
    return State(
        stage=snapshot.stage,
        start=snapshot.start,
        lam=lam,
        objective=snapshot.iterate.objective,
        fraction=run.progress.fraction,
        elapsed=run.progress.elapsed,
        remaining=run.progress.remaining,
        kernels=kernels,
        activations=activations,
    )


def _last_state(run: Run, recovery: Recovery) -> State:
    last = recovery.history.iloc[-1]
    return State(
        stage="finished",
        start=int(last["start"]),
        lam=float(last["lam"]),
        objective=float(last["objective"]),
        fraction=1.0,
        elapsed=run.progress.elapsed,
        remaining=0.0,
        kernels=recovery.shapes.copy(),
        activations=recovery.activations.copy(),
        recovery=recovery,
    )
