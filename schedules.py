"""`python -m schedules schedules.yaml`: scheduled failover tests of one tenant, created or updated.

The Temporal server is found by Temporal's own environment configuration, as by the worker. A schedule that
the file does not name is left alone; so is a pause that somebody set by hand, and what somebody changed by
hand until the file changes.
"""

import argparse
import asyncio
import hashlib
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, ValidationError
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

import connect
from contracts.base import Contract
from contracts.errors import Fault
from contracts.schedule import ScheduleName, TestSchedule
from settings import TemporalSettings
from workflows.converter import data_converter
from workflows.steps import PROVIDER

CATCH_UP = timedelta(minutes=10)
"""A test that the server missed by more than this waits for its next time, not for office hours."""
CONFIGURED = "configured"
"""Memo of each run: what it was configured as."""


class Schedules(Contract):
    """The file: one tenant's namespace, and its tests by name."""

    namespace: str
    schedules: Annotated[dict[ScheduleName, TestSchedule], Field(min_length=1)]


class BadSchedules(Exception):
    """The file, or the server, does not take it; the text names every problem."""


def load(file: Path) -> Schedules:
    """Read and check the file. Raises `BadSchedules` with all problems at once."""
    try:
        return Schedules.model_validate(yaml.safe_load(file.read_text("utf-8")))
    except OSError as error:
        raise BadSchedules(f"{file}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise BadSchedules(f"{file}: is not text in UTF-8") from None
    except yaml.YAMLError as error:
        raise BadSchedules(f"{file}: is not YAML: {error}") from None
    except ValidationError as error:
        lines = [
            f"  {'.'.join(str(part) for part in e['loc']) or 'file'}: {e['msg']}"
            for e in error.errors(include_url=False, include_input=False)
        ]
        raise BadSchedules(f"{file}:\n" + "\n".join(lines)) from None


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
        found = await handle.describe()
    except RPCError as error:
        # An unknown namespace is one that a dry run has only spoken of.
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        if not dry_run:
            await client.create_schedule(name, schedule_of(name, wanted))
        return "created"
    if await _configured(client, found.schedule) == _fingerprint(wanted):
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
    said = []
    for name, schedule in wanted.items():
        done = await put(client, name, schedule, dry_run)
        if done:
            said.append(f"{client.namespace}: schedule {name} {done}")
    return said


async def _run(wanted: Schedules, dry_run: bool) -> list[str]:
    try:
        base = await connect.temporal(TemporalSettings())
    except Fault as fault:
        raise BadSchedules(str(fault)) from None
    client = Client(base.service_client, namespace=wanted.namespace, data_converter=data_converter)
    return await put_all(client, wanted.schedules, dry_run)


def main() -> int:
    """Exit code 2: the file is not in order, no server answers, or it refused a schedule."""
    parser = argparse.ArgumentParser(prog="python -m schedules", description="Scheduled failover tests.")
    parser.add_argument("file", type=Path, help="YAML file; docs/failover-tests.md shows one")
    parser.add_argument("--dry-run", action="store_true", help="say what would be changed, change nothing")
    options = parser.parse_args()
    try:
        wanted = load(options.file)
        changes = asyncio.run(_run(wanted, options.dry_run))
    except BadSchedules as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for change in changes:
        sys.stdout.write(f"{'would be: ' if options.dry_run else ''}{change}\n")
    if not changes:
        sys.stdout.write(f"{len(wanted.schedules)} schedules are as they shall be\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
