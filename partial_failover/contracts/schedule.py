"""Failover tests that start by themselves."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field, model_validator

from partial_failover.contracts.base import Contract
from partial_failover.contracts.failover_test import FailoverTestRequest
from partial_failover.contracts.request import Duration

Cron = Annotated[str, Field(min_length=9, max_length=200)]
ScheduleName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class TestSchedule(Contract):
    """When one `FailoverTest` is started, again and again.

    `every`, or `cron` with `period` (how long at most from one test to the next). `jitter`: each start is put
    off by up to this. `paused`: not to run for now; false leaves a pause as it is. `test`: as in the Web UI.
    """

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
