"""What an operation is: a function of an image and a mask, and what a form or a recipe has to know of it."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sbd.core.noise import robust_std
from napari_sbd.core.parameters import Setting

Real = NDArray[np.floating]
Bool = NDArray[np.bool_]

SAMPLE = 20_000  # pixels are enough for a deviation
SMALLEST = 8  # px a side: less holds neither a background nor a lattice
ALONG = Setting(
    "along",
    "Lines along",
    "Which way the scan lines run.",
    "rows",
    choices=("rows", "columns"),
    choice_labels=("Rows", "Columns"),
)


def unmoved() -> Real:
    """Matrix of an operation that leaves every pixel where it is."""
    return np.eye(3)


@dataclass(frozen=True)
class Outcome:
    """What an operation makes of an image.

    Parameters
    ----------
    data : array
        The image, of as many dimensions as the one given; masked pixels hold a guess that suits the others.
    mask : array of bool
        True where a pixel counts.
    found : dict
        What the operation found, for display: ``"peaks"`` (n, 2) in cycles per pixel along rows and columns,
        ``"mask"`` of the pixels it left out, ``"removed"`` what it subtracted, and numbers by name.
    matrix : array (3, 3)
        Takes (row, col, 1) of the outcome's pixels to those of the image given.
    scale : tuple of float
        How many times as long as before a pixel is, along rows and columns.
    """

    data: Real
    mask: Bool
    found: Mapping[str, Any] = field(default_factory=dict)
    matrix: Real = field(default_factory=unmoved)
    scale: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class Operation:
    """A way of preparing an image, with all that a form needs to offer it.

    Parameters
    ----------
    name : str
        Name in recipes.
    label, help : str
        Name on screen, and what it does in one or two sentences.
    settings : tuple of Setting
        In the order in which they are shown.
    function : callable
        ``function(image, mask, **settings) -> Outcome``.
    physical : bool
        Whether the function takes the ``pixel_size``, too.
    """

    name: str
    label: str
    help: str
    settings: tuple[Setting, ...]
    function: Callable[..., Outcome]
    physical: bool = False

    def checked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All settings by name: those given, checked, and the defaults of the others.

        Raises
        ------
        ValueError
            If a setting does not exist or its value is not allowed.
        """
        known = {setting.name: setting for setting in self.settings}
        for name in given:
            if name not in known:
                near = difflib.get_close_matches(str(name), known, 1)
                remedy = f"did you mean {near[0]!r}?" if near else f"its settings are {', '.join(known)}"
                raise ValueError(f"{self.name} has no setting {name!r}: {remedy}")
        return {
            name: check_value(self.name, setting, given[name]) if name in given else setting.default
            for name, setting in known.items()
        }

    def __call__(
        self, image: Any, mask: Any = None, *, pixel_size: tuple[float, float] = (1.0, 1.0), **settings: Any
    ) -> Outcome:
        """Prepare an image; settings are checked first."""
        values = self.checked(settings)
        return self.function(image, mask, **values, **({"pixel_size": pixel_size} if self.physical else {}))


def check_value(owner: str, setting: Setting, value: Any) -> Any:
    """The value of a setting, as its own kind; a ValueError names owner, setting and what is allowed.

    Examples
    --------
    >>> degree = Setting("degree", "Degree", "", 1, low=0, high=8, step=1)
    >>> check_value("background", degree, 9)
    Traceback (most recent call last):
    ValueError: background: degree must be a whole number from 0 to 8, not 9
    """
    if setting.choices:
        if not isinstance(value, str) or value not in setting.choices:
            allowed = " or ".join(map(repr, setting.choices))
            raise ValueError(f"{owner}: {setting.name} must be {allowed}, not {value!r}")
        return value
    whole = isinstance(setting.step, int)
    low, high = setting.low, setting.high
    assert low is not None
    assert high is not None
    try:
        number = operator.index(value) if whole else float(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None or isinstance(value, (bool, str)) or not low <= number <= high:
        kind = "a whole number" if whole else "a number"
        raise ValueError(f"{owner}: {setting.name} must be {kind} from {low:g} to {high:g}, not {value!r}")
    return number


def stacked(image: Any, mask: Any, what: str, smallest: int = SMALLEST) -> tuple[Real, Bool]:
    """Copies of an image and its mask as stacks (slices, rows, cols), masked pixels filled by a neighbour.

    Raises
    ------
    ValueError
        If the image is not one, is too small for the operation called `what`, or the mask does not fit it.

    Examples
    --------
    >>> data, mask = stacked(np.ones((9, 8)), None, "crop")
    >>> data.shape, mask.all()
    ((1, 9, 8), np.True_)
    """
    data = np.asarray(image)
    if data.dtype.kind not in "fiub":
        raise ValueError(f"{what} needs an image of real numbers, not {data.dtype}")
    if data.ndim not in (2, 3):
        raise ValueError(
            f"{what} needs an image (rows, cols) or a stack (slices, rows, cols), not {data.ndim} dimensions"
        )
    if min(data.shape[-2:]) < smallest or not len(data):
        size = "×".join(map(str, data.shape))
        raise ValueError(f"{what} needs at least {smallest}×{smallest} px, and the image has {size}")
    seen = np.isfinite(data)
    if mask is not None:
        given = np.asarray(mask, bool)
        if given.shape not in (data.shape, data.shape[-2:]):
            raise ValueError(f"{what}: the mask has shape {given.shape}, the image {data.shape}")
        seen = seen & given
    full = np.array(data, float).reshape(-1, *data.shape[-2:])
    inside = seen.reshape(full.shape)
    return np.stack([filled(values, used) for values, used in zip(full, inside, strict=True)]), inside.copy()


def filled(image: Real, mask: Bool) -> Real:
    """Image whose masked pixels take the value of the nearest one that counts; 0 where none does."""
    from scipy import ndimage

    if mask.all():
        return image
    if not mask.any():
        return np.zeros_like(image)
    nearest = ndimage.distance_transform_edt(~mask, return_distances=False, return_indices=True)
    return np.asarray(image[tuple(nearest)])


def outcome(given: Any, data: Real, mask: Bool, matrix: Real | None = None, /, **found: Any) -> Outcome:
    """Outcome of as many dimensions as the image given; what was found along the slices, too."""
    if np.ndim(given) == 2:
        data, mask = data[0], mask[0]
        found = {name: value[0] if np.ndim(value) == 3 else value for name, value in found.items()}
    return Outcome(data, mask, found, unmoved() if matrix is None else matrix)


def biweight(rest: Real, mask: Bool, reject: float) -> Real:
    """Tukey's weights of residuals: 1 near 0, 0 beyond `reject` deviations and where masked.

    Examples
    --------
    >>> biweight(np.array([-1.0, 0.0, 1.0, 50.0]), np.ones(4, bool), 4.0).round(2).tolist()
    [0.94, 1.0, 0.94, 0.0]
    """
    step = max(1, mask.size // SAMPLE) | 1  # odd, so that it meets every column
    seen = rest.ravel()[::step][mask.ravel()[::step]]
    if 10 * seen.size < SAMPLE:
        seen = rest[mask]
    scale = reject * robust_std(seen)
    # More than half of a noise-free image may be explained exactly.
    scale = max(scale, 1e-9 * float(np.abs(seen).max(initial=0.0)), float(np.finfo(rest.dtype).tiny))
    near = 1 - np.square(rest / scale)
    return np.asarray(np.square(near) * (mask & (near > 0)))


def row_medians(image: Real, mask: Bool) -> Real:
    """Median of each row's pixels that count; NaN where none does.

    Examples
    --------
    >>> used = np.array([[True, True, True], [True, True, False]])
    >>> row_medians(np.array([[1.0, 2.0, 9.0], [3.0, 5.0, 0.0]]), used).tolist()
    [2.0, 4.0]
    """
    counts = mask.sum(axis=1)
    ordered = np.sort(np.where(mask, image, np.inf), axis=1)
    rows = np.arange(len(image))
    both = ordered[rows, np.maximum(counts - 1, 0) // 2] + ordered[rows, counts // 2]
    return np.where(counts > 0, both / 2, np.nan)
