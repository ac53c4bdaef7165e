"""Types that are one shape turned or mirrored: tied into one, beside separate types, with known truth."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks import yardsticks
from benchmarks.judge import excess
from benchmarks.measure import cpu_seconds
from benchmarks.tables import Table, note
from napari_sbd.core.objective import Objective
from napari_sbd.core.recover import recover
from napari_sbd.core.recovery import Recovery
from napari_sbd.core.symmetry import Orientation, Ties, elements
from napari_sbd.core.tied import fit_tied
from napari_sbd.simulate import Sample, random_field

Real = NDArray[np.floating]

SIZE, WINDOW, SPOTS = 160, 21, 6
WITHIN, UPSAMPLE = 1.0, 8
UNLIKE = 0.7  # similarity of two shapes, at most


@dataclass(frozen=True)
class Row:
    """A field: the group that its shapes are turned by, defects per pixel, SNR, and what shapes there are."""

    symmetry: str
    density: float
    snr: float
    shapes: int = 1
    positive: bool = False
    invariant: bool = False  # the shape looks the same in all orientations
    mirror: float = 0.0  # angle of the first mirrored shape: lines off rows and columns

    @property
    def name(self) -> str:
        """What the table calls it."""
        what = "invariant" if self.invariant else "bright" if self.positive else "lopsided"
        many = f"{self.shapes} shapes, " if self.shapes > 1 else ""
        off = f", mirror {self.mirror:g}°" if self.mirror else ""
        return f"{self.symmetry}{off}, {many}{what}, {self.density:g}, {self.snr:g} dB"


ROWS = (
    Row("c2", 2e-3, 10),
    Row("m", 2e-3, 10),
    Row("c3", 2e-3, 10),
    Row("c3", 2e-3, 10, positive=True),
    Row("c4", 2e-3, 10),
    Row("c4", 2e-3, 0),
    Row("c4", 1e-2, 10),
    Row("c6", 2e-3, 10),
    Row("c4v", 2e-3, 10),
    Row("c6v", 3e-3, 10),
    Row("c4v", 2e-3, 10, mirror=34),
    Row("c3", 1e-3, 10, invariant=True),
    Row("c4", 2e-3, 10, shapes=2),
)
COLUMNS = ["group, shapes, θ, SNR", "similarity", "bound", "excess", "as separate types", "types", "F1"]
COLUMNS += ["orientations right", "CPU s"]
WIDTHS = {COLUMNS[0]: 32, "bound": 7, "F1": 5, "CPU s": 5, "as separate types": 12}


class Shape:
    """A smooth random shape of bright and dark spots, that can be drawn at any angle."""

    def __init__(self, seed: int, positive: bool = False) -> None:
        rng = np.random.default_rng(seed)
        radius, angle = 0.3 * WINDOW * np.sqrt(rng.random(SPOTS)), rng.uniform(0, 2 * np.pi, SPOTS)
        self.centres = np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)
        self.widths = rng.uniform(1.2, 2.2, SPOTS)
        self.heights = rng.uniform(0.5, 1.5, SPOTS) if positive else rng.choice([-1.0, 1.0, 1.3], SPOTS)

    def drawn(self, angle: float = 0.0, mirrored: bool = False) -> Real:
        """The shape on the pixels, mirrored left to right and then turned counter-clockwise."""
        cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
        centres = self.centres * ([1, -1] if mirrored else [1, 1])
        centres = centres @ np.array([[cosine, -sine], [sine, cosine]]).T
        place = np.arange(WINDOW) - (WINDOW - 1) / 2
        apart = (place[:, None, None] - centres[:, 0]) ** 2 + (place[:, None] - centres[:, 1]) ** 2
        return np.asarray(np.exp(-apart / (2 * self.widths**2)) @ self.heights)


@dataclass(frozen=True)
class Truth:
    """A field, and type and orientation of each of its kernels."""

    sample: Sample
    ties: Ties

    @property
    def bound(self) -> float:
        """What least squares for tied shapes reach where all is known but the shapes: the worst shape's."""
        sample, first = self.sample, self.ties.first
        image = sample.image[None] - sample.image.mean()
        objective = Objective(image, np.ones(image.shape, bool), (WINDOW, WINDOW))
        kernels = sample.kernels[:, None]
        found = fit_tied(objective, sample.extended_activations, self.ties, kernels).kernels
        return min(yardsticks.kernel_similarity(found[n], kernels[n]) for n in first)


def made(row: Row, seed: int) -> Truth:
    """The field of a row."""
    ways: list[Orientation] = []
    kernels: list[Real] = []
    for kind in range(row.shapes):
        images = _images(row, seed, kernels)
        images = [np.sum(images, axis=0)] if row.invariant else images
        kernels += images
        ways += [Orientation(kind, *how) for how in elements(row.symmetry, row.mirror)[: len(images)]]
    density = row.density / len(kernels)
    sample = random_field(np.stack(kernels), (SIZE, SIZE), density, snr_db=row.snr, seed=seed)
    return Truth(sample, Ties(tuple(ways)))


def _images(row: Row, seed: int, others: list[Real]) -> list[Real]:
    """A shape in all orientations, unlike those that are there already."""
    number = seed
    while True:
        shape = Shape(number, row.positive)
        images = [shape.drawn(*element) for element in elements(row.symmetry, row.mirror)]
        if all(yardsticks.kernel_similarity(images[0], other) <= UNLIKE for other in others):
            return images
        number += 1000


@dataclass(frozen=True)
class Figures:
    """How right a recovery is: similarity of the worst shape, F1, share of orientations that are right."""

    similarity: float
    f1: float
    right: float


def judged(recovery: Recovery, truth: Truth) -> Figures:
    """A found kernel stands for the true one that it resembles most, and so do its defects."""
    sample = truth.sample
    alike = np.array(
        [
            [yardsticks.kernel_similarity(found[0], true) for true in sample.kernels]
            for found in recovery.kernels
        ]
    )
    meant = alike.argmax(1)
    shapes = alike if recovery.ties is None else alike[recovery.ties.first]
    best = [shapes[:, truth.ties.members(kind)].max() for kind in range(len(truth.ties.first))]
    table, numbers = recovery.defects, _numbers(recovery)
    shifts = [
        yardsticks.kernel_shift(found[0], sample.kernels[n], UPSAMPLE)
        for found, n in zip(recovery.kernels, meant, strict=True)
    ]
    places = table[["row", "col"]].to_numpy(float) + np.reshape([shifts[n] for n in numbers], (-1, 2))
    f1 = yardsticks.match_points(places, sample.positions, WITHIN)["f1"]
    if not len(places):
        return Figures(min(best), f1, 0.0)
    apart = np.linalg.norm(sample.positions[:, None] - places, axis=-1)
    hit = apart.min(1) <= WITHIN
    own = meant[numbers][apart.argmin(1)]
    right = float((own == sample.types)[hit].mean()) if hit.any() else 0.0
    return Figures(float(min(best)), f1, right)


def _numbers(recovery: Recovery) -> NDArray[np.intp]:
    """Which kernel each row of the table is an image of."""
    table = recovery.defects
    if not recovery.orientations:
        return table["type"].to_numpy(int)
    ways = {(how.type, how.angle, how.mirrored): n for n, how in enumerate(recovery.orientations)}
    mirrored = table["mirrored"] if "mirrored" in table else np.zeros(len(table), bool)
    rows = zip(table["type"], table["orientation"], mirrored, strict=True)
    return np.array([ways[int(kind), float(angle), bool(also)] for kind, angle, also in rows], int)


def run(seeds: Iterable[int], only: Iterable[str] = ()) -> None:
    """Print a row of medians (and worst) over the seeds; `only` holds numbers of rows from 0."""
    seeds = list(seeds)
    numbers = {int(number) for text in only for number in text.split(",")} or set(range(len(ROWS)))
    title = f"One shape in several orientations, {SIZE}², window {WINDOW} given"
    table = Table(title, COLUMNS, WIDTHS)
    for row in (row for number, row in enumerate(ROWS) if number in numbers):
        cells = [_measured(row, seed) for seed in seeds]
        tied, bounds, apart, types, seconds = (list(column) for column in zip(*cells, strict=True))
        similarities = [f.similarity for f in tied]
        ratios = [excess(s, b) for s, b in zip(similarities, bounds, strict=True)]
        table.row(
            row.name,
            f"{np.median(similarities):.4f}",
            f"{np.median(bounds):.4f}",
            f"{np.median(ratios):.2f}",
            f"{np.median(apart):.4f}",
            f"{sum(n == row.shapes for n in types)}/{len(types)}",
            f"{np.median([f.f1 for f in tied]):.3f}",
            f"{np.median([f.right for f in tied]):.3f} ({min(f.right for f in tied):.2f})",
            f"{np.median(seconds):.1f}",
        )
    note("Medians; of orientations the worst seed, too. Similarity of the worst shape, as it is in `shapes`.")
    note("Bound: least squares for tied shapes where all is known but the shapes.")
    note("As separate types: similarity with symmetry none, of the worst kernel that is there.")


def _measured(row: Row, seed: int) -> tuple[Figures, float, float, int, float]:
    truth = made(row, seed)
    image = truth.sample.image
    seconds, recovery = cpu_seconds(recover, image, kernel_size=WINDOW, symmetry=row.symmetry)
    apart = recover(image, kernel_size=WINDOW)
    worst = min(
        max(yardsticks.kernel_similarity(found[0], true) for found in apart.kernels)
        for true in truth.sample.kernels
    )
    return judged(recovery, truth), truth.bound, worst, recovery.types, seconds
