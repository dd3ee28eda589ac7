"""Scheduled failover tests of one tenant, created or updated.

A schedule that is not named is left alone; so is a pause that somebody set by hand, and what somebody changed
by hand until its configuration changes.
"""

import hashlib
from collections.abc import Mapping
from datetime import timedelta

from temporalio.api.common.v1 import Payload
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode

from partial_failover.contracts.queues import PROVIDER
from partial_failover.contracts.schedule import TestSchedule

CATCH_UP = timedelta(minutes=10)
"""A test that the server missed by more than this waits for its next time, not for office hours."""
CONFIGURED = "configured"
"""Memo of each run: what it was configured as."""


class BadSchedules(Exception):
    """The file, or the server, does not take it; the text names every problem."""


def schedule_of(name: str, wanted: TestSchedule) -> Schedule:
    """As Temporal takes it. One test at a time; it pauses when a replica could not be put back."""
    return Schedule(
        action=ScheduleActionStartWorkflow(
            "FailoverTest",
            wanted.request,
            id=f"failover-test-{name}",
            task_queue=PROVIDER,
            memo={CONFIGURED: _fingerprint(wanted)},
        ),
        spec=ScheduleSpec(
            intervals=[ScheduleIntervalSpec(every=wanted.every)] if wanted.every else [],
            cron_expressions=list(wanted.cron),
            jitter=wanted.jitter,
            time_zone_name=wanted.time_zone,
        ),
        policy=SchedulePolicy(
            overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCH_UP, pause_on_failure=True
        ),
        state=ScheduleState(note=wanted.note or None, paused=wanted.paused),
    )


async def put(client: Client, name: str, wanted: TestSchedule, dry_run: bool = False) -> str | None:
    """Create the schedule, or make it so: "created", "updated", or None where it was so already.

    Raises `BadSchedules` when the server refuses it.
    """
    try:
        return await _put(client, name, wanted, dry_run)
    except RPCError as error:
        raise BadSchedules(f"schedules.{name}: the server refused it: {error.message}") from None


async def _put(client: Client, name: str, wanted: TestSchedule, dry_run: bool) -> str | None:
    handle = client.get_schedule_handle(name)
    try:
        existing = await handle.describe()
    except RPCError as error:
        # An unknown namespace is one that a dry run has only spoken of.
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        if not dry_run:
            await client.create_schedule(name, schedule_of(name, wanted))
        return "created"
    if await _configured(client, existing.schedule) == _fingerprint(wanted):
        return None
    if not dry_run:
        await handle.update(lambda now: ScheduleUpdate(schedule=_kept(now, schedule_of(name, wanted))))
    return "updated"


def _kept(now: ScheduleUpdateInput, schedule: Schedule) -> Schedule:
    """A pause that somebody set by hand, and its note, stay."""
    state = now.description.schedule.state
    schedule.state.paused = schedule.state.paused or state.paused
    schedule.state.note = schedule.state.note or state.note
    return schedule


def _fingerprint(wanted: TestSchedule) -> str:
    """Of the configuration: the server keeps a schedule's times in another form than it was given them."""
    return hashlib.sha256(wanted.model_dump_json().encode()).hexdigest()[:16]


async def _configured(client: Client, schedule: Schedule) -> str | None:
    """The fingerprint of what a schedule was made from; None when it was made by hand."""
    memo = getattr(schedule.action, "memo", None) or {}
    kept = memo.get(CONFIGURED)
    if not isinstance(kept, Payload):
        return None
    (value,) = await client.data_converter.decode([kept])
    return str(value)


async def put_all(client: Client, wanted: Mapping[str, TestSchedule], dry_run: bool = False) -> list[str]:
    """All of a namespace; what was changed, or with `dry_run` would be, in sentences."""
    changes = []
    for name, schedule in wanted.items():
        done = await put(client, name, schedule, dry_run)
        if done:
            changes.append(f"{client.namespace}: schedule {name} {done}")
    return changes
