"""How `pytest -n 2` shares out the tests: file by file, and all windows to one process."""

import pytest

WINDOWS = ("tests/widgets/", "tests/test_channels.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """On one display the windows of two processes would take the keyboard from each other."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return "windows" if nodeid.startswith(WINDOWS) else nodeid.partition("::")[0]

    return ByFile(config, log)
