"""How the tests are shared out among processes (`pytest -n 2 --dist loadgroup`)."""

import pytest

WINDOW = {"make_napari_viewer", "make_napari_viewer_proxy", "qtbot"}


def pytest_collection_modifyitems(config, items):
    """All windows belong to one process: on one display two would take the keyboard from each other."""
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        if WINDOW & set(item.fixturenames):
            item.add_marker(pytest.mark.xdist_group("window"))
