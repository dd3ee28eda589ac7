"""Which remote calls a step makes: the audit of a clean run laid beside the workflow's history."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from temporalio.client import WorkflowHistory

from lab.crash_matrix.cases import LOGINS, Phase, Point, is_appliance, is_change
from lab.injected_faults import AuditEntry
from partial_failover.contracts.step import Step

ON_PROVIDER_APPLIANCE = {
    Step.CONNECT_NETWORKS,
    Step.POWER_ON_PROVIDER_APPLIANCE,
    Step.START_VPN_SERVER,
    Step.CONFIGURE_PROVIDER_PROXY_ARP,
    Step.REMOVE_PROVIDER_PROXY_ARP,
    Step.POWER_OFF_PROVIDER_APPLIANCE,
    Step.DISCONNECT_NETWORKS,
}
ON_BACKUP = {
    Step.CHECK_TENANT_SITE,
    Step.HOLD_REPLICATION,
    Step.RELEASE_REPLICATION,
    Step.WATCH_FAILOVER,
}
AT_TENANT = {
    Step.POWER_ON_TENANT_APPLIANCE,
    Step.START_VPN_CLIENT,
    Step.CONFIGURE_TENANT_PROXY_ARP,
    Step.VERIFY_CONNECTIVITY,
    Step.VERIFY_TUNNEL,
    Step.WATCH_FAILOVER,
    Step.REMOVE_TENANT_PROXY_ARP,
    Step.POWER_OFF_TENANT_APPLIANCE,
}
ONLY: dict[str, set[str]] = {
    Step.WATCH_FAILOVER: {"status"},
    Step.VERIFY_TUNNEL: {"status"},
    Step.VERIFY_CONNECTIVITY: {"verify"},
}
"""All that these ask of an appliance; the first looks at the backup server too."""
LOOKS_FOR = {
    "GET orgVdcNetworks": {Step.ISOLATE_REPLICA},
    "GET query": {Step.RECORD_TEST},
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
            if step == Step.WATCH_FAILOVER and phase is not Phase.FAILOVER:
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
    if step in ONLY:
        return call.call in ONLY[step] or (step, call.endpoint) == (Step.WATCH_FAILOVER, "acme-veeam")
    if call.endpoint.startswith("acme-veeam"):
        return step in ON_BACKUP
    if call.endpoint.startswith("acme-vcenter"):
        return step in AT_TENANT or step == Step.CHECK_TENANT_SITE
    if step in AT_TENANT | ON_BACKUP:
        return False
    if step == Step.PLAN_FAILOVER:
        return True
    on_appliance = is_appliance(call.endpoint) or "network-extension" in entity
    if on_appliance or call.call in LOOKS_FOR:
        return step in ON_PROVIDER_APPLIANCE | LOOKS_FOR.get(call.call, set())
    return step not in ON_PROVIDER_APPLIANCE or call.call in ("GET vm", "GET vApp")
