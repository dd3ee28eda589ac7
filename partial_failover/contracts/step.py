"""What a step is: its name in the timeline, its queue, input, result and budget; and its record in a report.

The steps themselves are declared in `contracts.steps`.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Generic, Self, TypeVar

from partial_failover.contracts.base import Contract
from partial_failover.contracts.queues import (
    PROVIDER,
    PROVIDER_WATCH,
    TENANT_SITE,
    TENANT_SITE_WATCH,
)

In = TypeVar("In", bound=Contract)
Out = TypeVar("Out", bound=Contract)


class StepName(StrEnum):
    """Activity types. The names are stable: histories hold them."""

    PLAN_FAILOVER = "PlanFailover"
    CHECK_TENANT_SITE = "CheckTenantSite"
    INSPECT_REPLICAS = "InspectReplicas"

    HOLD_REPLICATION = "HoldReplication"
    MARK_PROCESSING = "MarkProcessing"
    REVERT_SNAPSHOT = "RevertSnapshot"
    POWER_ON_REPLICA = "PowerOnReplica"
    CONNECT_NETWORKS = "ConnectNetworks"
    POWER_ON_PROVIDER_APPLIANCE = "PowerOnProviderAppliance"
    START_VPN_SERVER = "StartVpnServer"
    CONFIGURE_PROVIDER_PROXY_ARP = "ConfigureProviderProxyArp"
    POWER_ON_TENANT_APPLIANCE = "PowerOnTenantAppliance"
    START_VPN_CLIENT = "StartVpnClient"
    CONFIGURE_TENANT_PROXY_ARP = "ConfigureTenantProxyArp"
    VERIFY_CONNECTIVITY = "VerifyConnectivity"
    MARK_FAILOVER = "MarkFailover"
    WATCH_FAILOVER = "WatchFailover"
    WATCH_REPLICA = "WatchReplica"
    RESUME_REPLICA = "ResumeReplica"

    POWER_OFF_REPLICA = "PowerOffReplica"
    REMOVE_TENANT_PROXY_ARP = "RemoveTenantProxyArp"
    POWER_OFF_TENANT_APPLIANCE = "PowerOffTenantAppliance"
    REMOVE_PROVIDER_PROXY_ARP = "RemoveProviderProxyArp"
    POWER_OFF_PROVIDER_APPLIANCE = "PowerOffProviderAppliance"
    DISCONNECT_NETWORKS = "DisconnectNetworks"
    REVERT_TO_LATEST = "RevertToLatest"
    MARK_NORMAL = "MarkNormal"
    CONFIRM_NORMAL = "ConfirmNormal"
    RELEASE_REPLICATION = "ReleaseReplication"
    MARK_FAILED_FAILOVER = "MarkFailedFailover"

    ISOLATE_REPLICA = "IsolateReplica"
    POWER_ON_ISOLATED = "PowerOnIsolated"
    VERIFY_TUNNEL = "VerifyTunnel"
    CHECK_GUEST = "CheckGuest"
    RECORD_TEST = "RecordTest"


@dataclass(frozen=True)
class Budget:
    """How long a step may take. An attempt sends nothing after `attempt` less the margin of
    `activities.shared.attempt`; `whole` has room for several attempts with their pauses."""

    attempt: timedelta
    whole: timedelta
    pickup: timedelta | None = None
    """How long it may wait for a worker; None: as long as `whole`."""
    tries: int = 0
    """0: as many as fit into `whole`."""
    only_looks: bool = False
    """Nothing is left behind when it is cancelled, so its end is not waited for."""


@dataclass(frozen=True)
class Step(Generic[In, Out]):
    """Workflows call a step, and activities implement it, through its declaration: a wrong input, result or
    role is an error of the type checker. Declared as one of the roles below."""

    name: StepName
    input: type[In]
    result: type[Out]
    budget: Budget
    queue: ClassVar[str]

    def with_budget(self, budget: Budget) -> Self:
        """The same step where it has more time, or less."""
        return replace(self, budget=budget)


class ProviderStep(Step[In, Out]):
    """Carried out by the worker of the role `provider`."""

    queue = PROVIDER


class ProviderWatchStep(Step[In, Out]):
    """The same worker's, for what waits for weeks."""

    queue = PROVIDER_WATCH


class TenantSiteStep(Step[In, Out]):
    """Carried out by the worker of the role `tenant-site`."""

    queue = TENANT_SITE


class TenantSiteWatchStep(Step[In, Out]):
    """The same worker's, for what waits for weeks."""

    queue = TENANT_SITE_WATCH


class StepRecord(Contract):
    """One step as the report shows it. `seconds` is None while it runs."""

    step: StepName
    title: str
    started: datetime
    seconds: float | None = None
    outcome: str = "running"
    """"running", "done", "nothing to do", "failed" or "cancelled"; of a check, its outcome."""
    note: str = ""
    attempts: int = 1
    """How many it took, where it succeeded: the others failed, or their worker was gone."""

    def finished(self, at: datetime, outcome: str, note: str, attempts: int = 1) -> "StepRecord":
        """The same step, ended."""
        took = round((at - self.started) / timedelta(seconds=1), 3)
        ended = {"seconds": took, "outcome": outcome, "note": note, "attempts": attempts}
        return self.model_copy(update=ended)

    @property
    def ended(self) -> str:
        """The outcome, for people."""
        return self.outcome if self.attempts == 1 else f"{self.outcome}, attempt {self.attempts}"
