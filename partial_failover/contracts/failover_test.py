"""Scheduled failover tests: what is asked for, what is kept, and the report."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from partial_failover.contracts.base import Contract, UserInput
from partial_failover.contracts.check import AddressCheck, Check, CheckResult, HeartbeatCheck, PowerCheck
from partial_failover.contracts.replica import ReplicaState, RestorePoint
from partial_failover.contracts.request import Duration, PointChoice, VmName
from partial_failover.contracts.run import WorkflowRun
from partial_failover.contracts.step import StepRecord

MOST_VMS = 50
"""VMs of one test: their reports are one result, which Temporal limits to 2 MiB."""
LONGEST_RECORD_TEXT = 80
RECORDS_KEPT = 3
"""With the lengths above the records stay below 1000 characters, Cloud Director's limit of a value (not
documented for every version)."""


class TestNetwork(StrEnum):
    """What a test may touch. `ISOLATED`: no appliance, no tunnel. `EXTENSION`: the tunnel is brought up and
    measured too, and no address is announced. The replica is isolated in both."""

    __test__ = False
    ISOLATED = "isolated"
    EXTENSION = "extension"


class _Terms(UserInput):
    """What is the same for each VM of a test.

    `deadline`: so long after a VM's test began, it is undone whatever it has reached. `rpo`, `rto`: targets;
    a test that misses one has failed. `period`: how often the VM is meant to be tested: once its last test
    is older, `CheckReadiness` warns.
    """

    restore_point: PointChoice = "latest"
    checks: Annotated[tuple[Check, ...], Field(min_length=1, max_length=20)] = (
        PowerCheck(),
        HeartbeatCheck(),
        AddressCheck(),
    )
    deadline: Annotated[Duration, Field(le=timedelta(days=1))] = timedelta(minutes=30)
    network: TestNetwork = TestNetwork.ISOLATED
    rpo: Duration | None = None
    rto: Duration | None = None
    period: Duration | None = None


class FailoverTestRequest(_Terms):
    """Test the failover of `vms`, of all replicas when none is named, `parallel` at the same time.

    Example: `{"vms": ["erp-db-01"], "checks": ["heartbeat", {"check": "tcp", "port": 5432}], "rpo": "24h"}`
    """

    model_config = ConfigDict(
        json_schema_extra={"example": {"vms": ["erp-db-01"], "checks": ["heartbeat"], "deadline": "30m"}}
    )

    vms: Annotated[tuple[VmName, ...], Field(max_length=MOST_VMS)] = ()
    parallel: Annotated[int, Field(ge=1, le=10)] = 2

    @model_validator(mode="after")
    def _each_vm_once(self) -> "FailoverTestRequest":
        twice = sorted({vm for vm in self.vms if self.vms.count(vm) > 1})
        if twice:
            raise ValueError(f"vms names {', '.join(twice)} more than once")
        return self

    def of(self, vm: str) -> "VmTestRequest":
        """The test of one of the VMs."""
        terms = {name: getattr(self, name) for name in _Terms.model_fields}
        return VmTestRequest(vm=vm, **terms)


class VmTestRequest(_Terms):
    """The test of one VM: what `FailoverTest` starts for each."""

    model_config = ConfigDict(json_schema_extra={"example": {"vm": "erp-db-01"}})

    vm: VmName


class TestResult(StrEnum):
    """How a test ended. `SKIPPED`: a failover has the replica, or a hold was not to be risked, so it was left
    alone. `CANCELLED`: somebody did not want it to go on, and it was put back."""

    __test__ = False
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class Target(Contract):
    """A measure against its target, in seconds. `met` is None where there was no target or no measure."""

    measured_s: float | None
    target_s: float | None
    met: bool | None = None


def against(measured_s: float | None, target: timedelta | None) -> Target:
    """A measure, and whether it is within the target."""
    wanted = target.total_seconds() if target is not None else None
    met = measured_s <= wanted if measured_s is not None and wanted is not None else None
    return Target(measured_s=measured_s, target_s=wanted, met=met)


class VmTestReport(Contract):
    """Evidence of one VM's test. Times in seconds; those of a moment count from `started`."""

    vm: str
    replica: str | None
    result: TestResult
    said: str
    """The result in a sentence; of a failed test, what failed first."""
    workflow_id: str
    run_id: str
    version: str
    """Of the product."""
    network: TestNetwork
    isolation: str = ""
    """How the replica was kept away from every production network."""
    started: datetime
    ended: datetime
    state: ReplicaState
    """Of the replica when the test had ended."""
    restore_point: RestorePoint | None = None
    rpo: Target
    """The restore point's age when the test began: what a failover would have lost."""
    rto: Target
    """Until the last check had passed: how long a failover would have taken."""
    time_to_power_on_s: float | None = None
    time_to_heartbeat_s: float | None = None
    time_to_tunnel_s: float | None = None
    time_to_undo_s: float | None = None
    """From the end of the checks until Normal."""
    checks: tuple[CheckResult, ...] = ()
    steps: tuple[StepRecord, ...] = ()
    warnings: tuple[str, ...] = ()
    left_over: tuple[str, ...] = ()


class FailoverTestReport(Contract):
    """Evidence of a whole `FailoverTest`."""

    result: TestResult
    said: str
    workflow_id: str
    run_id: str
    version: str
    started: datetime
    ended: datetime
    vms: tuple[VmTestReport, ...]


class TestRecord(Contract):
    """One test as the replica's metadata keeps it. `said`, `workflow_id`: shortened."""

    __test__ = False
    at: datetime
    result: TestResult
    said: Annotated[str, Field(max_length=LONGEST_RECORD_TEXT)] = ""
    workflow_id: Annotated[str, Field(max_length=LONGEST_RECORD_TEXT)] = ""
    period_s: int | None = None

    def overdue(self, now: datetime) -> bool:
        """Whether the next test should have ended by now."""
        return self.period_s is not None and now - self.at > timedelta(seconds=self.period_s)


class TestRecords(Contract):
    """The last tests of one replica, newest first."""

    __test__ = False
    tests: tuple[TestRecord, ...] = ()

    def with_new(self, record: TestRecord) -> "TestRecords":
        """One more; an earlier record of the same test is replaced, and the oldest are dropped. One without a
        period, of a test by hand, does not make anybody forget how often the VM is meant to be tested."""
        if record.period_s is None:
            known = next((r.period_s for r in self.tests if r.period_s is not None), None)
            record = record.model_copy(update={"period_s": known})
        others = tuple(r for r in self.tests if (r.workflow_id, r.at) != (record.workflow_id, record.at))
        return TestRecords(tests=(record, *others)[:RECORDS_KEPT])


class KeptTests(Contract):
    """What one replica keeps. `vm`: the original's name."""

    vm: str
    replica: str
    records: TestRecords


class RecordTestInput(Contract):
    """Keep the result of a VM's test with its replica."""

    vm: VmName
    run: WorkflowRun
    record: TestRecord
