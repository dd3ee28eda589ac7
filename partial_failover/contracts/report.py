"""What a workflow answers when it ends."""

from datetime import datetime
from ipaddress import IPv4Address
from typing import Literal

from partial_failover.contracts.base import Contract
from partial_failover.contracts.failover_test import TestRecord
from partial_failover.contracts.plan import Problem
from partial_failover.contracts.replica import Power, ReplicaState, RestorePoint
from partial_failover.contracts.step import StepRecord


class FailoverReport(Contract):
    """The whole story of one partial failover. Times in seconds from the start of the workflow."""

    vm: str
    replica: str
    state: ReplicaState
    ended: str
    """How it ended, in a sentence."""
    asked_by: str = ""
    """Who started it, as Temporal wrote it down: with an authorizer the person, else a program."""
    reason: str
    restore_point: RestorePoint
    restore_point_age_s: float
    """Age of the restore point when the failover began: what was lost (RPO)."""
    started: datetime
    time_to_power_on_s: float | None
    time_to_reachable_s: float | None
    """Until the replica answered through the tunnel; None where no appliance extends the networks."""
    time_to_undo_s: float | None
    """From the acceptance of undo until Normal."""
    steps: tuple[StepRecord, ...]
    warnings: tuple[str, ...]
    left_over: tuple[str, ...] = ()
    """What could not be undone, each with how to repair it."""


class ReplicaSummary(Contract):
    """One replica as `ListReplicas` shows it."""

    vm: str
    replica: str
    state: ReplicaState | Literal["unknown"]
    power: Power
    addresses: tuple[IPv4Address, ...]
    restore_points: tuple[RestorePoint, ...]
    """Newest first."""
    held_by: str | None = None
    """Workflow that the state marker names."""
    last_tests: tuple[TestRecord, ...] = ()
    """Newest first."""
    problems: tuple[Problem, ...] = ()
    """Why something of it is not known."""


class ReplicaList(Contract):
    """Answer of `ListReplicas`."""

    read_at: datetime
    replicas: tuple[ReplicaSummary, ...]


class Readiness(Contract):
    """Whether one replica could be failed over now, and all that stands in the way."""

    vm: str
    ready: bool
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...] = ()
    last_test: TestRecord | None = None


class ReadinessReport(Contract):
    """Answer of `CheckReadiness`."""

    ready: bool
    replicas: tuple[Readiness, ...]
