"""Which tests are unit tests: `pytest --unit`, or `make unit`. Derived, so that nobody marks a test by hand.

A unit test starts nothing that takes seconds: neither its file nor a helper of tests behind it imports what
starts a server, a process or a namespace, or waits for one, and it uses none of our fixtures that several
tests share: those are servers and sites.
"""

from functools import cache
from pathlib import Path

import pytest

from tests.imports import imported, source

STARTS = {
    "subprocess",
    "mypy",
    "lab.lab",
    "lab.data_centre",
    "lab.temporal_server",
    "lab.fabric.fabric",
    "tests.waiting",
}


@cache
def starts_something(file: Path) -> bool:
    """Whether it imports what starts a server, a process or a namespace, by itself or through helpers."""
    names = imported(file)
    ours = [source(name) for name in names if name.startswith("tests.")]
    return not STARTS.isdisjoint(names) or any(starts_something(helper) for helper in ours if helper)


def is_unit(item: pytest.Item) -> bool:
    """Whether the test, in a file that starts nothing, uses no fixture of ours that several tests share."""
    assert isinstance(item, pytest.Function)
    fixtures = [one for same in item._fixtureinfo.name2fixturedefs.values() for one in same]
    return not any(f.scope != "function" and f.func.__module__.startswith("tests.") for f in fixtures)
