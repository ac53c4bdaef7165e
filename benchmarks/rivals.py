"""What other programs reach on the images of `table`, with the λ and the threshold that the truth says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks import peers, table, yardsticks
from benchmarks.judge import WITHIN, judged
from benchmarks.peers import Learned
from benchmarks.tables import Table, note
from napari_sbd.core.recover import recover

Real = NDArray[np.floating]

ROW = 3  # of `table`: the one of most noise
LAMS = (2.0, 3.0, 4.0, 6.0)  # of SPORCO, for an image of unit deviation; below, noise fills the maps
SHARES = (0.1, 0.15, 0.25)  # λ of the inertial descent over the largest correlation
SMOOTHED = 0.7  # px, of the maps in which peaks are looked for


def run(seeds: Iterable[int], only: Iterable[str] = ()) -> None:
    """Similarity and F1 of ours by default, and the best of each rival; `only` holds a row's number."""
    number = next((int(text) for text in only), ROW)
    row = table.ROWS[number]
    columns = ["seed", "ours", "F1", "SPORCO", "its F1", "iPALM", "with F1"]
    shown = Table(f"{row.name}: rivals with the best λ and threshold for each figure, by the truth", columns)
    missing = peers.sporco_missing()
    if missing:
        note(missing)
    for seed in seeds:
        truth = row.make(seed)
        image, window, scale = truth.image[0], truth.kernels.shape[2], float(truth.image.std())
        recovery = recover(image, kernel_size=window, seed=seed)
        ours = judged(recovery, truth.kernels, truth.positions, truth.types)
        cells = [f"{ours.similarity[0]:.4f}", f"{ours.f1[0]:.3f}"]
        rivals: list[list[Callable[[], Learned]]] = [
            [partial(peers.sporco, image, window, scale, lam) for lam in LAMS if not missing],
            [partial(peers.inertial, recovery, share) for share in SHARES],
        ]
        for rival in rivals:
            cells += _best([learn() for learn in rival], truth)
        shown.row(seed, *cells)
    note("iPALM here: the plain descent with inertia, reweighted, from our kernel.")


def _best(learned: list[Learned], truth: table.Truth) -> list[str]:
    """The largest similarity and the largest F1 of what was learned."""
    if not learned:
        return ["-", "-"]
    kernel = truth.kernels[0, 0]
    similar = max(yardsticks.kernel_similarity(one.kernel, kernel) for one in learned)
    return [f"{similar:.4f}", f"{max(_best_f1(one, truth) for one in learned):.3f}"]


def _best_f1(one: Learned, truth: table.Truth) -> float:
    """F1 of the strongest peaks of a map, as many as make it largest."""
    smooth = ndimage.gaussian_filter(np.abs(one.map_), SMOOTHED)
    places = np.argwhere((smooth == ndimage.maximum_filter(smooth, 3)) & (smooth > 0)).astype(float)
    places = places[np.argsort(-smooth[tuple(places.astype(int).T)])]
    shift = yardsticks.kernel_shift(one.kernel, truth.kernels[0, 0])
    most = min(len(places), 2 * len(truth.positions))
    return max(
        yardsticks.match_points(places[:n] + by, truth.positions, WITHIN)["f1"]
        for n in range(1, most + 1)
        for by in (shift, np.rint(shift))
    )
