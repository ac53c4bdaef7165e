"""Plots of what `benchmarks scale` measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

OURS, PAIR, BOUND, PEER = "#1f6fb4", "#999999", "#555555", "#c8552b"


def draw(measured: dict[str, Any], folder: Path) -> dict[str, str]:
    """Draw into a folder; returns the files' names and what they show."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.4), layout="constrained")
    _against_pixels(axes[0], measured)
    _against_defects(axes[1], measured)
    _memory(axes[2], measured)
    figure.savefig(folder / "performance.svg")
    plt.close(figure)
    return {"performance.svg": "CPU time against pixels and defects, peak memory against pixels"}


def _against_pixels(axis: Any, measured: dict[str, Any]) -> None:
    rows = measured.get("size", [])
    sizes = np.array([r["case"]["size"] for r in rows])
    axis.loglog(sizes**2, [r["outcome"]["seconds"] for r in rows], "o-", color=OURS, label="default recovery")
    axis.loglog(sizes**2, [r["outcome"]["pair"] for r in rows], ".--", color=PAIR, label="one FFT pair")
    axis.loglog(sizes**2, [r["outcome"]["bound"] for r in rows], ".:", color=BOUND, label="two correlations")
    peers = measured.get("peers", [])
    if peers:
        axis.loglog(
            [p["size"] ** 2 for p in peers], [p["seconds"] for p in peers], "s", color=PEER, label="SPORCO"
        )
    axis.set_xticks(sizes**2, [f"{n}²" for n in sizes])
    axis.minorticks_off()
    axis.set(xlabel="pixels", ylabel="CPU s", title="Cost against pixels, θ 10⁻³")
    axis.legend(frameon=False, fontsize=8)


def _against_defects(axis: Any, measured: dict[str, Any]) -> None:
    rows = measured.get("density", [])
    axis.loglog(
        [r["outcome"]["defects"] for r in rows], [r["outcome"]["seconds"] for r in rows], "o-", color=OURS
    )
    for row in rows:
        place = row["outcome"]["defects"], row["outcome"]["seconds"]
        axis.annotate(
            f"θ {row['case']['density']:g}",
            place,
            xytext=(0, 7),
            ha="center",
            textcoords="offset points",
            fontsize=7,
        )
    axis.margins(0.12)
    axis.set(xlabel="defects", ylabel="CPU s", title="Cost against defects, 256²")


def _memory(axis: Any, measured: dict[str, Any]) -> None:
    rows = measured.get("size", [])
    sizes = np.array([r["case"]["size"] for r in rows])
    axis.loglog(sizes**2, [r["outcome"]["peak"] for r in rows], "o-", color=OURS, label="peak above the data")
    axis.loglog(sizes**2, [r["outcome"]["data"] for r in rows], ".--", color=PAIR, label="the data, float32")
    axis.set_xticks(sizes**2, [f"{n}²" for n in sizes])
    axis.minorticks_off()
    axis.set(xlabel="pixels", ylabel="MB", title="Memory, θ 10⁻³")
    axis.legend(frameon=False, fontsize=8)
