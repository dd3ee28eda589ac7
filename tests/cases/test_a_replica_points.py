"""A5: the restore points of the replica are matched against what the backup server knows of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from lab.hypervisor import Vm, utc_now
from lab.injected_faults import FaultKind, FaultRule
from lab.veeam import VeeamEndpoint
from partial_failover.contracts.plan import Extension, FailoverPlan, PlanResult, Problem, TenantSite
from partial_failover.contracts.queues import TENANT_SITE
from partial_failover.contracts.request import PartialFailoverRequest
from partial_failover.contracts.step import StepName
from tests.activities.conftest import world
from tests.activities.world import RUN, World
from tests.cases.chain import kept
from workflows.replica_points import agreement

__all__ = ["world"]

NAME = "mail-01"
HOLD = f"{TENANT_SITE}/{StepName.HOLD_REPLICATION}"
RELEASE = f"{TENANT_SITE}/{StepName.RELEASE_REPLICATION}"


@dataclass
class Both:
    """One replica, seen from both sides."""

    world: World
    chain: Vm

    @property
    def server(self) -> VeeamEndpoint:
        return self.world.centre.sites["acme"].backup

    async def look(self, choice: str = "latest") -> tuple[FailoverPlan, TenantSite]:
        request = PartialFailoverRequest(vm=NAME, restore_point=choice)
        planned = await self.world.call(StepName.PLAN_FAILOVER, {"request": request, "run": RUN})
        values = {"vm": NAME, "extension": Extension.NONE, "original_may_run": True}
        site = await self.world.call(f"{TENANT_SITE}/{StepName.CHECK_TENANT_SITE}", values)
        assert isinstance(planned, PlanResult) and isinstance(site, TenantSite)
        assert planned.plan is not None and not site.problems
        return planned.plan, site

    async def said(self, choice: str = "latest") -> tuple[list[Problem], list[str]]:
        plan, site = await self.look(choice)
        problems, warnings = agreement(plan, site)
        return problems, [*site.warnings, *warnings]


@pytest.fixture
def both(world: World) -> Iterator[Both]:
    with kept(world.centre.replica(NAME)) as chain:
        found = Both(world, chain)
        yield found
    replication = found.server.replication
    replication.console.clear()
    replication.malware.clear()
    for job in [j for j in replication.jobs.values() if j.kind == "Unknown"]:
        del replication.jobs[job.id]


async def test_a5_points_that_both_sides_know_need_no_word(both: Both) -> None:
    assert await both.said() == ([], [])


async def test_a5_a_newest_point_that_the_server_does_not_know_is_warned_of(both: Both) -> None:
    """Somebody's own snapshot has the name of replication's."""
    made = both.world.centre.provider.snapshot(both.chain, "Restore Point 9", utc_now())
    problems, warnings = await both.said()
    assert not problems
    assert [w for w in warnings if f"knows no replica point of the time of {made.moref}" in w]


async def test_a5_a_snapshot_that_is_missing_on_the_replica_is_warned_of(both: Both) -> None:
    plan, site = await both.look()
    (record,) = site.replicas or ()
    newer = record.points[-1].model_copy(update={"created": utc_now() + timedelta(days=1)})
    more = record.model_copy(update={"points": (*record.points, newer)})
    problems, warnings = agreement(plan, site.model_copy(update={"replicas": (more,)}))
    assert not problems and "newer replica point" in warnings[0] and plan.restore_point.id in warnings[0]


async def test_a5_a_failover_in_veeams_own_console_is_refused(both: Both) -> None:
    both.server.replication.console[both.chain.name] = "Failover"
    [problem], _ = await both.said()
    assert "Veeam's own console has a replica of mail-01 in state failover" in problem.what


async def test_a5_an_infected_point_is_refused_unless_it_is_asked_for(both: Both) -> None:
    *_, older, newest = both.chain.snapshots
    both.server.replication.malware[newest.moref] = "Infected"
    [problem], _ = await both.said()
    assert "infected" in problem.what and older.moref in problem.do and newest.moref in problem.do
    problems, [warning] = await both.said(newest.moref)
    assert not problems and "infected" in warning


async def test_a5_a_suspicious_point_is_warned_of(both: Both) -> None:
    both.server.replication.malware[both.chain.snapshots[-1].moref] = "Suspicious"
    problems, [warning] = await both.said()
    assert not problems and "suspicious" in warning


async def test_a5_a_server_that_cannot_be_asked_leaves_the_marks_and_says_so(both: Both) -> None:
    call = "GET /api/v1/replicaPoints"
    both.world.centre.faults.add(FaultRule(both.server.name, call, FaultKind.REFUSE, times=9))
    try:
        problems, [warning] = await both.said()
    finally:
        both.world.centre.faults.clear()
    assert not problems and "known by the marks on their snapshots alone" in warning


async def test_a5_what_the_server_knows_is_asked_again_when_no_run_is_in_flight_any_more(both: Both) -> None:
    both.world.centre.provider.replicate(both.chain, "Restore Point 9", {"orders": "encrypted"})
    made = both.chain.snapshots[-1]
    both.server.replication.malware[made.moref] = "Infected"
    values = await both.world.values("acme", NAME)
    held = await both.world.call(HOLD, values)
    await both.world.call(RELEASE, values)
    assert held.replicas[0].points[-1].malware == "infected"


async def test_a5_a_server_that_cannot_be_asked_again_holds_all_the_same(both: Both) -> None:
    call = "GET /api/v1/replicaPoints"
    both.world.centre.faults.add(FaultRule(both.server.name, call, FaultKind.REFUSE, times=9))
    values = await both.world.values("acme", NAME)
    try:
        held = await both.world.call(HOLD, values)
        await both.world.call(RELEASE, values)
    finally:
        both.world.centre.faults.clear()
    assert held.changed and held.replicas is None


async def test_a_job_of_a_kind_that_rest_does_not_tell_is_warned_of_by_its_name(both: Both) -> None:
    both.server.add_job("CDP of mail", [], kind="Unknown")
    problems, [warning] = await both.said()
    assert not problems and "CDP of mail" in warning and "a hold may not reach it" in warning
