"""Which tests run with `--unit`, and when all run side by side: which stay together, and which begin
first."""

from pathlib import Path

import pytest

from tests.unit import is_unit, starts_something

TESTS = Path(__file__).parent
TOGETHER = ("e2e", "deploy", "cases")
"""Folders whose tests share a lab, which so is started once. Elsewhere each file is a group."""
SECOND_LAB = ("test_failover_tests.py", "test_refusals.py", "test_secrets.py", "test_worker_process.py")
"""Half of `e2e`, by time: with one lab for all, the other processes would wait for it in the end."""
ALONE = ("stories",)
"""Folders where each test starts what it needs: they may run in any process."""
LATER = ("e2e", "deploy", "cases", "crash", "workflows", "stories", "property", "fabric")
"""Folders that begin after all others: connectors are tested with attempts of a second, so little else shall
compute meanwhile. The longest come first, so that no process is waited for in the end."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """For `make unit`."""
    parser.addoption("--unit", action="store_true", help="only tests that start no server (tests/unit.py)")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `--unit` files that start something are not even imported."""
    is_test = collection_path.match("test_*.py")
    return True if config.getoption("unit") and is_test and starts_something(collection_path) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give each test its group and sort the groups; the order within a group stays."""
    if config.getoption("unit"):
        items[:] = [item for item in items if is_unit(item)]
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
    return LATER.index(folder) if folder in LATER else -1
