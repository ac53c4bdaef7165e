"""What became of each image of a batch, and the table that sums it up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, overload

import pandas as pd

from napari_sbd.core.recovery import Recovery as CoreRecovery
from napari_sbd.results import Recovery, load

Status = Literal["finished", "skipped", "failed", "cancelled"]
COLUMNS = (
    "name",
    "status",
    "defects",
    "types",
    "density (1/nm²)",
    "window (px)",
    "residual/noise",
    "starts agreeing",
    "seconds",
    "message",
)


@dataclass(frozen=True, eq=False)
class ImageOutcome:
    """What became of one image: its recovery, or why there is none.

    Parameters
    ----------
    name : str
        Of the image, without folder and ending; no two of a batch have the same.
    number : int
        Place of the image among those given, from 0.
    frame : int, optional
        Of a stack whose frames have a result each.
    status : {'finished', 'skipped', 'failed', 'cancelled'}
        Skipped is what was done before, with the same file and settings.
    message : str
        What went wrong, or what was found.
    details : str
        Where in the program an unexpected error came from.
    seconds, cpu_seconds : float
        Time that it took, and of that the processor's: less where the machine is busy otherwise.
    worker : str
        Machine and process that did it.
    saved : Path, optional
        The file with the result.
    figures : dict
        Its row of the summary table.
    kept : Recovery, optional
        The result itself, where it was not saved.
    """

    name: str
    number: int
    frame: int | None = None
    status: Status = "finished"
    message: str = ""
    details: str = field(default="", repr=False)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    worker: str = ""
    saved: Path | None = None
    figures: dict[str, Any] = field(default_factory=dict, repr=False)
    kept: Recovery | None = field(default=None, repr=False)

    @property
    def ok(self) -> bool:
        """Whether there is a finished result."""
        return self.status in ("finished", "skipped")

    @cached_property
    def recovery(self) -> Recovery | None:
        """The result; one that was saved is opened when it is first asked for."""
        return load(self.saved) if self.kept is None and self.saved is not None else self.kept

    @property
    def row(self) -> dict[str, Any]:
        """Its row of the summary table."""
        known: dict[str, Any] = {"name": self.name, "status": self.status, **self.figures}
        known |= {"seconds": round(self.seconds, 2), "message": self.message}
        return {column: known.get(column) for column in COLUMNS}


class Outcomes(Sequence[ImageOutcome]):
    """What became of all images, in the order in which they were given.

    Examples
    --------
    >>> from napari_sbd import recover_many
    >>> import numpy as np
    >>> outcomes = recover_many([np.zeros((32, 32))])
    >>> len(outcomes), [outcome.message for outcome in outcomes.failed]
    (1, ['image 0 is constant: choose an image with contrast'])
    """

    def __init__(self, outcomes: Iterable[ImageOutcome]) -> None:
        self._all = sorted(outcomes, key=lambda one: (one.number, -1 if one.frame is None else one.frame))

    @overload
    def __getitem__(self, which: int) -> ImageOutcome: ...

    @overload
    def __getitem__(self, which: slice) -> list[ImageOutcome]: ...

    def __getitem__(self, which: int | slice) -> ImageOutcome | list[ImageOutcome]:
        return self._all[which]

    def __len__(self) -> int:
        return len(self._all)

    def __repr__(self) -> str:
        return f"<{self.summary}>"

    @property
    def recoveries(self) -> list[Recovery | None]:
        """The results in order; None where there is none."""
        return [one.recovery for one in self._all]

    @property
    def failed(self) -> list[ImageOutcome]:
        """Those without a result because something went wrong."""
        return [one for one in self._all if one.status == "failed"]

    @property
    def table(self) -> pd.DataFrame:
        """One row for each result: name, status, figures, message."""
        table = pd.DataFrame([one.row for one in self._all], columns=list(COLUMNS))
        return table.astype({"defects": "Int64", "types": "Int64"})

    @property
    def summary(self) -> str:
        """One plain sentence on how it went."""
        parts = []
        for status in ("finished", "skipped", "failed", "cancelled"):
            count = sum(one.status == status for one in self._all)
            if count or status == "finished":
                parts.append(f"{count} {'done before' if status == 'skipped' else status}")
        return f"{len(self)} image{'' if len(self) == 1 else 's'}: {', '.join(parts)}"


def figures_of(recovery: CoreRecovery) -> dict[str, Any]:
    """What the summary table says of a result.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_sbd import recover
    >>> image = np.zeros((32, 32))
    >>> image[8, 8] = image[20, 24] = 1
    >>> figures_of(recover(image, kernel_size=5, starts=1, types=1))["window (px)"]
    '5×5'
    """
    seen, quality = recovery.observation, recovery.quality
    defects = len(recovery.defects)
    figures: dict[str, Any] = {
        "defects": defects,
        "types": 0 if recovery.nothing else recovery.types,
        "window (px)": "{}×{}".format(*recovery.window),
    }
    if seen.unit == "nm":
        area = seen.mask.any(0).sum() * seen.pixel_size[0] * seen.pixel_size[1]
        figures["density (1/nm²)"] = float(f"{defects / area:.5g}")
    if "residual_to_noise" in quality:
        figures["residual/noise"] = round(quality["residual_to_noise"], 3)
    if "starts_agreeing" in quality:
        figures["starts agreeing"] = f"{quality['starts_agreeing']:g}/{quality['starts']:g}"
    return figures
