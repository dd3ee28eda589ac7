"""The check of the tenant's site over the lab's own endpoints: above all, whether the original runs."""

import asyncio
import copy
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import cast

import pytest
import pytest_asyncio
from temporalio.testing import ActivityEnvironment

from activities.shared import probes
from activities.shared.fence import Fence
from activities.tenant_site.check_tenant_site import CheckTenantSite
from activities.tenant_site.site import Site
from lab.data_centre import DataCentre
from lab.hypervisor import Hypervisor, Vm
from lab.injected_faults import FaultKind, FaultRule
from lab.worker_config import write_configs
from partial_failover import factories
from partial_failover.connectors.vsphere import VCenterLogin, VSphere
from partial_failover.contracts.errors import FailoverError, Unavailable, Who
from partial_failover.contracts.plan import Extension, TenantSite, TenantSiteInput
from partial_failover.settings import TenantSiteSettings, TenantSiteWorkerSettings, load

VM = "tps-01"


@dataclass
class World:
    """A site whose networks an NSX Edge joins, and the connectors to it."""

    centre: DataCentre
    settings: TenantSiteSettings
    vcenter: VSphere

    @property
    def hypervisor(self) -> Hypervisor:
        return self.centre.sites["initech"].hypervisor

    @property
    def original(self) -> Vm:
        return self.centre.sites["initech"].vm(VM)

    async def look(
        self, attempt: int = 1, since: timedelta = timedelta(0), may_run: bool = False
    ) -> TenantSite:
        """One attempt of the check. `since`: so long after the first one."""
        backup = factories.backup_server(self.settings.backup_server)
        site = Site(self.settings, backup, self.vcenter, None, cast(Fence, None), ())
        environment = ActivityEnvironment()
        begun = environment.info.scheduled_time + since
        environment.info = replace(environment.info, attempt=attempt, started_time=begun)
        data = TenantSiteInput(vm=VM, extension=Extension.NSX_EDGE, original_may_run=may_run)
        try:
            return await environment.run(CheckTenantSite(site).check_tenant_site, data)
        finally:
            await backup.close()

    def known_to_the_backup_server(self) -> None:
        """From here on the worker calls the vCenter by the name that the backup server has for it."""
        vcenter = self.settings.vcenter.model_copy(update={"host": self.hypervisor.name.upper()})
        self.settings = self.settings.model_copy(update={"vcenter": vcenter})

    @contextmanager
    def backup_server_says(self, **otherwise: str) -> Iterator[None]:
        """What the backup server has of the original is not what the vCenter has now."""
        [job] = self.centre.sites["initech"].backup.replication.jobs.values()
        before, stale = job.vms, copy.copy(self.original)
        for name, value in otherwise.items():
            setattr(stale, name, value)
        job.vms = ((stale, before[0][1]),)
        try:
            yield
        finally:
            job.vms = before

    @contextmanager
    def another(self, name: str, on: bool) -> Iterator[None]:
        """A second VM, with this name."""
        other = self.hypervisor.add_vm(name, ["Floor 2"])
        if on:
            self.hypervisor.power_on(other)
        try:
            yield
        finally:
            del self.hypervisor.vms[other.moref]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def centre(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DataCentre]:
    made = DataCentre(tmp_path_factory.mktemp("centre"), simulated=True)
    made.start()
    yield made
    await asyncio.to_thread(made.close)


@pytest.fixture
def world(centre: DataCentre) -> Iterator[World]:
    settings = load(write_configs(centre)["initech"])
    assert isinstance(settings, TenantSiteWorkerSettings)
    made = World(centre, settings.tenants[0], factories.vsphere(settings.tenants[0].vcenter))
    yield made
    centre.faults.clear()
    made.vcenter.close()


@contextmanager
def off(world: World) -> Iterator[None]:
    world.hypervisor.power_off(world.original)
    try:
        yield
    finally:
        world.hypervisor.power_on(world.original)


async def test_the_very_vm_that_is_replicated_is_looked_at(world: World) -> None:
    world.known_to_the_backup_server()
    with world.another(VM, on=False):
        found = await world.look()
    assert [p.what.split(",")[0] for p in found.problems] == [f"{VM} is powered on and connected"]
    with world.another(VM, on=True), off(world):
        found = await world.look()
    assert found.problems == () and found.warnings == ()


async def test_a_name_that_two_vms_have_says_nothing_of_the_original(world: World) -> None:
    with world.another(VM, on=False), off(world):
        found = await world.look()
    [problem] = found.problems
    assert "2 VMs" in problem.what and f"not known whether {VM} runs" in problem.what


async def test_one_that_was_renamed_still_runs(world: World) -> None:
    world.known_to_the_backup_server()
    with world.backup_server_says():
        world.original.name = f"{VM}-old"
        try:
            found = await world.look()
        finally:
            next(v for v in world.hypervisor.vms.values() if v.name == f"{VM}-old").name = VM
    assert f"{VM} is powered on and connected" in found.problems[0].what


@pytest.mark.parametrize("stale", ["vm-99999", "the reference of another VM"])
async def test_a_stale_reference_is_not_taken_for_a_vm_that_is_off(world: World, stale: str) -> None:
    world.known_to_the_backup_server()
    with world.another("sleeper", on=False):
        sleeper = world.hypervisor.find("sleeper")
        assert sleeper is not None
        with world.backup_server_says(moref=stale if stale.startswith("vm-") else sleeper.moref):
            found = await world.look()
    assert f"{VM} is powered on and connected" in found.problems[0].what


async def test_only_one_that_does_not_exist_is_taken_to_be_gone(world: World) -> None:
    with world.backup_server_says():
        gone = world.hypervisor.vms.pop(world.original.moref)
        try:
            found = await world.look()
        finally:
            world.hypervisor.vms[gone.moref] = gone
    assert found.problems == ()
    assert found.warnings == (f"There is no {VM} in the tenant's vCenter, so it is taken to be gone",)


async def test_an_account_that_is_refused_sees_nothing(world: World) -> None:
    settings = world.settings.vcenter
    world.vcenter = VSphere(
        VCenterLogin(settings.host, settings.port, settings.username, "wrong", settings.ca_file)
    )
    found = await world.look()
    [problem] = found.problems
    assert f"not known whether {VM} runs" in problem.what and problem.who is Who.PROVIDER
    assert "Correct the account" in problem.do and '"original_may_run": true' in problem.do
    found = await world.look(may_run=True)
    assert found.problems == () and f"not known whether {VM} runs" in found.warnings[0]


@pytest.mark.parametrize(
    ("kind", "says"),
    [(FaultKind.REFUSE, "vCenter 127.0.0.1"), (FaultKind.DELAY, "did not answer within 2 s")],
)
async def test_what_may_pass_is_tried_again_and_then_said(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: FaultKind, says: str
) -> None:
    monkeypatch.setattr(probes, "LOOK", 2.0)
    world.centre.faults.add(FaultRule("initech-vcenter", "*", kind, times=1000, seconds=4))
    for early in (1, 2):
        with pytest.raises(Unavailable):
            await world.look(early)
    for late in (await world.look(3), await world.look(2, since=timedelta(seconds=31))):
        [problem] = late.problems
        assert says in problem.what and f"not known whether {VM} runs" in problem.what
        assert problem.who is Who.TENANT and "is tried again" not in problem.do
        assert late.target is not None, "what else was found is not lost"


def test_a_fault_keeps_its_parts() -> None:
    fault = FailoverError("It broke.", left="Nothing was changed", do="Repair it.")
    assert (fault.happened, fault.do) == ("It broke", "Repair it")
    assert str(fault) == "It broke. Nothing was changed. Repair it."
