"""The sample *isolated*: impurities on a square lattice in an STM map, solved exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import fft

from napari_sbd.simulate._validation import checked_count, checked_shape
from napari_sbd.simulate.artefacts import ARTEFACTS, chosen_strengths, drifted_positions
from napari_sbd.simulate.ldos import LATTICE_PX, PIXEL_NM, TIP_PX, impurity_image, tip_image
from napari_sbd.simulate.sample import FloatArray, IntArray, Sample, marked_map
from napari_sbd.simulate.tight_binding import greens_function, group_velocity, ldos_change

ENERGY = -2.4
BROADENING = 0.08
STRENGTH = -2.5
STRENGTH_SPREAD = 0.1
WINDOW = 41
CLOSEST_SITES = 5.0
PA_PER_STATE = 100.0
# Wide enough for what drift brings in from outside the frame.
MARGIN_PX = 16


def isolated(
    seed: int = 0,
    noise_db: float | None = 10.0,
    artefacts: str | Sequence[str] | Mapping[str, float] = (),
    *,
    impurities: int = 60,
    shape: Sequence[int] = (256, 256),
) -> Sample:
    """Return an STM map (LDoS at one energy) of impurities with exact multiple scattering between them.

    A square-lattice band near its bottom, point impurities on lattice sites between the pixels, strengths
    spread by +-10 %, at least five lattice constants apart, all of them inside the frame. As waves
    scatter from one impurity to the next, no kernel explains the image fully: an honest residual is left.

    Parameters
    ----------
    seed : int
        Seed of lattice origin, impurities, noise and artefacts.
    noise_db : float or None
        Signal-to-noise ratio in dB, 10 log10 of var(clean image) / var(white noise). None: no noise.
    artefacts : name, names, or mapping of name to strength
        Instrument artefacts to switch on: ``"drift"``, ``"plane"``, ``"line_offsets"``, ``"one_over_f"``.
        Drift moves the true positions as well; defects that it takes out of the frame are left out of them.
    impurities : int
        How many; 1 to about 1 in 500 pixels.
    shape : (rows, cols)
        Shape of the image in pixels, 3.1 to a lattice constant of 0.39 nm.

    Returns
    -------
    Sample
        Its kernel is the LDoS change of one impurity in the recommended window of 41 x 41 pixels, which holds
        99 % of the kernel's energy. An amplitude is the projection of that impurity's own, single LDoS change
        on the kernel, in pA: near the resonance of these impurities it varies by less than the strength.

    Raises
    ------
    ValueError
        If an artefact is unknown or so many impurities do not fit.

    References
    ----------
    Cheung et al., Nat. Commun. 11, 1081 (2020), for simulated QPI maps; Balatsky, Vekhter and Zhu, Rev. Mod.
    Phys. 78, 373 (2006), for the T-matrix of impurities.

    Examples
    --------
    >>> sample = isolated(seed=1)
    >>> sample.image.shape, len(sample.positions), sample.window
    ((256, 256), 60, (41, 41))
    """
    frame = checked_shape(shape, smallest=WINDOW)
    strengths = chosen_strengths(artefacts)
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, LATTICE_PX, 2) - LATTICE_PX * _margin_sites()
    sites = _impurity_sites(rng, checked_count(impurities, "impurities"), frame, corner)
    potentials = STRENGTH * (1 + STRENGTH_SPREAD * rng.uniform(-1, 1, len(sites)))
    wide = _map_with_margin(sites, potentials, frame, corner)
    clean = _without_margin(wide)
    noise_std = 0.0 if noise_db is None else float(clean.std() * 10 ** (-noise_db / 20))
    noise = noise_std * rng.standard_normal(frame)
    image, positions = _seen(wide, noise, corner + LATTICE_PX * sites, strengths, seed)
    kernel, amplitudes = _kernel_and_amplitudes(potentials)
    inside = np.all((positions >= -0.5) & (positions < np.array(frame) - 0.5), axis=1)
    positions, amplitudes = positions[inside], amplitudes[inside]
    types = np.zeros(len(positions), np.int64)
    return Sample(
        name="isolated",
        image=image,
        clean=clean,
        kernels=kernel[None],
        positions=positions,
        types=types,
        amplitudes=amplitudes,
        extended_activations=marked_map(positions, types, amplitudes, frame, (1, WINDOW, WINDOW)),
        pixel_size=(PIXEL_NM, PIXEL_NM),
        value_unit="pA",
        noise_std=noise_std,
        seed=seed,
    )


def _margin_sites() -> int:
    return int(np.ceil((MARGIN_PX + 5 * TIP_PX) / LATTICE_PX)) + 1


def _lattice_shape(frame: tuple[int, int]) -> tuple[int, int]:
    rows, cols = (int(np.ceil(n / LATTICE_PX)) + 2 * _margin_sites() for n in frame)
    return rows, cols


def _impurity_sites(
    rng: np.random.Generator, count: int, frame: tuple[int, int], corner: FloatArray
) -> IntArray:
    """Draw sites one by one among those inside the frame and far enough from all that were drawn before."""
    lattice = np.indices(_lattice_shape(frame)).reshape(2, -1).T
    places = corner + LATTICE_PX * lattice
    free = lattice[np.all((places >= 0) & (places <= np.array(frame) - 1), axis=1)]
    drawn: list[IntArray] = []
    while len(drawn) < count:
        if not len(free):
            raise ValueError(f"impurities is {count}, but only {len(drawn)} fit into {frame}; give fewer")
        drawn.append(free[rng.integers(len(free))])
        free = free[np.linalg.norm(free - drawn[-1], axis=1) >= CLOSEST_SITES]
    if not drawn:
        raise ValueError("impurities is 0; give at least 1")
    return np.array(drawn)


def _map_with_margin(
    sites: IntArray, potentials: FloatArray, frame: tuple[int, int], corner: FloatArray
) -> FloatArray:
    """LDoS in pA on the frame and a margin all round; the host's lattice corrugation is left out."""
    lattice = _lattice_shape(frame)
    mesh = fft.next_fast_len(int(2 * max(lattice) + 8 * group_velocity(ENERGY) / BROADENING))
    green = greens_function(ENERGY, BROADENING, mesh)
    change = ldos_change(sites, potentials, lattice, green)
    origin = (float(corner[0]) + MARGIN_PX, float(corner[1]) + MARGIN_PX)
    seen = tip_image(change, origin, (frame[0] + 2 * MARGIN_PX, frame[1] + 2 * MARGIN_PX))
    return np.asarray(PA_PER_STATE * (seen - green[0, 0].imag / np.pi))


def _without_margin(wide: FloatArray) -> FloatArray:
    return wide[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX].copy()


def _seen(
    wide: FloatArray, noise: FloatArray, positions: FloatArray, strengths: dict[str, float], seed: int
) -> tuple[FloatArray, FloatArray]:
    """Image with noise and artefacts, and the positions in it.

    Every artefact has its own random numbers and acts on the same image, so that switching one on or off
    leaves the others as they are.
    """

    def own_rng(name: str) -> np.random.Generator:
        return np.random.default_rng([seed, 1 + list(ARTEFACTS).index(name)])

    if "drift" in strengths:
        wide_positions = positions + MARGIN_PX
        moved = drifted_positions(wide_positions, len(wide), own_rng("drift"), strengths["drift"])
        wide = ARTEFACTS["drift"][0](wide, own_rng("drift"), strengths["drift"])
        positions = moved - MARGIN_PX
    plain = _without_margin(wide) + noise
    added = [ARTEFACTS[n][0](plain, own_rng(n), s) - plain for n, s in strengths.items() if n != "drift"]
    return np.asarray(plain + sum(added)), positions


def _kernel_and_amplitudes(potentials: FloatArray) -> tuple[FloatArray, FloatArray]:
    kernel = impurity_image(WINDOW, ENERGY, BROADENING, STRENGTH)
    kernel /= np.linalg.norm(kernel)
    alone = [np.vdot(kernel, impurity_image(WINDOW, ENERGY, BROADENING, float(v))) for v in potentials]
    return kernel, PA_PER_STATE * np.array(alone)
