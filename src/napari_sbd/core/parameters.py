"""The one home of every setting: default, limits, unit, label and help."""

from __future__ import annotations

import difflib
import operator
from dataclasses import dataclass, field, fields
from typing import Any, Literal

Activations = Literal["automatic", "positive", "signed"]
DeviceName = Literal["cpu", "gpu"]
Symmetry = Literal["none", "c2", "c3", "c4", "c6", "m", "c2v", "c3v", "c4v", "c6v"]
KernelSize = tuple[int, int]

SMALLEST_WINDOW = 3
# Settings that may be None: the data tell.
CHOSEN_FROM_DATA = ("kernel_size", "types", "lam_last")


@dataclass(frozen=True)
class Setting:
    """How one parameter is called, explained and limited, wherever it is shown.

    Parameters
    ----------
    name : str
        Name in code, of the keyword argument.
    label : str
        Name on screen.
    help : str
        One or two sentences for tooltip and documentation.
    default : object
        Value when nothing is given; None means that it is chosen from the data.
    unit : str
        Unit of the value, empty for none.
    low, high, step : float, optional
        Limits (both allowed) and step of a number.
    choices, choice_labels : tuple of str
        The values of a choice, and their names on screen.
    advanced : bool
        Whether it stands in the part that is closed at first.
    """

    name: str
    label: str
    help: str
    default: Any
    unit: str = ""
    low: float | None = None
    high: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    choice_labels: tuple[str, ...] = ()
    advanced: bool = False


def _setting(default: Any, **info: Any) -> Any:
    return field(default=default, metadata=info)


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Settings of a recovery; checked when made, never changed afterwards.

    Every default suits an image that nobody has looked at yet; what is None, or "auto", is chosen from the
    data.

    Parameters
    ----------
    kernel_size : tuple of int, int or None
        Window of the kernel in pixels (rows, cols); None estimates it from the autocorrelation.
    types : int or None
        Number of defect types; None takes it from the data.
    activations : {'automatic', 'positive', 'signed'}
        Whether all defects of a type have one sign, or both occur; automatic takes it from the data.
    symmetry : {'none', 'c2', 'c3', 'c4', 'c6', 'm', 'c2v', 'c3v', 'c4v', 'c6v'}
        Point group of the lattice: signatures that it turns or mirrors into each other are one type, and each
        defect has an orientation.
    lam_first : float
        Sparsity penalty of stage I, as a fraction of λ_max.
    lam_last : float or None
        Sparsity penalty at the end, as a fraction of λ_max; None takes it from the noise.
    starts : int
        Number of starts, salient patches of the image.
    kept : int
        Number of starts that go on to stage II.
    refinements : int
        Rounds of reweighting at the end.
    seed : int
        Seed of the draw of starts.
    device : {'cpu', 'gpu'}
        Where stacks are worked on; a graphics card needs the extra `gpu`. Single images stay on the
        processor.

    Raises
    ------
    ValueError
        If a value is out of its limits, of the wrong kind, or an option does not exist.

    Examples
    --------
    >>> Parameters(kernel_size=25).kernel_size
    (25, 25)
    >>> Parameters(starts=0)
    Traceback (most recent call last):
    ValueError: starts must be a whole number from 1 to 64, not 0
    """

    kernel_size: KernelSize | None = _setting(
        None,
        label="Window",
        help="Size of the kernel's window in pixels: a little larger than one defect's signature. "
        "Automatic estimates it from the image's autocorrelation.",
        unit="px",
        low=SMALLEST_WINDOW,
        high=1025,
        step=1,
    )
    types: int | None = _setting(
        None,
        label="Defect types",
        help="Number of different signatures. Automatic adds types as long as they explain more than noise.",
        low=1,
        high=12,
        step=1,
    )
    activations: Activations = _setting(
        "automatic",
        label="Activations",
        help="Positive: every defect shows the same contrast, the kernel carries its sign. "
        "Both signs: the same signature occurs bright and dark. Automatic takes it from the image.",
        choices=("automatic", "positive", "signed"),
        choice_labels=("Automatic", "Positive", "Both signs"),
    )
    symmetry: Symmetry = _setting(
        "none",
        label="Symmetry",
        help="Point group of the lattice. Signatures that are one shape turned or mirrored by it are one "
        "defect type, and each defect gets its orientation. None: every signature is a type of its own.",
        choices=("none", "c2", "c3", "c4", "c6", "m", "c2v", "c3v", "c4v", "c6v"),
        choice_labels=(
            "None",
            "C2 · half turns",
            "C3 · turns by 120°",
            "C4 · turns by 90°",
            "C6 · turns by 60°",
            "m · mirror",
            "C2v (2mm) · and mirror",
            "C3v (3m) · and mirror",
            "C4v (4mm) · and mirror",
            "C6v (6mm) · and mirror",
        ),
    )
    lam_first: float = _setting(
        0.3,
        label="λ of stage I",
        help="Sparsity penalty of stage I as a fraction of λ_max, the penalty that leaves the activation map "
        "empty. Larger values give a smoother problem with fewer defects to begin with.",
        unit="λ_max",
        low=0.01,
        high=0.95,
        step=0.01,
        advanced=True,
    )
    lam_last: float | None = _setting(
        None,
        label="Final λ",
        help="Sparsity penalty at the end as a fraction of λ_max; never above that of stage I. "
        "Automatic takes it from the noise: smaller values find weaker defects, and more noise.",
        unit="λ_max",
        low=0.001,
        high=0.95,
        step=0.001,
        advanced=True,
    )
    starts: int = _setting(
        8,
        label="Starts",
        help="Number of patches of the image from which stage I sets out.",
        low=1,
        high=64,
        step=1,
        advanced=True,
    )
    kept: int = _setting(
        2,
        label="Starts kept",
        help="Number of starts, best first, that go on to stage II.",
        low=1,
        high=64,
        step=1,
        advanced=True,
    )
    refinements: int = _setting(
        3,
        label="Refinements",
        help="Rounds of reweighting at the end: each sharpens the activation map and corrects the kernel.",
        low=0,
        high=20,
        step=1,
        advanced=True,
    )
    seed: int = _setting(
        0,
        label="Seed",
        help="Seed of the draw of starts: the same seed gives the same result.",
        low=0,
        high=2**31 - 1,
        step=1,
        advanced=True,
    )
    device: DeviceName = _setting(
        "cpu",
        label="Device",
        help="Where stacks are worked on. A graphics card (NVIDIA, with the extra gpu) takes about half the "
        "time for many slices and gives the same result; single images stay on the processor.",
        choices=("cpu", "gpu"),
        choice_labels=("Processor", "Graphics card"),
        advanced=True,
    )

    def __post_init__(self) -> None:
        for name in CHOSEN_FROM_DATA:
            if isinstance(getattr(self, name), str) and getattr(self, name) == "auto":
                object.__setattr__(self, name, None)
        if self.kernel_size is not None:
            object.__setattr__(self, "kernel_size", _window(self.kernel_size))
        for setting in settings():
            value = getattr(self, setting.name)
            if setting.name == "kernel_size" or (value is None and setting.name in CHOSEN_FROM_DATA):
                continue
            object.__setattr__(self, setting.name, _checked(setting, value))

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> Parameters:
        """Parameters from keyword options; one that does not exist is named, with its nearest neighbour.

        Examples
        --------
        >>> Parameters.from_options({"sed": 1})
        Traceback (most recent call last):
        ValueError: unknown option 'sed': did you mean 'seed'?
        """
        known = [setting.name for setting in settings()]
        for name in options:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                remedy = f"did you mean {near[0]!r}?" if near else "the options are " + ", ".join(known)
                raise ValueError(f"unknown option {name!r}: {remedy}")
        return cls(**options)

    def changed(self) -> dict[str, Any]:
        """The settings that differ from their defaults, by name."""
        return {s.name: getattr(self, s.name) for s in settings() if getattr(self, s.name) != s.default}


def settings() -> tuple[Setting, ...]:
    """All settings in the order in which they are shown.

    Examples
    --------
    >>> [s.label for s in settings() if not s.advanced]
    ['Window', 'Defect types', 'Activations', 'Symmetry']
    """
    return tuple(Setting(name=f.name, default=f.default, **f.metadata) for f in fields(Parameters))


def setting(name: str) -> Setting:
    """The setting of this name.

    Examples
    --------
    >>> setting("starts").default
    8
    """
    return next(s for s in settings() if s.name == name)


def _window(size: Any) -> KernelSize:
    low, high = (int(limit or 0) for limit in (setting("kernel_size").low, setting("kernel_size").high))
    try:
        pair = (size, size) if not isinstance(size, (tuple, list)) and not hasattr(size, "__len__") else size
        rows, cols = (operator.index(n) for n in pair)
    except (TypeError, ValueError):
        raise ValueError(
            f"kernel_size must be a whole number of pixels or a pair of them (rows, cols), not {size!r}"
        ) from None
    if not (low <= rows <= high and low <= cols <= high):
        raise ValueError(f"kernel_size must be from {low} to {high} px, not {rows}×{cols}")
    return rows, cols


def _checked(setting: Setting, value: Any) -> Any:
    if setting.choices:
        if value not in setting.choices:
            raise ValueError(
                f"{setting.name} must be {' or '.join(map(repr, setting.choices))}, not {value!r}"
            )
        return value
    whole = isinstance(setting.step, int)
    try:
        number = operator.index(value) if whole else float(value)
    except (TypeError, ValueError):
        number = None
    low, high = setting.low or 0, setting.high or 0
    if number is None or isinstance(value, bool) or not low <= number <= high:
        kind = "a whole number" if whole else "a number"
        raise ValueError(f"{setting.name} must be {kind} from {low:g} to {high:g}, not {value!r}")
    return number
