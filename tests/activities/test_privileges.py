"""Each right that an account needs is taken away once: the step that needs it says so, and no VM changes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from lab.hypervisor import utc_now
from lab.site import USER
from lab.veeam.accounts import Role
from lab.vsphere.endpoint import VSphereEndpoint
from partial_failover.contracts.errors import NoRight
from partial_failover.contracts.queues import TENANT_SITE
from partial_failover.contracts.replica import ReplicaState
from partial_failover.contracts.step import StepName
from partial_failover.site_check.privileges import (
    CLOUD_DIRECTOR,
    FOR_PROGRAMS,
    NEVER,
    ON_REPLICAS,
    ON_TENANT_APPLIANCE,
)
from tests.activities.world import Values, World
from tests.examples import ROOT

POWER_ON, POWER_OFF = ON_TENANT_APPLIANCE
NEEDS = {
    "vApp: Power Operations": StepName.POWER_ON_REPLICA,
    "vApp: Edit Properties": StepName.REVERT_SNAPSHOT,
    "vApp: Edit VM Network": StepName.CONNECT_NETWORKS,
    "vApp: Edit VM Properties": StepName.MARK_PROCESSING,
}
"""Right in Cloud Director → a step that does not go without."""


@contextmanager
def without_right(world: World, right: str) -> Iterator[None]:
    """Of the provider's worker, in Cloud Director."""
    cloud, token = world.centre.cloud, world.centre.api_token
    whole = cloud.world.api_tokens[token]
    try:
        cloud.world.api_tokens[token] = replace(whole, rights=whole.rights - {right})
        cloud.expire_sessions()
        yield
    finally:
        cloud.world.api_tokens[token] = whole
        cloud.expire_sessions()


@contextmanager
def without_privilege(vcenter: VSphereEndpoint, privilege: str) -> Iterator[None]:
    """Of a worker, in a vCenter."""
    users = vcenter.sessions.users
    whole = users[USER]
    assert whole.privileges is not None
    try:
        users[USER] = replace(whole, privileges=whole.privileges - {privilege})
        vcenter.sessions.end_all()
        yield
    finally:
        users[USER] = whole
        vcenter.sessions.end_all()


async def refused(world: World, step: str, values: Values, names: str) -> None:
    """It is, with the name of what lacks, and no VM is another than it was."""
    before = hardware(world)
    with pytest.raises(NoRight, match=names):
        await world.call(step, values)
    assert hardware(world) == before


def hardware(world: World) -> list[object]:
    """Power, disks, reverts and networks of every VM."""
    sites = (site.hypervisor for site in world.centre.sites.values())
    vms = (vm for hypervisor in (world.centre.provider, *sites) for vm in hypervisor.vms.values())
    return [(vm.name, vm.power, id(vm.disk), len(vm.reverts), vm.nics) for vm in vms]


@pytest.fixture
async def marked(world: World) -> Values:
    """A replica that a failover has marked Processing, and is to revert and power on."""
    values = {**await world.values("acme", "mail-01"), "state": ReplicaState.PROCESSING}
    await world.call(StepName.MARK_NORMAL, values)
    await world.call(StepName.MARK_PROCESSING, values)
    return {**values, "not_before": utc_now()}


def test_every_right_is_taken_away_once() -> None:
    assert NEEDS.keys() == CLOUD_DIRECTOR.keys()


@pytest.mark.parametrize("right", CLOUD_DIRECTOR)
async def test_a_right_in_cloud_director(world: World, marked: Values, right: str) -> None:
    step = NEEDS[right]
    if step is StepName.MARK_PROCESSING:
        await world.call(StepName.MARK_NORMAL, marked)
    if step is StepName.REVERT_SNAPSHOT:  # what needs the right comes after the revert itself
        await world.call(step, marked)
    with without_right(world, right):
        await refused(world, step, marked, "rights")


@pytest.mark.parametrize("privilege", ON_REPLICAS)
async def test_a_privilege_in_the_providers_vcenter(world: World, marked: Values, privilege: str) -> None:
    with without_privilege(world.centre.vcenter, privilege):
        await refused(world, StepName.REVERT_SNAPSHOT, marked, "Permission")


async def test_the_privilege_to_power_the_tenants_appliance_on(world: World) -> None:
    values = await world.values("acme", "erp-db-01")
    with without_privilege(world.centre.sites["acme"].vcenter, POWER_ON):
        step = f"{TENANT_SITE}/{StepName.POWER_ON_TENANT_APPLIANCE}"
        await refused(world, step, values, "Permission")


async def test_the_privilege_to_power_the_tenants_appliance_off(world: World, extended: Values) -> None:
    values = {**extended, "power_off_when_idle": True}
    for before in (StepName.CONFIGURE_TENANT_PROXY_ARP, StepName.REMOVE_TENANT_PROXY_ARP):
        await world.call(f"{TENANT_SITE}/{before}", values)
    with without_privilege(world.centre.sites["acme"].vcenter, POWER_OFF):
        step = f"{TENANT_SITE}/{StepName.POWER_OFF_TENANT_APPLIANCE}"
        await refused(world, step, values, "Permission")


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMINISTRATOR])
async def test_a_lesser_role_at_the_backup_server(world: World, role: Role) -> None:
    values = await world.values("acme", "erp-db-01")
    site = world.centre.sites["acme"]
    try:
        site.set_backup_role(role)
        await refused(world, f"{TENANT_SITE}/{StepName.HOLD_REPLICATION}", values, "Administrator")
    finally:
        site.set_backup_role(Role.ADMINISTRATOR)


def test_the_document_has_each_of_them() -> None:
    text = (ROOT / "docs/privileges.md").read_text()
    for right, what_for in CLOUD_DIRECTOR.items():
        assert f"| {right} | {what_for} |" in text
    for privilege in (*ON_REPLICAS, *FOR_PROGRAMS, *ON_TENANT_APPLIANCE):
        assert f"| {privilege} |" in text
    for privilege in NEVER:
        assert f"`{privilege}`" in text
