"""The examples in the docstrings of every module run."""

import doctest
import importlib
from pathlib import Path

import pytest

import napari_sbd

HOME = Path(napari_sbd.__file__).parent
WITH_EXAMPLES = [path for path in sorted(HOME.rglob("*.py")) if ">>>" in path.read_text("utf-8")]
MODULES = [
    ".".join(path.relative_to(HOME.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in WITH_EXAMPLES
]


@pytest.fixture(scope="module")
def recovery():
    """What the example of the class makes, with which those of its methods go on."""
    [example] = doctest.DocTestFinder(recurse=False).find(napari_sbd.Recovery)
    doctest.DocTestRunner().run(example, clear_globs=False)
    return example.globs["recovery"]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, recovery, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    known = {"recovery": recovery} if name == "napari_sbd.results" else {}
    outcome = doctest.testmod(importlib.import_module(name), extraglobs=known)
    assert outcome.attempted
    assert not outcome.failed
