"""The sample *haadf*: atomic columns of a transition-metal dichalcogenide with dopants and vacancies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_sbd.simulate._validation import checked_count, checked_positive, checked_shape
from napari_sbd.simulate.sample import FloatArray, Sample, marked_map

LATTICE_NM = 0.32
PIXEL_NM = 0.025
ROTATION_DEGREES = 7.0
WINDOW = 15
# Z^1.7 contrast of MoS2 with W dopants, relative to Mo (Z = 42): W 74, and two S (Z = 16) in one column.
METAL, CHALCOGEN, DOPANT = 1.0, 2 * (16 / 42) ** 1.7, (74 / 42) ** 1.7
BACKGROUND = 0.08
# Two atoms one above the other, the probe in focus at the metal: the chalcogen column looks wider.
METAL_PX, CHALCOGEN_PX = 1.6, 2.0


def haadf(
    seed: int = 0,
    *,
    dopants: int = 14,
    vacancies: int = 8,
    dose: float = 150.0,
    shape: Sequence[int] = (256, 256),
) -> Sample:
    """Return a HAADF-STEM image of a hexagonal layer with substitutional dopants and chalcogen vacancies.

    Two sublattices of Gaussian columns, MoS2-like, lattice constant 0.32 nm, contrast by atomic number (Z to
    the 1.7). Dopants are W on Mo sites (brighter), vacancies are S columns that are missing. The counts are
    Poisson-distributed.

    Parameters
    ----------
    seed : int
        Seed of the lattice's origin, defects and shot noise.
    dopants, vacancies : int
        How many of each.
    dose : float
        Expected counts at the brightest pixel of a metal column.
    shape : (rows, cols)
        Shape of the image, in pixels of 0.025 nm.

    Returns
    -------
    Sample
        `clean` holds the lattice too. Type 0 are the dopants, type 1 the vacancies; the kernels are what each
        changes in the lattice, so that of a vacancy is negative. Amplitudes are in counts.

    Raises
    ------
    ValueError
        If the dose is not positive or there are more defects than sites.

    References
    ----------
    Krivanek et al., Nature 464, 571 (2010), for contrast by atomic number in annular dark-field images.

    Examples
    --------
    >>> sample = haadf()
    >>> np.bincount(sample.types).tolist(), sample.kernels.shape
    ([14, 8], (2, 15, 15))
    """
    frame = checked_shape(shape, smallest=2 * WINDOW)
    checked_positive(dose, "dose")
    counts = [checked_count(dopants, "dopants"), checked_count(vacancies, "vacancies")]
    rng = np.random.default_rng(seed)
    metal, chalcogen = _sublattices(rng, frame)
    positions = np.concatenate(
        [
            _drawn_columns(rng, columns, count, frame, name)
            for columns, count, name in zip((metal, chalcogen), counts, ("dopants", "vacancies"), strict=True)
        ]
    )
    types = np.repeat([0, 1], counts)
    change = _columns(positions[types == 0], METAL_PX, frame) * (DOPANT - METAL)
    change -= _columns(positions[types == 1], CHALCOGEN_PX, frame) * CHALCOGEN
    host = METAL * _columns(metal, METAL_PX, frame) + CHALCOGEN * _columns(chalcogen, CHALCOGEN_PX, frame)
    clean = dose * (BACKGROUND + host + change)
    kernels, norms = _signatures()
    amplitudes = dose * norms[types]
    return Sample(
        name="haadf",
        image=rng.poisson(clean).astype(float),
        clean=clean,
        kernels=kernels,
        positions=positions,
        types=types,
        amplitudes=amplitudes,
        extended_activations=marked_map(positions, types, amplitudes, frame, kernels.shape),
        pixel_size=(PIXEL_NM, PIXEL_NM),
        value_unit="counts",
        noise_std=float(np.sqrt(clean.mean())),
        seed=seed,
    )


def _sublattices(rng: np.random.Generator, frame: tuple[int, int]) -> tuple[FloatArray, FloatArray]:
    """Column positions of both sublattices in pixels, a little beyond the frame."""
    angle = np.deg2rad(ROTATION_DEGREES)
    directions = np.array([angle, angle + np.pi / 3])
    basis = LATTICE_NM / PIXEL_NM * np.stack([np.sin(directions), np.cos(directions)], axis=1)
    origin = rng.uniform(0, 1, 2) @ basis + np.array(frame) / 2
    reach = int(np.linalg.norm(frame) / (LATTICE_NM / PIXEL_NM)) + 2
    steps = np.indices((2 * reach + 1, 2 * reach + 1)).reshape(2, -1).T - reach
    metal = origin + steps @ basis
    both = metal, metal + basis.sum(0) / 3
    near = [np.all((p > -WINDOW) & (p < np.array(frame) + WINDOW), axis=1) for p in both]
    return both[0][near[0]], both[1][near[1]]


def _drawn_columns(
    rng: np.random.Generator, columns: FloatArray, count: int, frame: tuple[int, int], name: str
) -> FloatArray:
    inside = columns[np.all((columns >= 0) & (columns <= np.array(frame) - 1), axis=1)]
    if count > len(inside):
        raise ValueError(f"{name} is {count}, but {frame} pixels hold only {len(inside)} sites; give fewer")
    return inside[rng.choice(len(inside), count, replace=False)]


def _columns(positions: FloatArray, width: float, frame: tuple[int, int]) -> FloatArray:
    rows, cols = (
        np.exp(-((np.arange(n) - positions[:, axis, None]) ** 2) / (2 * width**2))
        for axis, n in enumerate(frame)
    )
    image: FloatArray = rows.T @ cols
    return image


def _signatures() -> tuple[FloatArray, FloatArray]:
    """Unit-norm change by a dopant and by a vacancy, and the norms of the changes."""
    centre = np.full((1, 2), WINDOW // 2, float)
    window = (WINDOW, WINDOW)
    changes = np.stack(
        [
            (DOPANT - METAL) * _columns(centre, METAL_PX, window),
            -CHALCOGEN * _columns(centre, CHALCOGEN_PX, window),
        ]
    )
    norms = np.linalg.norm(changes, axis=(1, 2))
    return changes / norms[:, None, None], norms
