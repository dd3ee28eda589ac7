"""The small world, with the steps that only failover tests have."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from temporalio import activity

from partial_failover.contracts.appliance import LargePackets
from partial_failover.contracts.check import CheckInput, CheckOutcome, CheckResult, called
from partial_failover.contracts.failover_test import RecordTestInput, TestRecord, TestRecords
from partial_failover.contracts.plan import PlanInput, PlanResult
from partial_failover.contracts.replica import Power, ReplicaState
from partial_failover.contracts.report import ReplicaList, ReplicaSummary
from partial_failover.contracts.request import ListReplicasRequest
from partial_failover.contracts.step import StepName
from partial_failover.contracts.step_data import (
    ApplianceStep,
    IsolateInput,
    PoweredOff,
    ReplicaInput,
    RevertToLatestInput,
    StepResult,
    TunnelSeen,
)
from tests.workflows.world import NEW, OLD, World


class TestingWorld(World):
    """`guest_up`: whether the guest comes up. `records`: what was kept of tests, newest last."""

    __test__ = False

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.guest_up = True
        self.skipping: set[str] = set()
        """Kinds of checks that cannot be made."""
        self.newest = OLD
        self.found: PlanResult | None = None
        """What preflight finds, if not a plan."""
        self.replicas = ("erp-db-01", "erp-web-01", "mail-01")
        self.records: list[tuple[str, TestRecord]] = []
        self.most_at_once = self._at_once = 0

    def provider(self) -> Sequence[Callable[..., Any]]:  # Any: each step has its own input and result
        """With the steps of tests."""
        own: list[Callable[..., Any]] = [self.isolate, self.power_on_isolated, self.check]
        return [*super().provider(), *own, self.record, self.inspect]

    def tenant_site(self) -> Sequence[Callable[..., Any]]:  # Any: each step has its own input and result
        """With the steps of tests."""
        return [*super().tenant_site(), self.verify_tunnel]

    @activity.defn(name=StepName.PLAN_FAILOVER)
    async def plan(self, data: PlanInput) -> PlanResult:
        """In use, or left by somebody, where the test says so."""
        result = self.found or await World.plan(self, data)
        if self.found is not None:
            await self._enter(StepName.PLAN_FAILOVER)
        if result.plan is None:
            return result
        vm = data.request.vm.removesuffix("_replica")
        return PlanResult(plan=result.plan.model_copy(update={"vm": vm, "newest": self.newest}))

    @activity.defn(name=StepName.ISOLATE_REPLICA)
    async def isolate(self, data: IsolateInput) -> StepResult:
        """Only Processing, reverted and off."""
        assert self.marker is ReplicaState.PROCESSING and self.stands_on == OLD.id
        assert "on" not in self.effects
        await self._enter(StepName.ISOLATE_REPLICA)
        self.effects.add("isolated")
        return StepResult(changed=True, note="isolated")

    @activity.defn(name=StepName.POWER_ON_ISOLATED)
    async def power_on_isolated(self, data: ReplicaInput) -> StepResult:
        """Never while it is connected."""
        assert "isolated" in self.effects
        await self._enter(StepName.POWER_ON_ISOLATED)
        self.effects.add("on")
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        return StepResult(changed=True, note="on")

    @activity.defn(name=StepName.POWER_OFF_REPLICA)
    async def power_off(self, data: ReplicaInput) -> PoweredOff:
        """Off."""
        self._at_once -= "on" in self.effects
        return await World.power_off(self, data)

    @activity.defn(name=StepName.REVERT_TO_LATEST)
    async def to_latest(self, data: RevertToLatestInput) -> StepResult:
        """Its NICs come back too."""
        done = await World.to_latest(self, data)
        self.effects.discard("isolated")
        return done

    @activity.defn(name=StepName.CHECK_GUEST)
    async def check(self, data: CheckInput) -> CheckResult:
        """Only while it is on."""
        await self._enter(StepName.CHECK_GUEST)
        assert "on" in self.effects
        outcome = CheckOutcome.PASS if self.guest_up else CheckOutcome.FAIL
        outcome = CheckOutcome.SKIPPED if data.check.check in self.skipping else outcome
        return CheckResult(what=called(data.check), outcome=outcome, reason=f"up: {self.guest_up}", after_s=1)

    @activity.defn(name=StepName.VERIFY_TUNNEL)
    async def verify_tunnel(self, data: ApplianceStep) -> TunnelSeen:
        """Connected when both ends run. No lease may be there."""
        await self._enter(StepName.VERIFY_TUNNEL)
        assert {"server", "client"} <= self.effects and not {"provider lease", "tenant lease"} & self.effects
        large = LargePackets.LOST if self.large_lost else LargePackets.PASS
        return TunnelSeen(changed=False, note="connected", connected=True, large=large)

    @activity.defn(name=StepName.RECORD_TEST)
    async def record(self, data: RecordTestInput) -> StepResult:
        """Kept, when everything is back."""
        await self._enter(StepName.RECORD_TEST)
        earlier = TestRecords(tests=tuple(r for vm, r in reversed(self.records) if vm == data.vm))
        self.records.append((data.vm, earlier.with_new(data.record).tests[0]))
        return StepResult(changed=True, note="kept")

    @activity.defn(name=StepName.INSPECT_REPLICAS)
    async def inspect(self, data: ListReplicasRequest) -> ReplicaList:
        """All replicas, with the last test of each."""
        await self._enter(StepName.INSPECT_REPLICAS)
        return ReplicaList(
            read_at=datetime.now(UTC), replicas=tuple(self._summary(vm) for vm in self.replicas)
        )

    def _summary(self, vm: str) -> ReplicaSummary:
        tests = tuple(record for name, record in reversed(self.records) if name == vm)
        return ReplicaSummary(
            vm=vm,
            replica=f"{vm}_replica",
            state=ReplicaState.NORMAL,
            power=Power.OFF,
            addresses=(),
            restore_points=(NEW, OLD),
            last_tests=tests[:3],
        )
