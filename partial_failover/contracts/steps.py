"""Every step of the procedure, declared once: name, role and so queue, input, result, budget.

A workflow calls `call(steps.REVERT_SNAPSHOT, data, title)`; in `activities/` a method is marked
`@provider_step(steps.REVERT_SNAPSHOT)`.
"""

from datetime import timedelta

from partial_failover.contracts.check import LONGEST_CHECK, CheckInput, CheckResult
from partial_failover.contracts.failover_test import RecordTestInput
from partial_failover.contracts.plan import PlanInput, PlanResult, TenantSite, TenantSiteInput
from partial_failover.contracts.report import ReplicaList
from partial_failover.contracts.request import ListReplicasRequest
from partial_failover.contracts.step import (
    Budget,
    ProviderStep,
    ProviderWatchStep,
    StepName,
    TenantSiteStep,
    TenantSiteWatchStep,
)
from partial_failover.contracts.step_data import (
    ApplianceReady,
    ApplianceStep,
    CleanInput,
    Connectivity,
    HeldReplication,
    HoldInput,
    IsolateInput,
    MarkInput,
    NormalProof,
    PoweredOff,
    PowerOnInput,
    ReleaseInput,
    ReplicaInput,
    ReplicaSeen,
    Reverted,
    RevertInput,
    RevertToLatestInput,
    StepResult,
    TunnelSeen,
    VpnClientInput,
    VpnServerInput,
    WatchInput,
    WatchReplicaInput,
    WatchStatus,
)

HEARTBEAT = timedelta(seconds=30)
"""A worker that died is noticed after this. An attempt that is held up longer in one call is replaced, and
finds that out before its next mutation."""

# Budgets

FORWARD = Budget(attempt=timedelta(minutes=5), whole=timedelta(minutes=30))
"""Steps that go on: after half an hour of trouble the failover is taken back."""
HOLD = Budget(attempt=timedelta(minutes=25), whole=timedelta(minutes=75))
"""A replication run in flight is waited for (settings: `drain_patience`), then asked to stop, in one
attempt."""
READ = Budget(attempt=timedelta(minutes=1), whole=timedelta(minutes=3), pickup=timedelta(seconds=30))
"""Preflight: an answer soon, or the reason why there is none."""
UNATTENDED_READ = Budget(attempt=timedelta(minutes=1), whole=timedelta(minutes=10))
"""Nobody waits in front of a test, so a worker or system that is away for a moment does not fail it."""
BACKWARD = Budget(attempt=timedelta(minutes=5), whole=timedelta(hours=12))
"""Compensations are retried far longer than steps."""
RELEASE = Budget(attempt=timedelta(minutes=2), whole=timedelta(minutes=5), tries=1)
"""Once for each proof that the replica is Normal."""
WATCH = Budget(attempt=timedelta(hours=1), whole=timedelta(days=1), only_looks=True)
"""While a replica is in Failover. It is a long step that waits for news, so that a failover of weeks has a
short history."""
RESUME = Budget(attempt=timedelta(minutes=5), whole=timedelta(minutes=15))
"""Somebody waits for it, and can ask again."""
QUICK_LOOK = Budget(attempt=timedelta(minutes=1), whole=timedelta(minutes=3), tries=2)
"""For what is measured but does not decide."""
RECORD = Budget(attempt=timedelta(minutes=1), whole=timedelta(minutes=30))
"""A test's result is kept also where Cloud Director is what failed."""


def check_budget(timeout: timedelta) -> Budget:
    """Of a check in the guest that may take `timeout` to hold; an attempt needs some more beside it."""
    attempt = timeout + timedelta(seconds=45)
    return Budget(attempt=attempt, whole=2 * attempt)


# Preflight

PLAN_FAILOVER = ProviderStep(StepName.PLAN_FAILOVER, PlanInput, PlanResult, READ)
CHECK_TENANT_SITE = TenantSiteStep(StepName.CHECK_TENANT_SITE, TenantSiteInput, TenantSite, READ)
INSPECT_REPLICAS = ProviderStep(StepName.INSPECT_REPLICAS, ListReplicasRequest, ReplicaList, READ)

# Forward

MARK_PROCESSING = ProviderStep(StepName.MARK_PROCESSING, MarkInput, StepResult, FORWARD)
HOLD_REPLICATION = TenantSiteStep(StepName.HOLD_REPLICATION, HoldInput, HeldReplication, HOLD)
REVERT_SNAPSHOT = ProviderStep(StepName.REVERT_SNAPSHOT, RevertInput, Reverted, FORWARD)
POWER_ON_REPLICA = ProviderStep(StepName.POWER_ON_REPLICA, PowerOnInput, StepResult, FORWARD)
CONNECT_NETWORKS = ProviderStep(StepName.CONNECT_NETWORKS, ApplianceStep, StepResult, FORWARD)
POWER_ON_PROVIDER_APPLIANCE = ProviderStep(
    StepName.POWER_ON_PROVIDER_APPLIANCE, ApplianceStep, ApplianceReady, FORWARD
)
START_VPN_SERVER = ProviderStep(StepName.START_VPN_SERVER, VpnServerInput, StepResult, FORWARD)
CONFIGURE_PROVIDER_PROXY_ARP = ProviderStep(
    StepName.CONFIGURE_PROVIDER_PROXY_ARP, ApplianceStep, StepResult, FORWARD
)
POWER_ON_TENANT_APPLIANCE = TenantSiteStep(
    StepName.POWER_ON_TENANT_APPLIANCE, ApplianceStep, ApplianceReady, FORWARD
)
START_VPN_CLIENT = TenantSiteStep(StepName.START_VPN_CLIENT, VpnClientInput, StepResult, FORWARD)
CONFIGURE_TENANT_PROXY_ARP = TenantSiteStep(
    StepName.CONFIGURE_TENANT_PROXY_ARP, ApplianceStep, StepResult, FORWARD
)
MARK_FAILOVER = ProviderStep(StepName.MARK_FAILOVER, MarkInput, StepResult, FORWARD)

# In Failover

VERIFY_CONNECTIVITY = TenantSiteStep(StepName.VERIFY_CONNECTIVITY, ApplianceStep, Connectivity, QUICK_LOOK)
WATCH_FAILOVER = TenantSiteWatchStep(StepName.WATCH_FAILOVER, WatchInput, WatchStatus, WATCH)
WATCH_REPLICA = ProviderWatchStep(StepName.WATCH_REPLICA, WatchReplicaInput, ReplicaSeen, WATCH)
RESUME_REPLICA = ProviderStep(StepName.RESUME_REPLICA, ReplicaInput, StepResult, RESUME)

# Backward

BEGIN_UNDO = MARK_PROCESSING.with_budget(BACKWARD)
POWER_OFF_REPLICA = ProviderStep(StepName.POWER_OFF_REPLICA, ReplicaInput, PoweredOff, BACKWARD)
REMOVE_TENANT_PROXY_ARP = TenantSiteStep(
    StepName.REMOVE_TENANT_PROXY_ARP, ApplianceStep, StepResult, BACKWARD
)
POWER_OFF_TENANT_APPLIANCE = TenantSiteStep(
    StepName.POWER_OFF_TENANT_APPLIANCE, ApplianceStep, StepResult, BACKWARD
)
REMOVE_PROVIDER_PROXY_ARP = ProviderStep(
    StepName.REMOVE_PROVIDER_PROXY_ARP, ApplianceStep, StepResult, BACKWARD
)
POWER_OFF_PROVIDER_APPLIANCE = ProviderStep(
    StepName.POWER_OFF_PROVIDER_APPLIANCE, ApplianceStep, StepResult, BACKWARD
)
DISCONNECT_NETWORKS = ProviderStep(StepName.DISCONNECT_NETWORKS, ApplianceStep, StepResult, BACKWARD)
REVERT_TO_LATEST = ProviderStep(StepName.REVERT_TO_LATEST, RevertToLatestInput, StepResult, BACKWARD)
MARK_NORMAL = ProviderStep(StepName.MARK_NORMAL, CleanInput, StepResult, BACKWARD)
CONFIRM_NORMAL = ProviderStep(StepName.CONFIRM_NORMAL, CleanInput, NormalProof, BACKWARD)
RELEASE_REPLICATION = TenantSiteStep(StepName.RELEASE_REPLICATION, ReleaseInput, StepResult, RELEASE)
MARK_FAILED_FAILOVER = ProviderStep(StepName.MARK_FAILED_FAILOVER, MarkInput, StepResult, BACKWARD)

# Of failover tests alone

ISOLATE_REPLICA = ProviderStep(StepName.ISOLATE_REPLICA, IsolateInput, StepResult, FORWARD)
POWER_ON_ISOLATED = ProviderStep(StepName.POWER_ON_ISOLATED, ReplicaInput, StepResult, FORWARD)
VERIFY_PROVIDER_TUNNEL = ProviderStep(StepName.VERIFY_TUNNEL, ApplianceStep, TunnelSeen, QUICK_LOOK)
VERIFY_TENANT_TUNNEL = TenantSiteStep(StepName.VERIFY_TUNNEL, ApplianceStep, TunnelSeen, QUICK_LOOK)
CHECK_GUEST = ProviderStep(StepName.CHECK_GUEST, CheckInput, CheckResult, check_budget(LONGEST_CHECK))
RECORD_TEST = ProviderStep(StepName.RECORD_TEST, RecordTestInput, StepResult, RECORD)
