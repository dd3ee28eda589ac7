"""Taking a failover back: undo in Failover, and the compensation of one that failed or was cancelled.

| step that was begun                                                 | its effect               | taken back by                                     | what stays                      |
|---------------------------------------------------------------------|--------------------------|---------------------------------------------------|---------------------------------|
| PowerOnReplica, PowerOnIsolated                                     | replica on               | PowerOffReplica                                   |                                 |
| StartVpnClient, ConfigureTenantProxyArp, PowerOnTenantAppliance     | lease, tunnel, power     | RemoveTenantProxyArp, PowerOffTenantAppliance     | other leases, power from before |
| StartVpnServer, ConfigureProviderProxyArp, PowerOnProviderAppliance | lease, tunnel, power     | RemoveProviderProxyArp, PowerOffProviderAppliance | other leases, power from before |
| ConnectNetworks                                                     | networks and NICs        | DisconnectNetworks                                | networks from before            |
| IsolateReplica                                                      | NICs                     | RevertToLatest                                    |                                 |
| RevertSnapshot                                                      | disk at the chosen point | PowerOffReplica, RevertToLatest                   | restore points                  |
| MarkProcessing, MarkFailover, MarkFailedFailover                    | marker                   | MarkNormal                                        | another run's marker            |
| HoldReplication                                                     | exclusion                | ConfirmNormal, ReleaseReplication                 | another's exclusion             |

Replication is released last, and only against the proof "powered off, reverted, Normal".
"""  # noqa: E501

from datetime import datetime, timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError

from workflows.concurrency import task_group
from workflows.failover import PROVIDER_SIDE, TENANT_SIDE, Failover
from workflows.failures import is_final, root_cause

with workflow.unsafe.imports_passed_through():
    from partial_failover.contracts import steps
    from partial_failover.contracts.base import Contract
    from partial_failover.contracts.replica import ReplicaState
    from partial_failover.contracts.replication import HoldTarget
    from partial_failover.contracts.step import Step, StepName
    from partial_failover.contracts.step_data import (
        ApplianceStep,
        CleanInput,
        MarkInput,
        PoweredOff,
        ReleaseInput,
        ReplicaInput,
        RevertToLatestInput,
        StepResult,
    )

In = TypeVar("In", bound=Contract)
Out = TypeVar("Out", bound=Contract)

REVERT_LASTS = timedelta(minutes=5)
"""What was reverted longer ago, because something else could not be taken back, is reverted once more before
it counts as Normal: the less time there is in which somebody may have used it, the better."""

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=1), timedelta(minutes=2)
"""Between two attempts to release."""


class Compensation:
    """Takes back what `failover` has begun. `left_over` says in plain words what could not be."""

    def __init__(self, failover: Failover) -> None:
        self.failover, self.plan, self.progress = failover, failover.plan, failover.progress
        self.left_over: list[str] = []
        self._off: PoweredOff | None = None
        self._reverted: datetime | None = None
        self._out: set[StepName] = set()
        """Steps at the networks that are done: not again when a person repaired the rest."""

    async def run(self) -> None:
        """To Normal; or, where something cannot be taken back, the rest is, and the state says so."""
        if self.failover.lost:
            self.left_over = [f"{self.plan.replica_name} was left as it is"]
            return
        again, self.left_over = bool(self.left_over), []
        if again or StepName.MARK_FAILOVER in self.failover.begun:
            await self._begin()
        await self._replica_off()
        await task_group(self._networks_out(), self._replica_back())
        if not self.left_over:
            await self._normal()
        if self.left_over:
            await self._try(steps.MARK_FAILED_FAILOVER, self._mark(), "Mark it FailedFailover")

    async def _begin(self) -> None:
        """From here on what the replica wrote may be lost."""
        mark = self._mark().model_copy(update={"discard": True})
        await self._try(steps.BEGIN_UNDO, mark, "Begin to undo")

    async def _replica_off(self) -> None:
        if self.failover.begun & {StepName.POWER_ON_REPLICA, StepName.REVERT_SNAPSHOT}:
            title = f"Power off {self.plan.replica_name}"
            off = await self._try(steps.POWER_OFF_REPLICA, ReplicaInput(**self.failover.replica), title)
            if off is None or off.changed or self._off is None:
                self._off = off  # else a revert since the first power-off still counts

    async def _networks_out(self) -> None:
        """The tenant's side first, so that production stops sending into the tunnel."""
        begun = self.failover.begun
        if begun & TENANT_SIDE:
            data = self.failover.tenant_step()
            title = f"Remove proxy ARP for {self.plan.replica_name} at the tenant's site"
            await self._once(steps.REMOVE_TENANT_PROXY_ARP, data, title)
            title = "Power off the tenant's appliance if nobody uses it"
            await self._once(steps.POWER_OFF_TENANT_APPLIANCE, data, title)
        if begun & PROVIDER_SIDE:
            data = self.failover.provider_step()
            if begun & (PROVIDER_SIDE - {StepName.CONNECT_NETWORKS}):
                title = f"Remove proxy ARP for {self.plan.replica_name} at the provider"
                await self._once(steps.REMOVE_PROVIDER_PROXY_ARP, data, title)
                title = "Power off the provider's appliance if nobody uses it"
                await self._once(steps.POWER_OFF_PROVIDER_APPLIANCE, data, title)
            title = "Disconnect the provider's appliance from the networks"
            await self._once(steps.DISCONNECT_NETWORKS, data, title)

    async def _replica_back(self) -> None:
        """Discards what the replica wrote; the step itself refuses unless it is off and Processing."""
        if self._off is None:
            return
        data = RevertToLatestInput(**self.failover.replica, not_before=self._off.at, nics=self.plan.nics)
        title = f"Revert {self.plan.replica_name} to its latest restore point"
        await self._try(steps.REVERT_TO_LATEST, data, title)
        self._reverted = workflow.now()

    async def _normal(self) -> None:
        """Mark it Normal, then release. Of what was done long ago nobody knows whether it is still so."""
        await self._back_again_if_stale()
        await self._mark_normal()
        target = self.failover.site.target
        if not self.left_over and target is not None and StepName.HOLD_REPLICATION in self.failover.begun:
            await self._release(target)

    async def _mark_normal(self) -> None:
        if not self.left_over:
            title = f"Mark {self.plan.replica_name} Normal"
            await self._try(steps.MARK_NORMAL, self._clean(), title)

    async def _back_again_if_stale(self) -> bool:
        if self._reverted is None or workflow.now() - self._reverted < REVERT_LASTS:
            return False
        await self._begin()
        await self._replica_off()
        await self._replica_back()
        return True

    async def _release(self, target: HoldTarget) -> None:
        """For as long as any compensation, each time with a new proof: an old one is worth nothing."""
        title, begun, pause = f"Release replication of {self.plan.vm}", workflow.now(), FIRST_PAUSE
        while True:
            if await self._back_again_if_stale():
                await self._mark_normal()
            if self.left_over:
                return
            confirm = "Confirm: powered off, reverted, Normal"
            proof = await self._try(steps.CONFIRM_NORMAL, self._clean(), confirm)
            if proof is None:
                return
            data = ReleaseInput(
                **self.failover.replica,
                target=target,
                proof=proof,
                unsure=not self.failover.hold_is_known and not self.failover.site.excluded,
            )
            try:
                await self.progress.run(steps.RELEASE_REPLICATION, data, title)
                return
            except ActivityError as error:
                if is_final(error) or workflow.now() - begun > steps.BACKWARD.whole:
                    self._leave(title, error)
                    return
                await workflow.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    async def _once(self, step: Step[ApplianceStep, StepResult], data: ApplianceStep, title: str) -> None:
        if step.name not in self._out and await self._try(step, data, title) is not None:
            self._out.add(step.name)

    async def _try(self, step: Step[In, Out], data: In, title: str) -> Out | None:
        """Run a compensation; one that cannot be done is written down, and the rest still runs."""
        if self.failover.lost:
            return None
        try:
            return await self.progress.run(step, data, title)
        except ActivityError as error:
            self._leave(title, error)
            return None

    def _leave(self, title: str, error: ActivityError) -> None:
        self.failover.see_whether_lost(error)
        self.left_over.append(f"{title}: {root_cause(error).message}")

    def _mark(self) -> MarkInput:
        return MarkInput(**self.failover.replica)

    def _clean(self) -> CleanInput:
        since = self._off.at if self._off else self.plan.read_at
        return CleanInput(**self.failover.replica, not_before=since, reverted=self._off is not None)

    @property
    def state(self) -> ReplicaState:
        """Where the replica stands after `run`."""
        return ReplicaState.FAILED_FAILOVER if self.left_over else ReplicaState.NORMAL
