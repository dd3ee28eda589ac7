"""A vApp whose lease ends is suspended or deleted one day: readiness says so, with the date."""

from datetime import UTC, datetime

from lab.cloud_director.model import VAppLease
from partial_failover.contracts.plan import PlanResult
from partial_failover.contracts.replica import lease_warnings
from partial_failover.contracts.step import StepName
from tests.activities.world import World

APPLIANCE = "acme-network-extension"
ENDS = datetime(2027, 1, 2, 3, 4, tzinfo=UTC)


async def warnings(world: World) -> tuple[str, ...]:
    result = await world.call(StepName.PLAN_FAILOVER, await world.values("acme", "erp-db-01"))
    assert isinstance(result, PlanResult) and result.plan is not None, result
    return result.plan.warnings


async def test_c5_the_leases_of_replica_and_appliance_are_warned_of(world: World) -> None:
    replica, appliance = (world.centre.cloud.vm(name).vapp for name in ("erp-db-01_replica", APPLIANCE))
    before = await warnings(world)
    assert not [warning for warning in before if "lease" in warning]
    replica.lease = VAppLease(runtime_s=7 * 86400, storage_s=86400, storage_ends=ENDS)
    appliance.lease = VAppLease(runtime_s=86400, runtime_ends=ENDS)
    try:
        said = "; ".join(await warnings(world))
        checked = lease_warnings(world.vdc("acme").vm_named("erp-db-01_replica"))
    finally:
        replica.lease = appliance.lease = VAppLease()
    assert f"runtime lease of the vApp {replica.name} ends 7 days after" in said
    assert f"storage lease of the vApp {replica.name} ends at 2027-01-02 03:04 UTC" in said
    assert f"runtime lease of the vApp {appliance.name} ends at 2027-01-02 03:04 UTC" in said
    assert len(checked) == 2
