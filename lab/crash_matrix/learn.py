"""Which remote calls a step makes: the audit of a clean run laid beside the workflow's history."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from temporalio.client import WorkflowHistory

from lab.crash_matrix.cases import LOGINS, Phase, Point, is_appliance, is_change
from lab.injected_faults import AuditEntry
from partial_failover.contracts.step import StepName

ON_PROVIDER_APPLIANCE = {
    StepName.CONNECT_NETWORKS,
    StepName.POWER_ON_PROVIDER_APPLIANCE,
    StepName.START_VPN_SERVER,
    StepName.CONFIGURE_PROVIDER_PROXY_ARP,
    StepName.REMOVE_PROVIDER_PROXY_ARP,
    StepName.POWER_OFF_PROVIDER_APPLIANCE,
    StepName.DISCONNECT_NETWORKS,
}
ON_BACKUP = {
    StepName.CHECK_TENANT_SITE,
    StepName.HOLD_REPLICATION,
    StepName.RELEASE_REPLICATION,
    StepName.WATCH_FAILOVER,
}
AT_TENANT = {
    StepName.POWER_ON_TENANT_APPLIANCE,
    StepName.START_VPN_CLIENT,
    StepName.CONFIGURE_TENANT_PROXY_ARP,
    StepName.VERIFY_CONNECTIVITY,
    StepName.VERIFY_TUNNEL,
    StepName.WATCH_FAILOVER,
    StepName.REMOVE_TENANT_PROXY_ARP,
    StepName.POWER_OFF_TENANT_APPLIANCE,
}
POWER_OF_APPLIANCE = {
    StepName.POWER_ON_PROVIDER_APPLIANCE,
    StepName.REMOVE_PROVIDER_PROXY_ARP,
    StepName.POWER_OFF_PROVIDER_APPLIANCE,
    StepName.DISCONNECT_NETWORKS,
}
"""These ask the provider's vCenter whether the appliance is on, and no more."""
CLOUD_DIRECTOR_ALONE = {
    StepName.MARK_PROCESSING,
    StepName.MARK_FAILOVER,
    StepName.MARK_FAILED_FAILOVER,
    StepName.RECORD_TEST,
}
"""Of the steps on the replica these ask no vCenter."""
WATCHES = {StepName.WATCH_FAILOVER, StepName.WATCH_REPLICA}
ONLY: dict[str, set[str]] = {
    StepName.WATCH_FAILOVER: {"status", "large-packets"},
    StepName.VERIFY_TUNNEL: {"status", "large-packets"},
    StepName.VERIFY_CONNECTIVITY: {"verify"},
}
"""All that these ask of an appliance; the first looks at the backup server too."""
LOOKS_FOR = {
    "GET orgVdcNetworks": {StepName.ISOLATE_REPLICA},
    "GET query": {StepName.RECORD_TEST},
}
"""Calls of the steps on the provider's appliance that these steps make too."""


@dataclass(frozen=True)
class Window:
    """A step as the history has it: from its scheduling to its end, in seconds since the epoch."""

    step: str
    begin: float
    end: float


def windows(history: WorkflowHistory) -> list[Window]:
    """All steps. One that never came to an end, because its workflow did before, has none."""
    begun: dict[int, tuple[str, float]] = {}
    ended = []
    for event in history.events:
        at = event.event_time.ToMicroseconds() / 1e6
        if event.HasField("activity_task_scheduled_event_attributes"):
            begun[event.event_id] = (event.activity_task_scheduled_event_attributes.activity_type.name, at)
        for kind in ("completed", "failed", "timed_out", "canceled"):
            name = f"activity_task_{kind}_event_attributes"
            if event.HasField(name):  # type: ignore[arg-type]
                step, start = begun.pop(getattr(event, name).scheduled_event_id)
                ended.append(Window(step, start, at))
    return ended + [Window(step, start, math.inf) for step, start in begun.values()]


def steps_at(moment: float, steps: Iterable[Window]) -> set[str]:
    """Steps that ran then."""
    return {w.step for w in steps if w.begin <= moment <= w.end}


def points(
    phase: Phase, calls: Sequence[AuditEntry], steps: Sequence[Window], entity_of: Callable[[AuditEntry], str]
) -> list[Point]:
    """Each step's calls, in their order: every change; of reads, each name once for each thing that it is
    about."""
    counts: Counter[Point] = Counter()
    for call in calls:
        if call.call in LOGINS:
            continue
        key = (call.endpoint, call.call, entity_of(call))
        for step in _steps_of(call, key[2], steps):
            if step in WATCHES and phase is not Phase.FAILOVER:
                continue  # by chance: it is on its way out
            first = Point(phase, step, *key)
            counts[first] += 1
            if counts[first] > 1 and is_change(first):
                counts[replace(first, turn=counts[first])] += 1
    return list(counts)


def _steps_of(call: AuditEntry, entity: str, steps: Iterable[Window]) -> list[str]:
    return sorted(step for step in steps_at(call.at, steps) if may_call(step, call, entity))


def may_call(step: str, call: AuditEntry, entity: str) -> bool:
    """Steps run side by side; what a call is about tells them apart, but for looks at the replica."""
    if step == StepName.WATCH_REPLICA:
        return call.endpoint == "provider-vcenter"
    if step in ONLY:
        return call.call in ONLY[step] or (step, call.endpoint) == (StepName.WATCH_FAILOVER, "acme-veeam")
    if call.endpoint.startswith("acme-veeam"):
        return step in ON_BACKUP
    if call.endpoint.startswith("acme-vcenter"):
        return step in AT_TENANT or step == StepName.CHECK_TENANT_SITE
    if step in AT_TENANT | ON_BACKUP:
        return False
    if step == StepName.PLAN_FAILOVER:
        return True
    if call.endpoint == "provider-vcenter" and step in ON_PROVIDER_APPLIANCE:
        return step in POWER_OF_APPLIANCE and call.call == "RetrievePropertiesEx"
    if call.endpoint == "provider-vcenter":
        return step not in CLOUD_DIRECTOR_ALONE
    on_appliance = is_appliance(call.endpoint) or "network-extension" in entity
    if on_appliance or call.call in LOOKS_FOR:
        return step in ON_PROVIDER_APPLIANCE | LOOKS_FOR.get(call.call, set())
    return step not in ON_PROVIDER_APPLIANCE or call.call in ("GET vm", "GET vApp")
