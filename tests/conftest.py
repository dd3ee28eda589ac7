"""Which tests stay together, and which begin first, when `make test` runs them in processes side by side."""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
TOGETHER = ("e2e", "workflows", "deploy")
"""Folders whose tests share a lab or a server, which so is started once. Elsewhere each file is a group."""
ALONE = ("stories",)
"""Folders where each test starts what it needs: they may run in any process."""
SECOND_LAB = ("test_failover_tests.py", "test_refusals.py", "test_secrets.py", "test_worker_process.py")
"""Half of `e2e`, by time: with one lab for all, the other processes would wait for it in the end."""
FIRST = ("e2e", "crash", "stories", "property", "fabric", "workflows", "deploy", "lab")
"""Folders whose groups take longest: what begins last should be short, so that no process is waited for."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each test its group and sort the groups; the order within a group stays."""
    if not hasattr(config, "workerinput"):
        return  # all run in this process, in the order of their files
    for item in items:
        if _folder(item) not in ALONE:
            item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=lambda item: _turn(_folder(item)))


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(TESTS).parts[0]


def _group(item: pytest.Item) -> str:
    if _folder(item) in TOGETHER:
        return _folder(item) + (" second" if item.path.name in SECOND_LAB else "")
    return item.nodeid.partition("::")[0]


def _turn(folder: str) -> int:
    return FIRST.index(folder) if folder in FIRST else len(FIRST)
