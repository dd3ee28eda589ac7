"""A small world behind activities of the product's names: what is held, on, reverted, leased, marked.

It stands for both workers, so that workflow logic can be tested with time skipping. Each effect is refused
when the world is not in a state in which the real step would act.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from partial_failover.contracts.appliance import Claim, Lease
from partial_failover.contracts.errors import Who
from partial_failover.contracts.network import Network, Nic
from partial_failover.contracts.plan import (
    Adoption,
    CloudGateway,
    Extension,
    FailoverPlan,
    PlanInput,
    PlanResult,
    Problem,
    ProviderSide,
    TenantSite,
    TenantSiteInput,
)
from partial_failover.contracts.replica import Power, ReplicaState, RestorePoint
from partial_failover.contracts.replication import HoldTarget
from partial_failover.contracts.run import lease_id
from partial_failover.contracts.step import StepName
from partial_failover.contracts.step_data import (
    ApplianceReady,
    ApplianceStep,
    CleanInput,
    Connectivity,
    HoldInput,
    MarkInput,
    NormalProof,
    PoweredOff,
    PowerOnInput,
    ReleaseInput,
    ReplicaInput,
    ReplicaSeen,
    RevertInput,
    RevertToLatestInput,
    StepResult,
    VpnClientInput,
    VpnServerInput,
    WatchInput,
    WatchReplicaInput,
    WatchStatus,
)

REPLICA = "5b0f3a5e-0000-4000-8000-000000000001"
OLD, NEW = (
    RestorePoint(id="snapshot-1", number=1, name="one", created=datetime(2026, 1, 1, tzinfo=UTC)),
    RestorePoint(id="snapshot-2", number=2, name="two", created=datetime(2026, 1, 2, tzinfo=UTC)),
)
LAN = Network(
    id="urn:vcloud:network:1",
    name="acme-lan-a",
    subnet=IPv4Network("192.168.10.0/24"),
    gateway=IPv4Address("192.168.10.1"),
)
ADDRESS = IPv4Address("192.168.10.50")
FORWARD = (
    StepName.HOLD_REPLICATION,
    StepName.MARK_PROCESSING,
    StepName.REVERT_SNAPSHOT,
    StepName.POWER_ON_REPLICA,
    StepName.CONNECT_NETWORKS,
    StepName.POWER_ON_PROVIDER_APPLIANCE,
    StepName.START_VPN_SERVER,
    StepName.CONFIGURE_PROVIDER_PROXY_ARP,
    StepName.POWER_ON_TENANT_APPLIANCE,
    StepName.START_VPN_CLIENT,
    StepName.CONFIGURE_TENANT_PROXY_ARP,
    StepName.MARK_FAILOVER,
)


class World:
    """`log` is every step that ran to its end. `fail` makes steps fail for good; `block` makes them wait."""

    def __init__(self, extension: Extension = Extension.APPLIANCE, watched: bool = True) -> None:
        """`watched`: False where time is to skip, which it does not while a step runs."""
        self.extension, self.watched = extension, watched
        self.provider_appliance = self.tenant_appliance = extension is Extension.APPLIANCE
        self.gateway: CloudGateway | None = CloudGateway(host="203.0.113.1", port=6180)
        self.peer_fingerprint: str | None = None
        self.spares: dict[str, dict[str, IPv4Address]] = {"provider": {}, "tenant": {}}
        self.log: list[StepName] = []
        self.watches: list[WatchStatus] = []
        """What the workflow knew at each watch that began."""
        self.claims: tuple[Claim, ...] = ()
        self.tunnel_unknown = self.large_lost = False
        self.replica_seen = ReplicaSeen(booted=datetime(2026, 1, 3, tzinfo=UTC))
        self.replica_watches: list[ReplicaSeen] = []
        """As `watches`, of the replica itself."""
        self.fail: dict[StepName, list[ApplicationError]] = {}
        self.block: set[StepName] = set()
        self.reached: dict[StepName, asyncio.Event] = {}
        self.effects: set[str] = set()
        self.marker: ReplicaState | None = None
        self.stands_on = NEW.id
        self.written = ""
        self.adoption: Adoption | None = None
        self.problems: dict[str, tuple[Problem, ...]] = {"provider": (), "tenant": ()}

    def left_over(self) -> set[str]:
        """Whatever a finished undo may not leave."""
        marker = {f"marker {self.marker}"} if self.marker else set()
        return self.effects | marker | ({"not latest"} if self.stands_on != NEW.id else set())

    def left_by_a_failover(self, running: bool) -> None:
        """As a failover that was terminated leaves it: all in place, and the replica on or off."""
        self.effects |= {"held", "networks", "provider appliance on", "server", "provider lease"}
        self.effects |= {"tenant appliance on", "client", "tenant lease"} | ({"on"} if running else set())
        self.marker, self.stands_on, self.written = ReplicaState.FAILOVER, OLD.id, "orders"
        self.adoption = Adoption(workflow_id="gone", run_id="gone", revert=False)

    def refuse(self, step: StepName, kind: str = "NoRight", times: int = 1) -> None:
        """`step` fails for good, `times` times, then works again."""
        error = ApplicationError(f"no {step}", type=kind, non_retryable=True)
        self.fail[step] = [error] * times

    async def _enter(self, step: StepName) -> None:
        self.reached.setdefault(step, asyncio.Event()).set()
        while step in self.block:
            activity.heartbeat()
            await asyncio.sleep(0.02)
        if self.fail.get(step):
            raise self.fail[step].pop()
        self.log.append(step)

    def provider(self) -> Sequence[Callable[..., Any]]:  # Any: each step has its own input and result
        """Steps of the provider's queue."""
        acts = [
            self._effect(StepName.CONNECT_NETWORKS, ApplianceStep, "networks"),
            self._appliance(StepName.POWER_ON_PROVIDER_APPLIANCE, "provider appliance on"),
            self._effect(StepName.START_VPN_SERVER, VpnServerInput, "server"),
            self._effect(StepName.CONFIGURE_PROVIDER_PROXY_ARP, ApplianceStep, "provider lease"),
            self._undo(StepName.REMOVE_PROVIDER_PROXY_ARP, "provider lease", "server"),
            self._undo(StepName.POWER_OFF_PROVIDER_APPLIANCE, "provider appliance on"),
            self._undo(StepName.DISCONNECT_NETWORKS, "networks"),
        ]
        return [
            *acts,
            self.plan,
            self.mark_processing,
            self.mark_failover,
            self.mark_failed,
            self.mark_normal,
            self.revert,
            self.power_on,
            self.power_off,
            self.resume,
            self.to_latest,
            self.confirm,
        ]

    def tenant_site(self) -> Sequence[Callable[..., Any]]:  # Any: each step has its own input and result
        """Steps of the tenant-site's queue."""
        return [
            self._appliance(StepName.POWER_ON_TENANT_APPLIANCE, "tenant appliance on"),
            self._effect(StepName.START_VPN_CLIENT, VpnClientInput, "client"),
            self._effect(StepName.CONFIGURE_TENANT_PROXY_ARP, ApplianceStep, "tenant lease"),
            self._undo(StepName.REMOVE_TENANT_PROXY_ARP, "tenant lease", "client"),
            self._undo(StepName.POWER_OFF_TENANT_APPLIANCE, "tenant appliance on"),
            self.check_site,
            self.hold,
            self.release,
            self.verify,
        ]

    def _effect(self, step: StepName, takes: type, effect: str) -> Callable[..., Any]:  # Any: see provider
        async def run(data: Any) -> StepResult:  # Any: the annotation is set below
            await self._enter(step)
            self.effects.add(effect)
            return StepResult(changed=True, note=effect)

        run.__annotations__["data"] = takes
        return activity.defn(name=step)(run)

    def _appliance(self, step: StepName, effect: str) -> Callable[..., Any]:  # Any: see provider
        @activity.defn(name=step)
        async def run(data: ApplianceStep) -> ApplianceReady:
            await self._enter(step)
            self.effects.add(effect)
            return ApplianceReady(changed=True, note=effect, fingerprint=":".join(["AB"] * 32))

        return run

    def _undo(self, step: StepName, *effects: str) -> Callable[..., Any]:  # Any: see provider
        @activity.defn(name=step)
        async def run(data: ApplianceStep) -> StepResult:
            await self._enter(step)
            self.effects -= set(effects)
            return StepResult(changed=True, note="out")

        return run

    @activity.defn(name=StepName.PLAN_FAILOVER)
    async def plan(self, data: PlanInput) -> PlanResult:
        """The one replica of this world."""
        await self._enter(StepName.PLAN_FAILOVER)
        if self.problems["provider"]:
            return PlanResult(plan=None, problems=self.problems["provider"])
        side = ProviderSide(
            extension=self.extension,
            appliance=self.provider_appliance,
            gateway=self.gateway,
            peer_fingerprint=self.peer_fingerprint,
            spares=self.spares["provider"],
        )
        plan = FailoverPlan(
            vm=data.request.vm,
            replica_id=REPLICA,
            replica_name=f"{data.request.vm}_replica",
            restore_point=OLD,
            leases=(Lease(id=lease_id(REPLICA, 0), network=LAN.name, address=ADDRESS),),
            nics=(Nic(index=0, network=LAN.name, address=ADDRESS),),
            networks=(LAN,),
            side=side,
            adoption=self.adoption,
            read_at=datetime.now(UTC),
        )
        return PlanResult(plan=plan)

    @activity.defn(name=StepName.CHECK_TENANT_SITE)
    async def check_site(self, data: TenantSiteInput) -> TenantSite:
        """The tenant's backup server knows the VM."""
        await self._enter(StepName.CHECK_TENANT_SITE)
        target = HoldTarget(name=data.vm, object_id="vm-1", host="vc", jobs=("job",))
        return TenantSite(
            target=target,
            appliance=self.tenant_appliance,
            spares=self.spares["tenant"],
            problems=self.problems["tenant"],
        )

    @activity.defn(name=StepName.HOLD_REPLICATION)
    async def hold(self, data: HoldInput) -> StepResult:
        """Replication is held."""
        await self._enter(StepName.HOLD_REPLICATION)
        self.effects.add("held")
        return StepResult(changed=True, note="held")

    @activity.defn(name=StepName.RELEASE_REPLICATION)
    async def release(self, data: ReleaseInput) -> StepResult:
        """The world's own gate: a written-to or running replica must never be replicated onto."""
        assert self.stands_on == NEW.id and "on" not in self.effects and self.marker is None
        await self._enter(StepName.RELEASE_REPLICATION)
        self.effects.discard("held")
        return StepResult(changed=True, note="released")

    async def _mark(self, step: StepName, state: ReplicaState | None) -> StepResult:
        await self._enter(step)
        self.marker = state
        return StepResult(changed=True, note=str(state))

    @activity.defn(name=StepName.MARK_PROCESSING)
    async def mark_processing(self, data: MarkInput) -> StepResult:
        """Processing."""
        return await self._mark(StepName.MARK_PROCESSING, ReplicaState.PROCESSING)

    @activity.defn(name=StepName.MARK_FAILOVER)
    async def mark_failover(self, data: MarkInput) -> StepResult:
        """Failover."""
        return await self._mark(StepName.MARK_FAILOVER, ReplicaState.FAILOVER)

    @activity.defn(name=StepName.MARK_FAILED_FAILOVER)
    async def mark_failed(self, data: MarkInput) -> StepResult:
        """FailedFailover."""
        return await self._mark(StepName.MARK_FAILED_FAILOVER, ReplicaState.FAILED_FAILOVER)

    @activity.defn(name=StepName.MARK_NORMAL)
    async def mark_normal(self, data: CleanInput) -> StepResult:
        """Normal: no marker."""
        return await self._mark(StepName.MARK_NORMAL, None)

    @activity.defn(name=StepName.REVERT_SNAPSHOT)
    async def revert(self, data: RevertInput) -> StepResult:
        """Only held, Processing and off."""
        assert "held" in self.effects and self.marker is ReplicaState.PROCESSING
        assert "on" not in self.effects
        await self._enter(StepName.REVERT_SNAPSHOT)
        self.stands_on = data.point.id
        return StepResult(changed=True, note="reverted")

    @activity.defn(name=StepName.REVERT_TO_LATEST)
    async def to_latest(self, data: RevertToLatestInput) -> StepResult:
        """Only Processing and off."""
        assert self.marker is ReplicaState.PROCESSING and "on" not in self.effects
        await self._enter(StepName.REVERT_TO_LATEST)
        self.stands_on, self.written = NEW.id, ""
        return StepResult(changed=True, note="reverted")

    @activity.defn(name=StepName.POWER_ON_REPLICA)
    async def power_on(self, data: PowerOnInput) -> StepResult:
        """On, after the revert."""
        assert self.stands_on == OLD.id
        await self._enter(StepName.POWER_ON_REPLICA)
        self.effects.add("on")
        return StepResult(changed=True, note="on")

    @activity.defn(name=StepName.POWER_OFF_REPLICA)
    async def power_off(self, data: ReplicaInput) -> PoweredOff:
        """Off; only Processing."""
        assert self.marker is ReplicaState.PROCESSING
        await self._enter(StepName.POWER_OFF_REPLICA)
        self.effects.discard("on")
        return PoweredOff(changed=True, note="off", at=datetime.now(UTC))

    @activity.defn(name=StepName.CONFIRM_NORMAL)
    async def confirm(self, data: CleanInput) -> NormalProof:
        """The proof."""
        await self._enter(StepName.CONFIRM_NORMAL)
        return NormalProof(replica_id=REPLICA, run=data.run, restore_point=NEW, read_at=datetime.now(UTC))

    @activity.defn(name=StepName.VERIFY_CONNECTIVITY)
    async def verify(self, data: ApplianceStep) -> Connectivity:
        """Reachable when both leases are there."""
        await self._enter(StepName.VERIFY_CONNECTIVITY)
        reachable = {"tenant lease", "provider lease", "on"} <= self.effects
        return Connectivity(changed=False, note="looked", reachable=reachable, rtt_ms=1.0)

    @activity.defn(name=StepName.WATCH_FAILOVER)
    async def watch(self, data: WatchInput) -> WatchStatus:
        """Until the world is otherwise than is known. Not in the log: it runs beside everything."""
        if not self.watched:
            raise ApplicationError("nobody watches", non_retryable=True)
        self.watches.append(data.known)
        while (seen := self.standing(data)) == data.known:
            activity.heartbeat()
            await asyncio.sleep(0.02)
        return seen

    @activity.defn(name=StepName.WATCH_REPLICA)
    async def watch_replica(self, data: WatchReplicaInput) -> ReplicaSeen:
        """Until the replica is otherwise than is known. Not in the log either."""
        if not self.watched:
            raise ApplicationError("nobody watches", non_retryable=True)
        self.replica_watches.append(data.known)
        while self.replica_seen == data.known:
            activity.heartbeat()
            await asyncio.sleep(0.02)
        return self.replica_seen

    @activity.defn(name=StepName.RESUME_REPLICA)
    async def resume(self, data: ReplicaInput) -> StepResult:
        """On again, with what it wrote."""
        await self._enter(StepName.RESUME_REPLICA)
        assert self.marker is ReplicaState.FAILOVER
        self.replica_seen = self.replica_seen.model_copy(update={"power": Power.ON})
        return StepResult(changed=True, note="on again")

    def standing(self, data: WatchInput) -> WatchStatus:
        """What there is to be seen from the tenant's site."""
        tunnel = {"server", "client", "tenant lease"} <= self.effects or not data.leases
        seen = WatchStatus(held="held" in self.effects, connected=tunnel, claims=self.claims)
        seen = seen.model_copy(update={"large_lost": self.large_lost})
        if self.tunnel_unknown:
            return seen.model_copy(update={"connected": data.known.connected, "unknown": True})
        return seen


def problem(what: str, who: Who = Who.TENANT) -> Problem:
    """A problem that preflight reports."""
    return Problem(what=what, who=who, do="Repair it")
