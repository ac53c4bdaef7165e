"""The examples in the docstrings run."""

import doctest
import importlib
import pkgutil

import pytest

import napari_sbd.simulate

MODULES = [m.name for m in pkgutil.iter_modules(napari_sbd.simulate.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    module = importlib.import_module(f"napari_sbd.simulate.{name}")
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("name", napari_sbd.simulate.__all__)
def test_public_functions_are_documented_with_an_example(name):
    public = getattr(napari_sbd.simulate, name)
    if callable(public):
        assert ">>>" in public.__doc__
