"""The forward steps, in the order of the procedure, with its branches side by side.

First of all the replica is marked, so that nothing is done that a later run could not find. Two deliberate
changes to the documented order: replication is held before the revert (a cycle in between would write into
the disk being booted), and the branches of replica and appliances do not wait for each other where nothing
in one needs the other.
"""

from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

from workflows import metrics
from workflows.concurrency import task_group
from workflows.failures import refusal, root_cause
from workflows.progress import Progress
from workflows.run import replica_key

with workflow.unsafe.imports_passed_through():
    from partial_failover.contracts import steps
    from partial_failover.contracts.base import Contract
    from partial_failover.contracts.errors import AlreadyInFailover, ApplianceChanged, LostLock
    from partial_failover.contracts.plan import FailoverPlan, TenantSite
    from partial_failover.contracts.replication import HoldTarget
    from partial_failover.contracts.request import PartialFailoverRequest
    from partial_failover.contracts.step import Step, StepName
    from partial_failover.contracts.step_data import (
        ApplianceStep,
        HoldInput,
        MarkInput,
        PowerOnInput,
        RevertInput,
        VpnClientInput,
        VpnServerInput,
    )

In = TypeVar("In", bound=Contract)
Out = TypeVar("Out", bound=Contract)

MOST_STARTS = 5
"""Of an appliance's side."""
MOST_LOOKS = 30
"""Times that the replica is looked for through the tunnel while its guest boots."""

REPLICA = {
    StepName.HOLD_REPLICATION,
    StepName.MARK_PROCESSING,
    StepName.REVERT_SNAPSHOT,
    StepName.POWER_ON_REPLICA,
}
PROVIDER_SIDE = {
    StepName.CONNECT_NETWORKS,
    StepName.POWER_ON_PROVIDER_APPLIANCE,
    StepName.START_VPN_SERVER,
    StepName.CONFIGURE_PROVIDER_PROXY_ARP,
}
TENANT_SIDE = {
    StepName.POWER_ON_TENANT_APPLIANCE,
    StepName.START_VPN_CLIENT,
    StepName.CONFIGURE_TENANT_PROXY_ARP,
}


class Failover:
    """One failover going forward. `begun` is what may have had an effect, and is taken back if it fails."""

    def __init__(
        self, progress: Progress, request: PartialFailoverRequest, plan: FailoverPlan, site: TenantSite
    ) -> None:
        self.progress, self.request, self.plan, self.site = progress, request, plan, site
        self.replica = replica_key(plan.replica_id)
        self.begun: set[StepName] = set()
        self.lost = False
        """Another run has the replica: whatever this one did is that one's now, and nothing is taken back."""
        self.chosen_at = plan.read_at
        """vCenter's clock when the restore point was chosen."""
        self.hold_is_known = False
        """Whether the hold said how it ended."""
        if plan.adoption:
            # What the failover that left it had begun is not known, so undo takes all of it back.
            self.begun |= REPLICA
            self.begun |= PROVIDER_SIDE if plan.side.appliance else set()
            self.begun |= TENANT_SIDE if site.appliance else set()
        self.started: datetime = workflow.info().start_time
        self.time_to_power_on: float | None = None
        self.time_to_reachable: float | None = None
        self._replicas = site.replicas
        """What the backup server knows of them, as it was asked last."""
        self._provider_fingerprint: str | None = None
        self._tenant_fingerprint: str | None = None
        self._server_listens = False

    async def go(self) -> None:
        """From Normal to Failover."""
        await self._mark_processing()
        await task_group(self._replica(), *self._sides())
        await self._do(steps.MARK_FAILOVER, self._mark(), "Mark it Failover")

    def _sides(self) -> list[Coroutine[object, object, None]]:
        """Those of the tunnel's ends that have an appliance."""
        sides = [self._provider_side()] if self.plan.side.appliance else []
        return sides + ([self._tenant_side()] if self.site.appliance else [])

    async def extend_again(self) -> None:
        """Bring the network extension up once more. Each step looks first; what stands is left alone."""
        self._provider_fingerprint = self._tenant_fingerprint = None
        self._server_listens = False
        await task_group(*self._sides())

    async def _replica(self) -> None:
        await self.hold()
        adoption = self.plan.adoption
        if adoption is None or adoption.revert:
            await self._revert()
        # Also one that was seen on: it may have been about to be switched off when its failover was ended.
        await self._power_on()

    async def _revert(self) -> None:
        plan, point = self.plan, self.plan.restore_point
        revert = RevertInput(
            **self.replica,
            point=point,
            not_before=plan.read_at,
            nics=plan.nics,
            choice=plan.choice,
            adopted=plan.adoption is not None,
            replicas=self._replicas,
        )
        title = f"Revert {plan.replica_name} to {point.name} of {point.created:%Y-%m-%d %H:%M} UTC"
        reverted = await self._do(steps.REVERT_SNAPSHOT, revert, title)
        if reverted.point is not None and reverted.instead:
            self.plan = plan.model_copy(update={"restore_point": reverted.point})
            self.chosen_at = reverted.at or plan.read_at
            self.progress.warn(reverted.instead)

    async def _power_on(self) -> None:
        title, adoption = f"Power on {self.plan.replica_name}", self.plan.adoption
        point = self.plan.restore_point if adoption is None or adoption.revert else None
        await self._do(steps.POWER_ON_REPLICA, PowerOnInput(**self.replica, point=point), title)
        self.time_to_power_on = self.progress.seconds_since(self.started)
        metrics.time_to_power_on(self.time_to_power_on)

    async def hold(self) -> None:
        """Keep replication off the replica. Looks first: called again, it repairs a hold that was lost."""
        if self.site.target is not None:
            data = self._hold_input(self.site.target)
            title = f"Hold replication of {self.plan.vm}"
            held = await self._do(steps.HOLD_REPLICATION, data, title)
            self._replicas = held.replicas
            self.hold_is_known = True

    def _hold_input(self, target: HoldTarget) -> HoldInput:
        return HoldInput(**self.replica, target=target)

    async def _mark_processing(self) -> None:
        """Whatever ends this workflow from outside after this, the marker is there to be adopted; before,
        there is nothing to take back."""
        title = f"Mark {self.plan.replica_name} Processing"
        data = self._mark().model_copy(update={"nics": self.plan.nics})
        await self._do(steps.MARK_PROCESSING, data, title)

    async def _provider_side(self) -> None:
        """Networks, power, VPN server, proxy ARP at the provider."""
        data = self.provider_step()
        await started_over(lambda: self._start_provider_side(data))

    async def _start_provider_side(self, data: ApplianceStep) -> None:
        count = len(self.plan.networks)
        title = f"Connect the provider's appliance to {count} organization VDC networks"
        await self._do(steps.CONNECT_NETWORKS, data, title)
        title = "Power on the provider's appliance"
        ready = await self._do(steps.POWER_ON_PROVIDER_APPLIANCE, data, title)
        self._provider_fingerprint = ready.fingerprint
        if self.site.appliance:
            await workflow.wait_condition(lambda: self._tenant_fingerprint is not None)
        peer = self._tenant_fingerprint or self.plan.side.peer_fingerprint or ""
        server = VpnServerInput(**self.replica, peer_fingerprint=peer)
        await self._do(steps.START_VPN_SERVER, server, "Start the VPN server")
        self._server_listens = True
        await self._announce_at_provider(data)

    async def _announce_at_provider(self, data: ApplianceStep) -> None:
        title = f"Configure proxy ARP for {self.plan.replica_name} at the provider"
        await self._do(steps.CONFIGURE_PROVIDER_PROXY_ARP, data, title)

    async def _tenant_side(self) -> None:
        """Power, VPN client, proxy ARP at the tenant's site."""
        data = self.tenant_step()
        await started_over(lambda: self._start_tenant_side(data))

    async def _start_tenant_side(self, data: ApplianceStep) -> None:
        title = "Power on the tenant's appliance"
        ready = await self._do(steps.POWER_ON_TENANT_APPLIANCE, data, title)
        self._tenant_fingerprint = ready.fingerprint
        if self.plan.side.appliance:
            await workflow.wait_condition(lambda: self._server_listens)
        peer = self._provider_fingerprint or self.plan.side.peer_fingerprint or ""
        gateway = self.plan.side.gateway
        if gateway is not None:
            client = VpnClientInput(
                **self.replica,
                leases=self.plan.leases,
                gateway=gateway,
                peer_fingerprint=peer,
            )
            await self._do(steps.START_VPN_CLIENT, client, "Start the VPN client")
        await self._announce_at_tenant(data)

    async def _announce_at_tenant(self, data: ApplianceStep) -> None:
        title = f"Configure proxy ARP for {self.plan.replica_name} at the tenant's site"
        await self._do(steps.CONFIGURE_TENANT_PROXY_ARP, data, title)

    async def verify(self) -> None:
        """Look for the replica through the tunnel until it answers. Decides nothing: it is measured."""
        data = self.tenant_step()
        title = f"Verify that production reaches {self.plan.replica_name}"
        for _ in range(MOST_LOOKS):
            try:
                seen = await self.progress.run(steps.VERIFY_CONNECTIVITY, data, title)
            except ActivityError as error:
                if is_cancelled_exception(error):
                    raise
                continue
            if seen.reachable:
                self.time_to_reachable = self.progress.seconds_since(self.started)
                metrics.time_to_reachable(self.time_to_reachable)
                self.progress.show()
                return
        self.progress.warn("The replica did not answer a ping through the tunnel; its firewall may forbid it")

    def provider_step(self) -> ApplianceStep:
        """Input of the steps on the provider's appliance."""
        return self._appliance_step(self.plan.side.appliance_was_on, StepName.CONFIGURE_PROVIDER_PROXY_ARP)

    def tenant_step(self) -> ApplianceStep:
        """Input of the steps on the tenant's appliance."""
        return self._appliance_step(self.site.appliance_was_on, StepName.CONFIGURE_TENANT_PROXY_ARP)

    def _appliance_step(self, was_on: bool, placing: StepName) -> ApplianceStep:
        return ApplianceStep(
            **self.replica,
            networks=self.plan.networks,
            leases=self.plan.leases,
            power_off_when_idle=not was_on or self.plan.adoption is not None,
            original_may_run=self.request.original_may_run,
            placed=placing in self.begun,
        )

    def _mark(self) -> MarkInput:
        adoption = self.plan.adoption
        return MarkInput(
            **self.replica,
            restore_point=self.plan.restore_point.id,
            takes_over=adoption.run_id if adoption else None,
        )

    async def _do(self, step: Step[In, Out], data: In, title: str) -> Out:
        self.begun.add(step.name)  # before the call: an unknown outcome is taken back too
        try:
            return await self.progress.run(step, data, title)
        except ActivityError as error:
            self.see_whether_lost(error)
            raise

    def lock_is_gone(self) -> ApplicationError:
        """How it ends when somebody ended its lock: whoever starts next may have the replica."""
        self.lost = True
        name = self.plan.replica_name
        return refusal(
            LostLock(
                f"Somebody ended the lock of {name}, without which this failover may change nothing",
                left=f"{name} was left as it is, in Failover, with all that it wrote",
                do='Start another failover of it with "adopt": true',
            )
        )

    def see_whether_lost(self, error: ActivityError) -> None:
        """Remember it when a step was refused because another run has the replica."""
        self.lost = self.lost or root_cause(error).type in (LostLock.__name__, AlreadyInFailover.__name__)


async def started_over(side: Callable[[], Awaitable[None]]) -> None:
    """An appliance's side; again from its beginning when another failover's end switched it off meanwhile."""
    for start in range(MOST_STARTS):
        try:
            return await side()
        except ActivityError as error:
            if root_cause(error).type != ApplianceChanged.__name__ or start == MOST_STARTS - 1:
                raise
