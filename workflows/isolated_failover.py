"""The forward steps of a failover test: those of a failover, with the replica kept apart."""

from temporalio import workflow

from workflows.concurrency import task_group
from workflows.failover import Failover, started_over
from workflows.progress import Progress
from workflows.watch import LARGE_LOST, LARGE_LOST_DO

with workflow.unsafe.imports_passed_through():
    from partial_failover.contracts import steps
    from partial_failover.contracts.appliance import LargePackets
    from partial_failover.contracts.failover_test import TestNetwork, VmTestRequest
    from partial_failover.contracts.plan import FailoverPlan, TenantSite
    from partial_failover.contracts.replication import HoldTarget
    from partial_failover.contracts.request import PartialFailoverRequest
    from partial_failover.contracts.step_data import (
        ApplianceStep,
        HoldInput,
        IsolateInput,
        MarkInput,
        ReplicaInput,
    )


class IsolatedFailover(Failover):
    """Hold, revert and power-on as in a failover; before the power-on the replica is isolated. It is marked
    Processing for the whole of its test, never Failover, so that whatever it writes may be discarded."""

    def __init__(self, progress: Progress, test: VmTestRequest, plan: FailoverPlan, site: TenantSite) -> None:
        # The replica is alone on its network, so the original may run.
        failover = PartialFailoverRequest(vm=test.vm, restore_point=test.restore_point, original_may_run=True)
        super().__init__(progress, failover, plan, site)
        self.extends = test.network is TestNetwork.EXTENSION
        self.time_to_tunnel: float | None = None

    async def go(self) -> None:
        """From Normal until the replica is on, and the tunnel is up where that is tested too."""
        await self._mark_processing()
        branches = [self._replica()]
        if self.extends and (self.plan.side.appliance or self.site.appliance):
            branches.append(self._tunnel())
        elif self.extends:
            self.progress.warn("No appliance extends this tenant's networks, so there was no tunnel to test")
        await task_group(*branches)

    async def _tunnel(self) -> None:
        """The tunnel alone. No address is announced at either end: there is no lease."""
        await started_over(self._see_tunnel)
        self.time_to_tunnel = self.progress.seconds_since(self.started)

    async def _see_tunnel(self) -> None:
        await self.extend_again()
        title = "Wait until the tunnel is connected"
        if self.site.appliance:
            seen = await self.progress.run(steps.VERIFY_TENANT_TUNNEL, self.tenant_step(), title)
        else:
            seen = await self.progress.run(steps.VERIFY_PROVIDER_TUNNEL, self.provider_step(), title)
        if seen.large is LargePackets.LOST:
            self.progress.warn(f"{LARGE_LOST}. {LARGE_LOST_DO}")

    async def _announce_at_provider(self, data: ApplianceStep) -> None:
        """Not in a test."""

    async def _announce_at_tenant(self, data: ApplianceStep) -> None:
        """Not in a test."""

    async def _power_on(self) -> None:
        name = self.plan.replica_name
        isolate = IsolateInput(**self.replica, nics=self.plan.nics)
        await self._do(steps.ISOLATE_REPLICA, isolate, f"Isolate {name}")
        power_on = ReplicaInput(**self.replica)
        await self._do(steps.POWER_ON_ISOLATED, power_on, f"Power on {name}, isolated")
        self.time_to_power_on = self.progress.seconds_since(self.started)

    def _hold_input(self, target: HoldTarget) -> HoldInput:
        """A job that is at work for too long has precedence: it is production's protection."""
        return super()._hold_input(target).model_copy(update={"may_stop": False})

    def _mark(self) -> MarkInput:
        return super()._mark().model_copy(update={"test": True})
