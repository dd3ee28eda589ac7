"""Replicas on networks, and in vApps, that are not the plain ones."""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Interface

import pytest

from activities.provider.isolation import isolated
from lab.cloud_director.model import ON, OrgNetwork, VApp, Vm
from lab.site import APPLIANCE
from partial_failover.contracts.errors import WrongState
from partial_failover.contracts.plan import PlanResult
from partial_failover.contracts.step import StepName
from tests.activities.conftest import world
from tests.activities.world import Values, World
from tests.connectors.cloud_director.site import Beats

__all__ = ["world"]
LAN, NAT = "acme-lan-a", IPv4Interface("192.168.10.1/24")


@pytest.fixture
def replica(world: World) -> Iterator[Vm]:
    """Of erp-db-01, with the networks of its vApp as they were, in the end."""
    vm = world.centre.cloud.vm("erp-db-01_replica")
    networks, nics = list(vm.vapp.networks), list(vm.nics)
    yield vm
    vm.vapp.networks, vm.nics = networks, nics


@pytest.fixture
def lan(world: World) -> Iterator[OrgNetwork]:
    """Production's network, that replica is on."""
    network = next(n for n in world.centre.cloud.world.networks if n.name == LAN)
    yield network
    network.group = None


def fence(world: World, vapp: VApp, lan: OrgNetwork, name: str) -> None:
    """As the tenant does it: the vApp's network of that name is routed to production's by NAT."""
    vapp.networks = [n for n in vapp.networks if n.name != name]
    world.centre.cloud.world.add_vapp_network(vapp, name, NAT, lan)


async def planned(world: World) -> PlanResult:
    """The preflight at the provider."""
    result = await world.call(StepName.PLAN_FAILOVER, await world.values("acme", "erp-db-01"))
    assert isinstance(result, PlanResult)
    return result


async def test_g_a_network_of_a_vdc_group_is_found_and_connected(
    world: World, replica: Vm, lan: OrgNetwork
) -> None:
    cloud = world.centre.cloud
    second = cloud.add_vdc(lan.vdc.org, "acme-second")
    own, lan.vdc = lan.vdc, second
    cloud.world.share(lan, "acme-group", [own])
    try:
        result = await planned(world)
        assert result.plan is not None and LAN in {n.name for n in result.plan.networks}
        values = await world.values("acme", "erp-db-01")
        appliance = cloud.vm(f"acme-{APPLIANCE}")
        await world.call(StepName.CONNECT_NETWORKS, values)
        assert lan in appliance.vapp.networks
        await world.call(StepName.DISCONNECT_NETWORKS, values)
        assert lan not in appliance.vapp.networks
    finally:
        lan.vdc = own


@pytest.mark.parametrize("name", [LAN, "behind-nat"])
async def test_g_a_replica_behind_nat_of_its_vapp_is_refused_for_that(
    world: World, replica: Vm, lan: OrgNetwork, name: str
) -> None:
    fence(world, replica.vapp, lan, name)
    if name != LAN:
        replica.nics = [replace(nic, network=name) for nic in replica.nics]
    result = await planned(world)
    [problem] = result.problems
    assert problem.what == (
        f"NIC 0 of erp-db-01_replica on {name}: that is a network of its vApp alone, isolated or routed by "
        "NAT, and production is not on it"
    )


async def test_g_a_routed_network_beside_it_is_no_matter(world: World, replica: Vm, lan: OrgNetwork) -> None:
    fence(world, replica.vapp, lan, "behind-nat")
    assert (await planned(world)).plan is not None


async def test_g_an_appliance_behind_nat_is_refused_and_not_called_connected(
    world: World, replica: Vm, lan: OrgNetwork
) -> None:
    appliance = world.centre.cloud.vm(f"acme-{APPLIANCE}")
    values = await world.values("acme", "erp-db-01")
    await world.call(StepName.CONNECT_NETWORKS, values)
    fence(world, appliance.vapp, lan, LAN)
    try:
        [problem] = (await planned(world)).problems
        assert problem.what.startswith(
            f"{LAN} in the vApp acme-{APPLIANCE} of the provider's appliance: that is"
        )
        with pytest.raises(WrongState, match=f"another network of the name {LAN}"):
            await world.call(StepName.CONNECT_NETWORKS, values)
    finally:
        appliance.vapp.networks = [lan if n.name == LAN else n for n in appliance.vapp.networks]
        await world.call(StepName.DISCONNECT_NETWORKS, values)


@pytest.fixture
def alone(world: World, replica: Vm) -> Iterator[Vm]:
    """The same replica as a stand-alone VM."""
    before, cloud = replica.vapp, world.centre.cloud.world
    before.vms.remove(replica)
    hidden = cloud.add_vapp(before.vdc, f"{replica.name}-hidden")
    hidden.auto, hidden.networks = True, [n for n in before.networks if n.name == LAN]
    replica.vapp = hidden
    hidden.vms.append(replica)
    yield replica
    cloud.vapps.remove(hidden)
    replica.vapp = before
    before.vms.append(replica)


async def test_g_a_stand_alone_replica_fails_over_and_back(world: World, alone: Vm) -> None:
    listed = await world.call(StepName.INSPECT_REPLICAS, {})
    assert [r.problems for r in listed.replicas if r.replica == alone.name] == [()]
    plan = (await planned(world)).plan
    assert plan is not None
    values: Values = {**await world.values("acme", "erp-db-01"), "choice": plan.choice, "nics": plan.nics}
    await world.call(StepName.MARK_PROCESSING, values)
    world.centre.provider.set_nics(alone.machine, [])  # as a revert to a snapshot of other hardware does it
    await world.call(StepName.REVERT_SNAPSHOT, values)
    await world.call(StepName.POWER_ON_REPLICA, values)
    assert alone.status == ON and [nic.network for nic in alone.machine.nics] == [LAN]
    await world.call(StepName.POWER_OFF_REPLICA, values)
    await world.call(StepName.REVERT_TO_LATEST, values)
    await world.call(StepName.MARK_NORMAL, values)
    assert not alone.deployed and not alone.vapp.maintenance


async def test_g_a_stand_alone_replica_is_isolated_and_plugged_in_again(world: World, alone: Vm) -> None:
    vdc, before = world.vdc("acme"), alone.nics
    nics = vdc.vm(alone.id).nics
    vdc.set_nics(alone.id, isolated(nics, None), Beats().attempt())
    assert alone.vapp.networks == []
    other = next(n for n in vdc.networks() if n.name == "acme-lan-b")
    assert vdc.attach_networks(alone.vapp.id, [other], Beats().attempt()) is False
    vdc.set_nics(alone.id, isolated(nics, other), Beats().attempt())
    assert vdc.is_attached(alone.vapp.id, other)
    vdc.set_nics(alone.id, nics, Beats().attempt())
    assert alone.nics == before
