"""The lab without packets, as a provider and its tenants would look at it."""

from collections.abc import AsyncIterator

import pytest

from lab.lab import Lab


@pytest.fixture(scope="package")
async def lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    """One lab for all tests of this folder, which leave it as they find it."""
    async with Lab(tmp_path_factory.mktemp("lab"), simulated=True) as lab:
        yield lab
