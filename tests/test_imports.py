"""The import rules of docs/architecture.md: who may know whom."""

import ast
from pathlib import Path

import pytest

import napari_sbd

PACKAGE = "napari_sbd"
ROOT = Path(napari_sbd.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
VIEWER = {"napari", "qtpy", "PyQt5", "PyQt6", "PySide2", "PySide6", "magicgui", "superqt", "vispy", "npe2"}
# Room: the rooms of the package that it may import besides itself. The others may import all.
MAY_IMPORT = {
    "core": set(),
    "prepare": {"core"},
    "simulate": {"core"},
    "io": {"core"},
    "layers": {"core", "prepare", "simulate", "io"},
    "figures": {"core", "io", "layers"},
    "export": {"core", "io", "layers", "figures"},
    "results": {"core", "io", "layers", "figures", "export"},
    "batch": {"core", "prepare", "simulate", "io", "layers", "figures", "export", "results", "api"},
    "api": {"core", "prepare", "simulate", "io", "layers", "figures", "export", "results"},
}


def room(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path):
    """Full names of what a file imports, those for type checkers only left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_import_what_they_may(path):
    own = room(path)
    for name in imported(path):
        top, *inner = name.split(".")
        if top == PACKAGE and inner and own in MAY_IMPORT:
            assert inner[0] in MAY_IMPORT[own] | {own}, f"{own} must not import {name}"
        if own not in ("widgets", "_writer"):
            assert top not in VIEWER, f"only widgets may import {name}"
        if own == "_writer":
            assert top not in VIEWER - {"napari"}, f"only widgets may import {name}"


def test_import_is_light(printed_by):
    code = (
        "import sys, napari_sbd; "
        "print(*{name.partition('.')[0] for name in sys.modules} "
        "& {'napari', 'qtpy', 'PyQt6', 'PySide6', 'scipy', 'pandas', 'skimage'})"
    )
    assert printed_by(code) == ""


def test_recovering_needs_no_viewer(printed_by):
    code = (
        "import sys, napari_sbd; napari_sbd.recover; "
        "print(*{name.partition('.')[0] for name in sys.modules} & {'napari', 'qtpy', 'PyQt6', 'PySide6'})"
    )
    assert printed_by(code) == ""


@pytest.mark.parametrize("name", napari_sbd.__all__)
def test_public_names_exist(name):
    assert getattr(napari_sbd, name).__name__ == name


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'recovr'"):
        napari_sbd.recovr  # noqa: B018
