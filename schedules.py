"""`python -m schedules schedules.yaml`: scheduled failover tests of one tenant, created or updated.

The Temporal server is found by Temporal's own environment configuration, as by the worker. A schedule that
the file does not name is left alone; so is a pause that somebody set by hand.
"""

import argparse
import asyncio
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, ValidationError, model_validator
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleState,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.envconfig import ClientConfig
from temporalio.service import RPCError

from contracts.failover_test import FailoverTestRequest
from contracts.request import Duration
from settings import Settings
from workflows.converter import data_converter
from workflows.steps import PROVIDER

CATCH_UP = timedelta(minutes=10)
"""A test that the server missed by more than this waits for its next time, not for office hours."""
Cron = Annotated[str, Field(min_length=9, max_length=200)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class TestSchedule(Settings):
    """`every`, or `cron` with `period` (how long at most from one test to the next). `jitter`: each start is
    put off by up to this. `paused`: not to run for now; false leaves a pause as it is."""

    __test__ = False
    every: Annotated[Duration, Field(ge=timedelta(minutes=10))] | None = None
    cron: tuple[Cron, ...] = ()
    period: Duration | None = None
    time_zone: str | None = None
    jitter: Duration = timedelta(minutes=30)
    paused: bool = False
    note: Annotated[str, Field(max_length=500)] = ""
    test: FailoverTestRequest

    @model_validator(mode="after")
    def _says_when(self) -> "TestSchedule":
        if (self.every is None) != bool(self.cron):
            raise ValueError("names exactly one of every and cron")
        if self.cron and self.period is None:
            raise ValueError("cron needs period: how long at most from one test to the next")
        return self

    @property
    def request(self) -> FailoverTestRequest:
        """What each run is asked for. A test is overdue when the next one should have ended."""
        between = self.period or self.every or timedelta(0)
        overdue = self.test.period or between + self.jitter + self.test.deadline
        return self.test.model_copy(update={"period": overdue})

    def schedule(self, name: str) -> Schedule:
        """As Temporal takes it. One test at a time; it pauses when a replica could not be put back."""
        every = [ScheduleIntervalSpec(every=self.every)] if self.every else []
        return Schedule(
            action=ScheduleActionStartWorkflow(
                "FailoverTest", self.request, id=f"failover-test-{name}", task_queue=PROVIDER
            ),
            spec=ScheduleSpec(
                intervals=every,
                cron_expressions=list(self.cron),
                jitter=self.jitter,
                time_zone_name=self.time_zone,
            ),
            policy=SchedulePolicy(
                overlap=ScheduleOverlapPolicy.SKIP, catchup_window=CATCH_UP, pause_on_failure=True
            ),
            state=ScheduleState(note=self.note or None, paused=self.paused),
        )


class Schedules(Settings):
    """The file: one tenant's namespace, and its tests by name."""

    namespace: str
    schedules: Annotated[dict[Name, TestSchedule], Field(min_length=1)]


class BadSchedules(Exception):
    """The file, or the server, does not take it; the text names every problem."""


def load(file: Path) -> Schedules:
    """Read and check the file. Raises `BadSchedules` with all problems at once."""
    try:
        return Schedules.model_validate(yaml.safe_load(file.read_text()))
    except OSError as error:
        raise BadSchedules(f"{file}: cannot be read ({error.strerror})") from None
    except yaml.YAMLError as error:
        raise BadSchedules(f"{file}: is not YAML: {error}") from None
    except ValidationError as error:
        lines = [
            f"  {'.'.join(str(part) for part in e['loc']) or 'file'}: {e['msg']}"
            for e in error.errors(include_url=False, include_input=False)
        ]
        raise BadSchedules(f"{file}:\n" + "\n".join(lines)) from None


async def put(client: Client, name: str, wanted: TestSchedule) -> str:
    """Create the schedule or make it so; "created" or "updated"."""
    schedule = wanted.schedule(name)
    try:
        await client.create_schedule(name, schedule)
        return "created"
    except ScheduleAlreadyRunningError:
        pass

    def change(found: ScheduleUpdateInput) -> ScheduleUpdate:
        now = found.description.schedule.state
        schedule.state.paused = wanted.paused or now.paused
        schedule.state.note = wanted.note or now.note
        return ScheduleUpdate(schedule=schedule)

    await client.get_schedule_handle(name).update(change)
    return "updated"


async def put_all(client: Client, wanted: Schedules) -> list[str]:
    """All of a file, in sentences."""
    said = []
    for name, schedule in wanted.schedules.items():
        try:
            said.append(f"{wanted.namespace}: schedule {name} {await put(client, name, schedule)}")
        except RPCError as error:
            raise BadSchedules(f"schedules.{name}: the server refused it: {error.message}") from None
    return said


async def _run(wanted: Schedules) -> list[str]:
    config = ClientConfig.load_client_connect_config()
    config["namespace"] = wanted.namespace
    return await put_all(await Client.connect(**config, data_converter=data_converter), wanted)


def main() -> int:
    """Exit code 2: the file is not in order, or the server refused a schedule."""
    parser = argparse.ArgumentParser(prog="python -m schedules", description="Scheduled failover tests.")
    parser.add_argument("file", type=Path, help="YAML file; docs/failover-tests.md shows one")
    parser.add_argument("--dry-run", action="store_true", help="check the file and change nothing")
    options = parser.parse_args()
    try:
        wanted = load(options.file)
        said = [f"{n}: is in order" for n in wanted.schedules]
        if not options.dry_run:
            said = asyncio.run(_run(wanted))
    except BadSchedules as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write("\n".join(said) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
