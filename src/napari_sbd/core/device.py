"""Where stacks are worked on: in the computer's memory, or on a graphics card through CuPy.

NumPy's and CuPy's namespaces both follow the Python array API, and `scipy.fft` has its twin in CuPy: what is
written against a device's `xp` and `fft` is written once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from napari_sbd.core.memory import available
from napari_sbd.core.parameters import DeviceName

TOGETHER = 2**22  # numbers of as many slices as a card works on together: 16 MB, and some times that
HELD = 2  # images that stay on a card
REMEDY = "or choose device='cpu', which gives the same result"


class NoCard(ValueError):
    """There is no graphics card that can be used; the message says why, and the remedy."""


@dataclass(frozen=True, eq=False)
class Device:
    """Array namespace and transforms of what holds whole images, and the way there and back.

    Parameters
    ----------
    name : {'cpu', 'gpu'}
    xp : module
        Namespace of its arrays, as the Python array API has it.
    fft : module
        Its `scipy.fft`.
    together : int
        Numbers that it works on together: slices of a stack beyond that one after the other.
    apart : bool
        Whether arrays have to be copied there and back.
    """

    name: DeviceName
    xp: Any
    fft: Any
    together: int = 1
    apart: bool = False
    _held: WeakKeyDictionary[Any, Any] = field(default_factory=WeakKeyDictionary, repr=False)
    _lock: Any = field(default_factory=RLock, repr=False)

    def put(self, array: NDArray[Any]) -> Any:
        """An array there."""
        return self.xp.asarray(array) if self.apart else array

    def fetch(self, array: Any, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """An array that lies there as NumPy's, in `out` where that is given."""
        if self.apart and (out is None or out.flags.c_contiguous):
            return np.asarray(array.get(out=out))
        if out is None:
            return np.asarray(array)
        if out is not array:
            out[...] = array.get() if self.apart else array
        return out

    def held(self, owner: object, array: NDArray[Any]) -> Any:
        """An array that belongs to somebody, there: kept while that lives, of the latest few owners."""
        if not self.apart:
            return array
        with self._lock:
            own = self._held.pop(owner, {})
            self._held[owner] = own
            while len(self._held) > HELD:
                del self._held[next(iter(self._held))]
            if id(array) not in own:
                own[id(array)] = self.put(array)
            return own[id(array)]

    def release(self) -> None:
        """Give memory there back to others."""
        with self._lock:
            self._held.clear()
        if self.apart:
            self.xp.get_default_memory_pool().free_all_blocks()

    def free(self) -> int:
        """Bytes of its memory that are free."""
        return int(self.xp.cuda.runtime.memGetInfo()[0]) if self.apart else available()

    def groups(self, slices: int, size: tuple[int, int]) -> Iterator[slice]:
        """The slices of a stack that are worked on together, where each takes so many numbers.

        Examples
        --------
        >>> list(HOST.groups(2, (512, 512)))
        [slice(0, 1, None), slice(1, 2, None)]
        """
        step = max(1, self.together // (size[0] * size[1]))
        return (slice(start, min(start + step, slices)) for start in range(0, slices, step))

    def __reduce__(self) -> tuple[Callable[[DeviceName], Device], tuple[DeviceName]]:
        """Another process has its own, if it has any."""
        return device_or_host, (self.name,)


HOST = Device("cpu", np, fft)


def device_of(name: DeviceName, slices: int = 2) -> Device:
    """The device of this name, for an image of so many slices.

    A single image stays in the computer's memory: a card would not make it faster.

    Raises
    ------
    NoCard
        If it is the graphics card, and CuPy or the card cannot be used.

    Examples
    --------
    >>> device_of("cpu") is HOST
    True
    """
    return HOST if name == "cpu" or slices == 1 else _card()


def device_or_host(name: DeviceName, slices: int = 2) -> Device:
    """The same, but the computer's memory where there is no card: for what was recovered elsewhere."""
    try:
        return device_of(name, slices)
    except NoCard:
        return HOST


@cache
def _card() -> Device:
    try:
        import cupy
        from cupyx.scipy import fft as transforms
    except ImportError as error:
        raise NoCard(
            "device='gpu' needs CuPy: pip install 'napari-sbd[gpu]' (for CUDA 13; an older driver needs "
            f"pip install 'cupy-cuda12x[ctk]'), {REMEDY} ({error})"
        ) from None
    try:
        transforms.rfft2(cupy.zeros((2, 2), np.float32)).get()
    except Exception as error:  # driver, card, libraries: whatever fails, the remedy is the same
        raise NoCard(
            f"device='gpu' needs an NVIDIA card and its driver, and CuPy cannot use one: {error}. "
            f"Mend that (python -c 'import cupy; cupy.show_config()' tells more), {REMEDY}"
        ) from None
    return Device("gpu", cupy, transforms, TOGETHER, apart=True)
