"""A6, in the workflows: the page and the result say which restore point was used, and why it is another."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import activity
from temporalio.client import Client

from partial_failover.contracts.failover_test import TestResult
from partial_failover.contracts.replica import ReplicaState, RestorePoint
from partial_failover.contracts.replication import ReplicaPoint, ReplicaRecord
from partial_failover.contracts.step import StepName
from partial_failover.contracts.step_data import (
    HeldReplication,
    HoldInput,
    MarkInput,
    Reverted,
    RevertInput,
    StepResult,
)
from tests.workflows.conftest import client
from tests.workflows.runs import ONE, in_state, report_of, run_test, start, workers
from tests.workflows.testing_world import TestingWorld

__all__ = ["client"]

SAYS = "It stands on three, not on one as planned"


Steps = Sequence[Callable[..., Any]]  # Any: each step has its own input and result


def _without(names: Sequence[StepName], acts: Steps) -> Steps:
    return [step for step in acts if activity._Definition.must_from_callable(step).name not in names]


class DrainedWorld(TestingWorld):
    """While a run was waited for it made a restore point, which the replica was reverted to."""

    __test__ = False

    def __init__(self) -> None:
        super().__init__()
        self.marked: list[str | None] = []
        self.told: list[tuple[ReplicaRecord, ...] | None] = []
        now = datetime.now(UTC)
        self.made = RestorePoint(id="snapshot-3", number=3, name="three", created=now)
        scanned = ReplicaPoint(created=now, malware="clean")
        self.known = (ReplicaRecord(state="ready", points=(scanned,)),)

    def provider(self) -> Steps:
        own = (StepName.REVERT_SNAPSHOT, StepName.MARK_FAILOVER)
        return [*_without(own, super().provider()), self.revert_now, self.mark_point]

    def tenant_site(self) -> Steps:
        return [*_without((StepName.HOLD_REPLICATION,), super().tenant_site()), self.hold_and_look]

    @activity.defn(name=StepName.HOLD_REPLICATION)
    async def hold_and_look(self, data: HoldInput) -> HeldReplication:
        await self._enter(StepName.HOLD_REPLICATION)
        self.effects.add("held")
        return HeldReplication(changed=True, note="held", replicas=self.known)

    @activity.defn(name=StepName.REVERT_SNAPSHOT)
    async def revert_now(self, data: RevertInput) -> Reverted:
        await self._enter(StepName.REVERT_SNAPSHOT)
        self.stands_on = data.point.id
        self.told.append(data.replicas)
        at = self.made.created + timedelta(seconds=5)
        return Reverted(changed=True, note="reverted", point=self.made, instead=SAYS, at=at)

    @activity.defn(name=StepName.MARK_FAILOVER)
    async def mark_point(self, data: MarkInput) -> StepResult:
        self.marked.append(data.restore_point)
        return await self._mark(StepName.MARK_FAILOVER, ReplicaState.FAILOVER)


async def test_a6_the_result_has_the_point_that_was_used_and_says_why(client: Client) -> None:
    world = DrainedWorld()
    async with workers(client, world):
        handle = await start(client, {"vm": "erp-db-01"})
        await in_state(handle, ReplicaState.FAILOVER)
        await handle.execute_update("undo", {})
        report = await report_of(handle)
    assert report.restore_point == world.made and report.restore_point_age_s >= 0
    assert SAYS in report.warnings and world.marked == ["snapshot-3"]
    assert world.told == [world.known], "what the backup server knew after the drain"


async def test_a6_a_test_measures_the_point_that_was_used(client: Client) -> None:
    """The one that was planned is of January, the one that was used of now."""
    world = DrainedWorld()
    world.newest = world.made
    asked = {**ONE, "restore_point": "snapshot-1", "rpo": "4h", "deadline": "30m"}
    async with workers(client, world):
        (vm,) = (await run_test(client, asked)).vms
    assert vm.result is TestResult.PASSED and vm.restore_point is not None
    assert vm.restore_point.id == "snapshot-3" and vm.rpo.measured_s == 5.0 and SAYS in vm.warnings
