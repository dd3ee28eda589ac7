"""Authority comes from the namespace: every step, called as acme with globex's ids, refuses.

The activities are those of worker.py's own lists, over its own connectors, settings and endpoints. The fence
says yes to everything here: a tenant can start a workflow of any ID in its own namespace, so the lock of a
foreign replica protects nothing.
"""

from dataclasses import replace
from typing import cast

import pytest

import worker
from activities.provider.tenant import ProviderTenant
from activities.tenant_site.site import Site
from lab.data_centre import DataCentre
from lab.injected_faults import FaultKind, FaultRule
from partial_failover.contracts.errors import FailoverError, NotFound
from partial_failover.contracts.plan import PlanResult, TenantSite
from partial_failover.contracts.queues import PROVIDER, PROVIDER_WATCH, TENANT_SITE, TENANT_SITE_WATCH
from partial_failover.contracts.report import ReplicaList
from partial_failover.contracts.request import PartialFailoverRequest
from partial_failover.contracts.step import StepName
from tests.activities.world import Values, World, name_of

ALL = [
    *(f"{PROVIDER}/{name_of(s)}" for s in worker.provider_activities(cast(ProviderTenant, None))),
    *(f"{TENANT_SITE}/{name_of(s)}" for s in worker.tenant_site_activities(cast(Site, None))),
    *(f"{PROVIDER_WATCH}/{name_of(s)}" for s in worker.provider_watch_activities(cast(ProviderTenant, None))),
    *(f"{TENANT_SITE_WATCH}/{name_of(s)}" for s in worker.watch_activities(cast(Site, None))),
]
PLAN, INSPECT = f"{PROVIDER}/{StepName.PLAN_FAILOVER}", f"{PROVIDER}/{StepName.INSPECT_REPLICAS}"
CHECK = f"{TENANT_SITE}/{StepName.CHECK_TENANT_SITE}"
ACTING = [name for name in ALL if name not in (PLAN, INSPECT, CHECK)]
"""All but those that answer with what they found, which must be nothing of globex's."""


def test_the_lists_hold_every_step() -> None:
    assert {name.rpartition("/")[2] for name in ALL} == set(StepName)
    assert len(ALL) == len(set(ALL))


@pytest.mark.parametrize("name", ACTING)
async def test_with_a_foreign_replica(world: World, name: str) -> None:
    before = world.centre.state()
    with pytest.raises(NotFound):
        await world.call(name, await world.values("globex", "crm-db-01"))
    assert world.centre.state() == before


@pytest.mark.parametrize("name", ACTING)
async def test_with_its_own_replica_and_all_else_foreign(world: World, name: str) -> None:
    """Whatever comes of it, nothing changes at globex."""
    before = of_globex(world.centre)
    own = await world.values("acme", "erp-db-01")
    foreign = await world.values("globex", "crm-db-01")
    mixed = {**foreign, "replica_id": own["replica_id"]}
    try:
        await world.call(name, mixed)
    except FailoverError:
        pass
    assert of_globex(world.centre) == before


async def test_the_addresses_are_its_own_also_while_a_revert_has_them_unplugged(world: World) -> None:
    """They are plugged in again between a look at the NICs and one at what the revert remembered of them."""
    own, replica = await world.values("acme", "erp-db-01"), world.centre.cloud.vm("erp-db-01_replica")
    plugged = replica.nics
    replica.nics = [replace(nic, network=None, address=None) for nic in plugged]
    with pytest.raises(NotFound):
        await world.call(StepName.CONNECT_NETWORKS, own)

    def ended() -> None:
        replica.nics = plugged

    world.centre.faults.add(FaultRule("cloud-director", "GET metadata", FaultKind.DELAY, act=ended))
    await world.call(StepName.CONNECT_NETWORKS, own)
    await world.call(StepName.DISCONNECT_NETWORKS, own)


async def test_a_revert_takes_no_foreign_restore_point(world: World) -> None:
    own = await world.values("acme", "mail-01")
    foreign = await world.values("globex", "crm-db-01")
    await world.call(StepName.MARK_PROCESSING, own)
    own_state = world.centre.state()["stands on"]
    with pytest.raises(NotFound):
        await world.call(StepName.REVERT_SNAPSHOT, {**own, "point": foreign["point"]})
    assert world.centre.state()["stands on"] == own_state
    await world.call(StepName.REVERT_TO_LATEST, own)
    await world.call(StepName.MARK_NORMAL, own)


async def test_a_revert_connects_no_foreign_network(world: World) -> None:
    own = await world.values("acme", "mail-01")
    foreign = await world.values("globex", "crm-db-01")
    await world.call(StepName.MARK_PROCESSING, own)
    nics = world.centre.state()["nics"]["mail-01_replica"]
    with pytest.raises(FailoverError):
        await world.call(StepName.REVERT_SNAPSHOT, {**own, "nics": foreign["nics"]})
    assert world.centre.state()["nics"]["mail-01_replica"] == nics
    await world.call(StepName.REVERT_TO_LATEST, own)
    await world.call(StepName.MARK_NORMAL, own)


@pytest.mark.parametrize("step", [StepName.HOLD_REPLICATION, StepName.RELEASE_REPLICATION])
async def test_a_known_name_does_not_open_the_way_to_another_vm(world: World, step: StepName) -> None:
    """The name is the failed-over VM's, the object behind it another VM of the site."""
    before = world.centre.state()
    own = await world.values("acme", "erp-db-01")
    other = await world.backups["acme"].find_target("mail-01")
    target = other.model_copy(update={"name": "erp-db-01"})
    with pytest.raises(NotFound):
        await world.call(f"{TENANT_SITE}/{step}", {**own, "target": target})
    assert world.centre.state() == before


@pytest.mark.parametrize("vm", ["crm-db-01", "crm-db-01_replica", "globex-network-extension"])
async def test_looking_for_a_foreign_vm_finds_nothing(world: World, vm: str) -> None:
    values = {**await world.values("globex", "crm-db-01"), "vm": vm, "request": PartialFailoverRequest(vm=vm)}
    values["networks"] = ()
    plan = await world.call(PLAN, values)
    assert isinstance(plan, PlanResult) and plan.plan is None
    assert [p.what for p in plan.problems] == [f'There is no replica of "{vm}" in your organization VDC']
    site = await world.call(CHECK, values)
    assert isinstance(site, TenantSite) and site.target is None and site.problems


async def test_all_replicas_are_all_of_acmes(world: World) -> None:
    found = await world.call(INSPECT, {})
    assert isinstance(found, ReplicaList)
    assert [r.vm for r in found.replicas] == ["erp-db-01", "erp-web-01", "mail-01"]


async def test_its_own_vms_that_are_no_replicas_are_refused(world: World) -> None:
    """The appliance is acme's own, and yet no step for replicas may touch it."""
    appliance = world.centre.cloud.vm("acme-network-extension")
    before = world.centre.state()
    values = {**await world.values("acme", "erp-db-01"), "replica_id": appliance.id}
    for step in (
        StepName.MARK_PROCESSING,
        StepName.POWER_ON_REPLICA,
        StepName.POWER_OFF_REPLICA,
        StepName.CONNECT_NETWORKS,
    ):
        with pytest.raises(NotFound):
            await world.call(step, values)
    assert world.centre.state() == before


def of_globex(centre: DataCentre) -> Values:
    """All of the state that is globex's."""
    mine = ("globex", "crm-")
    state = centre.state()
    return {
        part: {name: value for name, value in names.items() if any(m in name for m in mine)}
        for part, names in state.items()
        if isinstance(names, dict)
    }
