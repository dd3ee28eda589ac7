"""One lab for all end-to-end tests of one process; every test must leave the world as it found it."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterator

import pytest
from temporalio.client import Client

from lab.lab import Lab
from tests.e2e import driver, wire
from tests.e2e.failover_tests import RECORDS
from tests.e2e.leaks import leaked, written


def routing_of_the_machine() -> list[str]:
    """Links, addresses, routes and rules of the namespace that the tests run in, where it has any."""
    if wire.MISSING:
        return []
    asked = (["-br", "link"], ["-4", "-br", "addr"], ["-4", "route", "show", "table", "all"], ["-4", "rule"])
    return [subprocess.run(["ip", *a], capture_output=True, text=True, check=True).stdout for a in asked]


@pytest.fixture(scope="session")
async def lab(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Lab]:
    """The lab, with every original that has a replica powered off: they are what is failed over. When all has
    been played, no secret is in anything that was written."""
    before = routing_of_the_machine()
    async with Lab(tmp_path_factory.mktemp("lab")) as made:
        for site in made.centre.sites.values():
            for machine in site.tenant.machines:
                if machine.replicated:
                    site.hypervisor.power_off(site.vm(machine.name))
        await asyncio.to_thread(made.centre.fabric.settle)
        assert routing_of_the_machine() == before, "the lab changed the machine's own networks"
        yield made
        assert leaked(made, await asyncio.to_thread(written, made)) == []


@pytest.fixture(scope="session")
async def acme(lab: Lab) -> Client:
    """What a tenant with appliances on both sides holds in hand."""
    return await lab.client("acme")


@pytest.fixture(scope="session")
async def globex(lab: Lab) -> Client:
    """Another one, with the same addresses."""
    return await lab.client("globex")


@pytest.fixture(scope="session")
async def initech(lab: Lab) -> Client:
    """One whose networks an NSX Edge joins."""
    return await lab.client("initech")


@pytest.fixture(autouse=True)
async def as_found(lab: Lab) -> AsyncIterator[None]:
    """Compare the whole world with what it was before the test."""
    before, sandbox = lab.centre.state(), await asyncio.to_thread(wire.sandbox, lab)
    yield
    lab.centre.faults.clear()
    await driver.end_all()
    after = lab.centre.state()
    assert {k: after[k] for k in after if after[k] != before[k]} == {}
    assert await asyncio.to_thread(wire.sandbox, lab) == sandbox


@pytest.fixture
def forget_tests(lab: Lab) -> Iterator[None]:
    """Records of tests are meant to stay; for the other tests' comparison they are taken away."""
    yield
    for vm in lab.centre.cloud.world.vms:
        vm.metadata.pop(RECORDS, None)
