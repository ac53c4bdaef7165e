"""How the tests are shared out among processes (`pytest -n 2 --dist loadgroup`)."""

import pytest

WINDOW = {"make_napari_viewer", "make_napari_viewer_proxy", "qtbot"}


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(config, items):
    """All windows belong to one process, for on one display two would take the keyboard from each other.

    The other tests of a file stay together, because they share what its fixtures make.
    """
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        group = "window" if WINDOW & set(item.fixturenames) else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))
