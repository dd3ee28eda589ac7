"""Cloud Director shows an effect some time after the task that had it has succeeded."""

from collections.abc import Iterator

import pytest

from lab.cloud_director.model import Vm
from lab.injected_faults import FaultKind
from partial_failover.connectors.cloud_director import CloudDirector, OrganizationVdc
from partial_failover.contracts.replica import ReplicaState
from partial_failover.contracts.step import StepName
from tests.activities.conftest import extended, world
from tests.activities.world import Values, World
from tests.connectors.cloud_director.conftest import authority, client, quick, site, vdc
from tests.connectors.cloud_director.site import ADDRESS, NOTE, Beats, Note, Site, attempt
from tests.waiting import blocking_until

__all__ = ["authority", "client", "extended", "quick", "site", "vdc", "world"]
LATE = 2.0
"""Seconds."""


def test_a7_a_late_power_state_is_waited_for(site: Site, vdc: OrganizationVdc) -> None:
    site.endpoint.world.power_lag = LATE
    assert vdc.power_on(site.vm.id, attempt()) is True
    assert vdc.undeploy(site.vm.id, attempt()) is True
    assert site.vm.machine.reverts == ["on", "off"]
    assert (site.count("POST powerOn"), site.count("POST undeploy")) == (1, 1)


def test_a7_after_an_adopted_task_nothing_is_sent_again(site: Site, vdc: OrganizationVdc) -> None:
    site.endpoint.world.power_lag = LATE
    beats = Beats()
    vdc.power_on(site.vm.id, beats.attempt())
    site.vm.late |= {"status": (8, site.vm.late["status"][1] + 2 * LATE)}
    assert vdc.power_on(site.vm.id, attempt(earlier=beats.seen[-1])) is True
    assert site.count("POST powerOn") == 1


def test_a7_after_a_task_that_nobody_remembers_nothing_is_sent_again(
    site: Site, client: CloudDirector, vdc: OrganizationVdc
) -> None:
    site.endpoint.world.power_lag = LATE
    site.plan("POST powerOn", FaultKind.TASK_HANG, seconds=0.5)
    task = site.endpoint.api.actions.power_on(site.vm, site.endpoint.world.api_tokens[client_token(site)])
    blocking_until(lambda: task.status == "running")
    vdc.power_on(site.vm.id, attempt())
    assert site.count("POST powerOn") == 0 and site.vm.machine.reverts == ["on"]


def client_token(site: Site) -> str:
    return site.endpoint.api_token("worker that died")


def test_a7_a_refusal_of_what_is_there_already_is_none(site: Site, vdc: OrganizationVdc) -> None:
    site.endpoint.world.power_lag = LATE
    actions = site.endpoint.api.actions
    task = actions.power_on(site.vm, site.endpoint.world.api_tokens[client_token(site)])
    blocking_until(lambda: task.status == "success")
    assert vdc.power_on(site.vm.id, attempt()) is False
    assert site.vm.machine.reverts == ["on"]


def test_a7_late_nics_networks_and_metadata_are_waited_for(site: Site, vdc: OrganizationVdc) -> None:
    site.endpoint.world.lags = dict.fromkeys(("nics", "networks", "metadata"), LATE / 2)
    nics = [nic.model_copy(update={"connected": False}) for nic in vdc.vm(site.vm.id).nics]
    assert vdc.set_nics(site.vm.id, nics, attempt()) is True
    assert vdc.remembered.write(NOTE, site.vm.id, Note(text="a"), attempt()) is True
    assert vdc.remembered.forget(NOTE, site.vm.id, attempt()) is True
    assert site.vm.nics[0].address == ADDRESS and not site.vm.metadata
    calls = ("PUT networkConnectionSection", "POST metadata", "DELETE metadata")
    assert [site.count(call) for call in calls] == [1, 1, 1]


@pytest.fixture
def replica(world: World) -> Iterator[Vm]:
    """Marked Processing; Cloud Director shows power states late."""
    yield world.centre.cloud.vm("erp-db-01_replica")
    world.centre.faults.clear()
    world.centre.cloud.world.lags = {}


async def marked(world: World) -> Values:
    values = {**await world.values("acme", "erp-db-01"), "state": ReplicaState.PROCESSING}
    await world.call(StepName.MARK_PROCESSING, values)
    return values


async def test_a7_off_is_believed_only_where_vcenter_says_so(world: World, replica: Vm) -> None:
    values = await marked(world)
    world.centre.cloud.world.power_lag = LATE
    # A worker sent the power-on and died: its task has ended, and Cloud Director still shows "off".
    world.centre.cloud.world.machines.power_on(replica.machine)
    world.centre.cloud.world.change(replica, status=4, deployed=True)
    done = await world.call(StepName.POWER_OFF_REPLICA, values)
    assert done.changed and replica.machine.power == "poweredOff"


async def test_a7_what_cloud_director_never_sees_it_is_made_to_see(
    world: World, replica: Vm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.provider.tenant.AGREES_WITHIN", 1.0)
    values = await marked(world)
    world.centre.cloud.world.machines.power_on(replica.machine)
    await world.call(StepName.POWER_OFF_REPLICA, values)
    assert replica.machine.reverts[-2:] == ["on", "off"]
    replica.status, replica.deployed = 4, True  # somebody switched it off in vCenter
    done = await world.call(StepName.POWER_ON_REPLICA, values)
    assert done.changed and replica.machine.reverts[-2:] == ["off", "on"]
    await world.call(StepName.POWER_OFF_REPLICA, values)


async def test_a7_on_in_vcenter_alone_is_said_before_anything_begins(world: World, replica: Vm) -> None:
    values = await world.values("acme", "erp-db-01")
    await world.call(StepName.MARK_NORMAL, values | {"not_before": values["not_before"]})
    world.centre.cloud.world.machines.power_on(replica.machine)
    try:
        planned = await world.call(StepName.PLAN_FAILOVER, values)
    finally:
        world.centre.cloud.world.machines.power_off(replica.machine)
    assert planned.plan is None and "vCenter shows it on" in planned.problems[0].what


@pytest.fixture
def appliance(world: World, extended: Values) -> Iterator[Vm]:
    """Acme's at the provider, in use."""
    vm = world.centre.cloud.vm("acme-network-extension")
    yield vm
    world.centre.cloud.world.lags = {}
    world.centre.cloud.world.change(vm, status=4, deployed=True)
    if vm.machine.power != "poweredOn":
        world.centre.cloud.world.machines.power_on(vm.machine)


async def test_a7_an_appliance_that_is_shown_off_and_runs_is_switched_off(
    world: World, extended: Values, appliance: Vm
) -> None:
    await world.call(StepName.CONFIGURE_PROVIDER_PROXY_ARP, extended)
    own = {**extended, "power_off_when_idle": True}
    await world.call(StepName.REMOVE_PROVIDER_PROXY_ARP, own)
    appliance.status, appliance.deployed = 8, False  # shown late
    done = await world.call(StepName.POWER_OFF_PROVIDER_APPLIANCE, own)
    assert done.changed and appliance.machine.power == "poweredOff"


async def test_a7_the_lease_of_an_appliance_that_is_shown_off_and_runs_is_taken_out(
    world: World, extended: Values, appliance: Vm
) -> None:
    await world.call(StepName.CONFIGURE_PROVIDER_PROXY_ARP, extended)
    appliance.status, appliance.deployed = 8, False
    done = await world.call(StepName.REMOVE_PROVIDER_PROXY_ARP, {**extended, "placed": False})
    assert done.changed


async def test_a7_an_appliance_that_is_shown_on_and_is_off_is_powered_on(
    world: World, extended: Values, appliance: Vm
) -> None:
    world.centre.cloud.world.machines.power_off(appliance.machine)
    appliance.status, appliance.deployed = 4, True
    await world.call(StepName.POWER_ON_PROVIDER_APPLIANCE, extended)
    assert appliance.machine.power == "poweredOn"


async def test_a7_the_networks_of_an_appliance_that_is_shown_off_and_runs_stay(
    world: World, extended: Values, appliance: Vm
) -> None:
    appliance.status, appliance.deployed = 8, False
    nics = appliance.nics
    assert not (await world.call(StepName.DISCONNECT_NETWORKS, extended)).changed
    assert appliance.nics == nics


@pytest.mark.parametrize("runs", [True, False])
async def test_a7_whether_the_appliance_was_on_is_what_vcenter_says(
    world: World, extended: Values, appliance: Vm, runs: bool
) -> None:
    if not runs:
        world.centre.cloud.world.machines.power_off(appliance.machine)
    appliance.status, appliance.deployed = (8, False) if runs else (4, True)
    planned = await world.call(StepName.PLAN_FAILOVER, extended)
    assert planned.plan.side.appliance_was_on is runs
