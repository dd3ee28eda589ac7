"""One lab, without a data plane, for all tests of this folder."""

from collections.abc import AsyncIterator

import pytest

from lab.crash_matrix.bench import Bench
from lab.crash_matrix.cases import Point


@pytest.fixture(scope="session")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    """A lab in which a case can be played."""
    async with Bench(tmp_path_factory.mktemp("crash")) as bench:
        yield bench


@pytest.fixture(scope="session")
async def points(bench: Bench) -> list[Point]:
    """Every remote call of every step, from clean runs."""
    return await bench.learn()
