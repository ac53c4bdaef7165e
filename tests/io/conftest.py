"""Small files that the tests write themselves, and real ones beside the repository."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.small_files import FILES

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "readers"


@pytest.fixture
def real():
    """Path of a real file, by its name."""

    def find(name):
        if not (REAL / name).is_file():
            pytest.skip(f"needs ../shared/data/readers/{name}, which is not there")
        return REAL / name

    return find


@pytest.fixture
def write(tmp_path):
    """Write a small file of a kind; returns its path and its arrays by label."""

    def make(kind, **options):
        suffix, writer = FILES[kind]
        path = tmp_path / f"small{suffix}"
        return path, writer(path, **options)

    return make


@pytest.fixture
def same():
    """Compare what was read with the truth, bit for bit."""

    def compare(channels, truth):
        found = {channel.label: channel.data for channel in channels}
        assert found.keys() == truth.keys()
        for label, values in truth.items():
            assert found[label].dtype == values.dtype
            assert found[label].dtype.isnative
            np.testing.assert_array_equal(found[label], values, err_msg=label)

    return compare
