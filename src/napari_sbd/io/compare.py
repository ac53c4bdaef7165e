"""What differs between two results, to the bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pandas as pd


def differences(first: Any, second: Any, name: str = "") -> list[str]:
    """Names of the parts in which two plain values differ; empty where all is equal, to the bit.

    Parameters
    ----------
    first, second : object
        Dataclasses such as a Recovery, mappings, sequences, tables, arrays, scalars. NaN equals NaN.
    name : str
        What the values are called.

    Examples
    --------
    >>> differences({"map": np.eye(2), "seed": 1}, {"map": np.eye(2), "seed": 2})
    ['seed']
    """
    if type(first) is not type(second):
        return [name]
    if is_dataclass(first):
        names = [field.name for field in fields(first)]
        return _of_parts({n: getattr(first, n) for n in names}, {n: getattr(second, n) for n in names}, name)
    if isinstance(first, Mapping):
        return _of_parts(first, second, name)
    if isinstance(first, (tuple, list)):
        return _of_parts(dict(enumerate(first)), dict(enumerate(second)), name)
    return [] if _equal(first, second) else [name]


def _of_parts(first: Mapping[Any, Any], second: Mapping[Any, Any], name: str) -> list[str]:
    found = [f"{name}.{key}".strip(".") for key in first.keys() ^ second.keys()]
    for key in first.keys() & second.keys():
        found += differences(first[key], second[key], f"{name}.{key}".strip("."))
    return sorted(found)


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, np.ndarray):
        numbers = first.dtype.kind in "fc"
        same = first.dtype == second.dtype and first.shape == second.shape
        return bool(same and np.array_equal(first, second, equal_nan=numbers))
    if isinstance(first, pd.DataFrame):
        return first.equals(second) and list(first.dtypes) == list(second.dtypes)
    return bool(first == second) or bool(first != first and second != second)
