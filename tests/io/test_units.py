import numpy as np
import pytest

from napari_sbd.io.units import convenient, nanometres


@pytest.mark.parametrize(
    ("unit", "largest", "shown"),
    [
        ("m", 3e-10, (1e9, "nm")),
        ("m", 2e-6, (1e9, "nm")),
        ("A", 4e-11, (1e12, "pA")),
        ("A", 4e-9, (1e9, "nA")),
        ("V", 0.05, (1e3, "mV")),
        ("V", 5.0, (1.0, "V")),
        ("Hz", 3e4, (1e-3, "kHz")),
        ("deg", 1e-9, (1.0, "deg")),
        ("", 1e-9, (1.0, "")),
        ("A", 0.0, (1.0, "A")),
        ("A", 1e-30, (1e15, "fA")),
    ],
)
def test_values_are_shown_in_handy_units(unit, largest, shown):
    factor, symbol = convenient(unit, largest * np.array([[-1, 1], [1, np.nan]]))
    assert factor == pytest.approx(shown[0])
    assert symbol == shown[1]


@pytest.mark.parametrize(
    ("unit", "length"), [("Å", 0.1), ("um", 1e3), (" nm ", 1), ("m", 1e9), ("", None), ("s", None)]
)
def test_lengths_in_nm(unit, length):
    assert nanometres(unit) == length
