"""The lab without packets, as a provider and its tenants would look at it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from lab.lab import Lab
from tests.deploy.gate import Gate
from tests.deploy.watched import Watched


@pytest.fixture(scope="package")
async def lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    """One lab for all tests of this folder, which leave it as they find it."""
    async with Lab(tmp_path_factory.mktemp("lab"), simulated=True) as lab:
        yield lab


@pytest.fixture(scope="package")
async def watched(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    """The provider's worker with metrics and health, in the place of the lab's own."""
    await asyncio.to_thread(lab.workers["provider"].stop)
    watched = Watched(lab, tmp_path_factory.mktemp("watched"))
    await watched.start()
    yield watched
    await asyncio.to_thread(watched.process.stop)
    lab.workers["provider"].spawn()
    await asyncio.to_thread(lab.workers["provider"].until_ready)


@pytest.fixture(scope="package")
async def gate(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gate]:
    """The gate in front of the lab's Temporal server."""
    gate = Gate(lab, tmp_path_factory.mktemp("gate"))
    await gate.start()
    yield gate
    gate.stop()
