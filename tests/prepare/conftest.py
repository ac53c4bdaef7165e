"""Images with one fault each, and the real ones that lie beside the repository."""

from pathlib import Path

import numpy as np
import pytest

SHARED = Path(__file__).parents[2].parent / "shared"


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def defects():
    """Draws blobs of unit height: a function of shape and positions."""

    def draw(shape, positions, width=2.0):
        rows, cols = np.indices(shape)
        image = np.zeros(shape)
        for row, col in positions:
            image += np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / (2 * width**2))
        return image

    return draw


@pytest.fixture
def hexagonal():
    """Draws a hexagonal lattice of unit amplitude: a function of shape, wave number and angle in degrees."""

    def draw(shape, wave=0.9, angle=10.0):
        rows, cols = np.indices(shape)
        turns = np.deg2rad(angle + np.array([0, 60, 120]))
        return sum(np.cos(wave * (np.sin(t) * rows + np.cos(t) * cols)) for t in turns)

    return draw


@pytest.fixture
def real():
    """Loads a file of ../shared/data, or skips."""

    def load(name):
        path = SHARED / "data" / name
        if not path.is_file():
            pytest.skip(f"needs ../shared/data/{name}, which is not there")
        return np.load(path).astype(float)

    return load
