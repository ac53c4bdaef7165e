"""Plain values as an HDF5 tree and back: dataclasses, mappings, tables, arrays, sequences and scalars.

Scalars and short tuples of scalars become attributes of their group; all else becomes a member. `None` is an
empty attribute. What a member is where HDF5 does not tell stands in its attribute ``_kind``. A new field of a
dataclass is thereby stored without new code.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

import h5py
import numpy as np
import pandas as pd

KIND, CLASS, COLUMNS, INDEX_NAME = "_kind", "_class", "_columns", "_index_name"
INDEX = "_index"
SCALARS = (bool, int, float, complex, str)
LONGEST_TUPLE, LONGEST_TEXT = 64, 8000  # as an attribute, which HDF5 limits to 64 kB
MOST_COMPRESSED = 1100  # times: the limit of the compression; a larger array than that is a lie
TEXT = h5py.string_dtype()

Classes = Mapping[str, type]


class Damaged(ValueError):
    """The tree is not what `put` writes."""


class Unknown(ValueError):
    """The tree holds a field that its dataclass does not have."""


def put(group: h5py.Group, name: str, value: Any) -> None:
    """Store a value under a name.

    Raises
    ------
    TypeError
        If the value is not plain; the message says where it stands.

    Examples
    --------
    >>> file = h5py.File("x", "w", driver="core", backing_store=False)
    >>> put(file, "settings", {"seed": 1, "window": (9, 11), "limit": None, "map": np.eye(2)})
    >>> int(file["settings"].attrs["seed"]), file["settings/map"].shape
    (1, (2, 2))
    >>> get(file, "settings")["window"]
    (9, 11)
    """
    key, value = escaped(name), _plain(value)
    if value is None:
        group.attrs[key] = h5py.Empty("f")
    elif isinstance(value, SCALARS):
        _put_scalar(group, key, value)
    elif isinstance(value, np.ndarray):
        _put_array(group, key, value)
    elif isinstance(value, pd.DataFrame):
        _put_table(group, key, value)
    elif isinstance(value, (tuple, list)):
        _put_sequence(group, key, value)
    elif isinstance(value, Mapping):
        put_all(_new_group(group, key, "mapping"), value)
    elif is_dataclass(value):
        put_fields(_new_group(group, key, "dataclass"), value)
    else:
        where = f"{group.name.rstrip('/')}/{name}"
        raise TypeError(f"{where} is a {type(value).__name__}: only plain values can be saved")


def put_all(group: h5py.Group, values: Mapping[str, Any]) -> None:
    """Store all values of a mapping, whose keys must be text."""
    for name, value in values.items():
        if not isinstance(name, str):
            raise TypeError(f"{group.name} has the key {name!r}: only text can be the key of a saved mapping")
        put(group, name, value)


def put_fields(group: h5py.Group, value: Any) -> None:
    """Store all fields of a dataclass in a group."""
    group.attrs[CLASS] = type(value).__name__
    for field in fields(value):
        put(group, field.name, getattr(value, field.name))


def get(group: h5py.Group, name: str, classes: Classes | None = None) -> Any:
    """The value that is stored under a name.

    Parameters
    ----------
    group : h5py.Group
    name : str
    classes : mapping, optional
        The dataclasses that may occur, by name.

    Raises
    ------
    Damaged
        If it is not what `put` stores.
    """
    key = escaped(name)
    if key in group.attrs:
        return _scalar(group.attrs[key])
    if key not in group:
        raise Damaged(f"{group.name.rstrip('/')}/{name} is missing")
    member = group[key]
    if isinstance(member, h5py.Dataset):
        return _dataset(member)
    kind = member.attrs.get(KIND)
    if kind == "table":
        return _table(member)
    if kind in ("tuple", "list"):
        items = [get(member, str(n), classes) for n in range(len(names_in(member)))]
        return tuple(items) if kind == "tuple" else items
    if kind == "mapping":
        return {item: get(member, item, classes) for item in names_in(member)}
    if kind == "dataclass":
        found = (classes or {}).get(str(member.attrs.get(CLASS)))
        if found is not None:
            return get_fields(member, found, classes or {})
    raise Damaged(f"{member.name} is of an unknown kind")


def get_fields(group: h5py.Group, kind: type, classes: Classes, also: Iterable[str] = ()) -> Any:
    """The dataclass whose fields a group holds; a field that came later has its default.

    Parameters
    ----------
    group : h5py.Group
    kind : type
    classes : mapping
    also : iterable of str
        Other names that the group may hold.

    Raises
    ------
    Damaged
        If a field without a default is missing.
    Unknown
        If a field is there that the dataclass does not have.
    """
    known = {field.name: field for field in fields(kind)}
    present = set(names_in(group))
    unknown = present - known.keys() - set(also)
    if unknown:
        raise Unknown(f"holds {', '.join(sorted(unknown))} in {group.name}")
    missing = [
        name
        for name, field in known.items()
        if name not in present and field.default is MISSING and field.default_factory is MISSING
    ]
    if missing:
        raise Damaged(f"{group.name} lacks {', '.join(missing)}")
    return kind(**{name: get(group, name, classes) for name in known if name in present})


def names_in(group: h5py.Group) -> list[str]:
    """Names of what was stored in a group, in the order in which it was."""
    keys = [key for key in [*group.attrs, *group] if not key.startswith("_")]
    return [unescaped(key) for key in keys]


def classes_in(kind: type) -> dict[str, type]:
    """The dataclasses that the fields of a dataclass can hold, by name, found from its annotations."""
    found: dict[str, type] = {}
    waiting: list[Any] = [kind]
    while waiting:
        hint = waiting.pop()
        waiting.extend(typing.get_args(hint))
        if isinstance(hint, type) and not isinstance(hint, types.GenericAlias) and is_dataclass(hint):
            if hint.__name__ not in found:
                waiting.extend(typing.get_type_hints(hint).values())
            found[hint.__name__] = hint
    return found


def escaped(name: str) -> str:
    """A name as HDF5 can have it; names that begin with ``_`` are ours.

    Examples
    --------
    >>> escaped("dI/dV"), unescaped(escaped("dI/dV"))
    ('dI%2FdV', 'dI/dV')
    """
    key = name.replace("%", "%25").replace("/", "%2F").replace("\0", "%00")
    if key in ("", "."):
        return "%2E" * len(key) or "%"
    return f"%5F{key[1:]}" if key.startswith("_") else key


def unescaped(key: str) -> str:
    """The name of a key."""
    if key == "%":
        return ""
    for code, character in (("%5F", "_"), ("%2E", "."), ("%00", "\0"), ("%2F", "/"), ("%25", "%")):
        key = key.replace(code, character)
    return key


def _plain(value: Any) -> Any:
    """NumPy's scalars as Python's."""
    return value.item() if isinstance(value, np.generic) else value


def _new_group(group: h5py.Group, key: str, kind: str) -> h5py.Group:
    made = group.create_group(key, track_order=True)
    made.attrs[KIND] = kind
    return made


def _put_scalar(group: h5py.Group, key: str, value: Any) -> None:
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        group.create_dataset(key, data=value, dtype=TEXT).attrs[KIND] = "text"
    else:
        group.attrs[key] = value


def _put_array(group: h5py.Group, key: str, value: np.ndarray, kind: str = "array") -> h5py.Dataset:
    if value.dtype.kind not in "biufcOUT":
        raise TypeError(f"{group.name}/{key} is an array of {value.dtype}, which cannot be saved")
    options: dict[str, Any] = {}
    if value.dtype.kind in "OUT":
        if not all(isinstance(item, str) for item in value.ravel()):
            raise TypeError(f"{group.name}/{key} is an array of objects, which cannot be saved")
        value, options["dtype"] = value.astype(object), TEXT
    elif value.size:
        # A flipped bit is noticed; maps and masks, mostly zero or mostly equal, take little room.
        options |= {"chunks": True, "fletcher32": True} if value.ndim else {}
        if value.ndim and (value.dtype.kind == "b" or 2 * np.count_nonzero(value) < value.size):
            options |= {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    dataset = group.create_dataset(key, data=value, **options)
    dataset.attrs[KIND] = kind
    return dataset


def _put_sequence(group: h5py.Group, key: str, value: tuple[Any, ...] | list[Any]) -> None:
    kind = "tuple" if isinstance(value, tuple) else "list"
    items = [_plain(item) for item in value]
    same = {type(item) for item in items}
    if len(same) > 1 or not same <= {bool, int, float, str}:
        made = _new_group(group, key, kind)
        for number, item in enumerate(items):
            put(made, str(number), item)
        return
    array = np.array(items, object if same == {str} else None)
    if kind == "tuple" and len(items) <= LONGEST_TUPLE and sum(map(len, map(str, items))) <= LONGEST_TEXT:
        group.attrs.create(key, array, dtype=TEXT if same == {str} else array.dtype)
    else:
        _put_array(group, key, array, kind)


def _put_table(group: h5py.Group, key: str, table: pd.DataFrame) -> None:
    made = _new_group(group, key, "table")
    made.attrs.create(COLUMNS, np.array([escaped(name) for name in table.columns], object), dtype=TEXT)
    for name in table.columns:
        _put_array(made, escaped(name), np.asarray(table[name]))
    if not table.index.equals(pd.RangeIndex(len(table))):
        _put_array(made, INDEX, np.asarray(table.index))
    if table.index.name is not None:
        made.attrs[INDEX_NAME] = str(table.index.name)


def _scalar(value: Any) -> Any:
    if isinstance(value, h5py.Empty):
        return None
    if isinstance(value, np.ndarray):
        return tuple(_text(item) for item in value.tolist())
    return _text(_plain(value))


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _dataset(member: h5py.Dataset) -> Any:
    array, kind = _array(member), member.attrs.get(KIND)
    if kind == "text":
        return str(array[()])
    if kind in ("tuple", "list"):
        return tuple(array.tolist()) if kind == "tuple" else array.tolist()
    return array


def _array(member: h5py.Dataset) -> np.ndarray:
    if member.nbytes > MOST_COMPRESSED * member.file.id.get_filesize():
        raise Damaged(f"{member.name} claims {member.nbytes:.2g} bytes, more than the file can hold")
    if h5py.check_string_dtype(member.dtype) is not None:
        return np.asarray(member.asstr()[()], object)
    return np.asarray(member[()])


def _table(member: h5py.Group) -> pd.DataFrame:
    keys = [_text(key) for key in np.ravel(member.attrs.get(COLUMNS, np.array([], object)))]
    missing = [key for key in keys if key not in member]
    if missing:
        raise Damaged(f"{member.name} lacks {', '.join(missing)}")
    columns = {unescaped(key): _array(member[key]) for key in keys}
    index = pd.Index(_array(member[INDEX])) if INDEX in member else None
    try:
        table = pd.DataFrame(columns, index=index)
    except ValueError as error:
        raise Damaged(f"{member.name} has columns of unequal lengths") from error
    if INDEX_NAME in member.attrs:
        table.index.name = _text(member.attrs[INDEX_NAME])
    return table
