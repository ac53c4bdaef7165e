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


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    outcome = doctest.testmod(importlib.import_module(name))
    assert outcome.attempted
    assert not outcome.failed
