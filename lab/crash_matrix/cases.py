"""Which cases there are: made from an audit of a clean run, so that a new remote call is a new case."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any  # Any: JSON

from contracts.step import Step
from lab.faults import Kind


class Phase(StrEnum):
    """Where in a failover's life the fault comes."""

    FAILOVER = "failover"
    UNDO = "undo"
    COMPENSATION = "compensation"
    """The workflow is cancelled as it is about to be in Failover, so all is taken back."""
    FAILED = "failed undo"
    """Replication cannot be released, until a person mends that: FailedFailover in between."""


class Harm(StrEnum):
    """What is done, beyond the faults of `lab.faults`."""

    KILLED_BEFORE = "worker killed before the effect"
    KILLED_AFTER = "worker killed after the effect, before the answer"
    KILLED_WAITING = "worker killed while it waits for the task"
    CANCELLED = "workflow cancelled"


@dataclass(frozen=True)
class Point:
    """One remote call of one step. `entity`: name of what it is about, empty where that is not known.

    `passes`: how many calls of the same name about the same thing come before it in its phase.
    """

    phase: Phase
    step: str
    endpoint: str
    call: str
    entity: str
    passes: int


@dataclass(frozen=True)
class Case:
    """One point, and what goes wrong there: a `Harm`, or a `lab.faults.Kind`."""

    point: Point
    harm: str

    def __str__(self) -> str:
        p = self.point
        about = f" of {p.entity}" if p.entity else ""
        return f"{p.phase} | {p.step} | {p.endpoint} {p.call}{about} #{p.passes + 1} | {self.harm}"

    def to_json(self) -> dict[str, Any]:
        """For another process."""
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> "Case":
        """The other way."""
        point = Point(**{**data["point"], "phase": Phase(data["point"]["phase"])})
        return Case(point, data["harm"])


READ_KINDS = (Kind.DELAY, Kind.REFUSE, Kind.DROP_BEFORE, Kind.EXPIRE_SESSION)
"""A read has no effect, so it makes no difference when its connection breaks."""
CHANGE_KINDS = (*READ_KINDS, Kind.BUSY, Kind.DROP_AFTER)
TASK_KINDS = (Kind.TASK_ERROR, Kind.TASK_HANG, Kind.TASK_CANCEL)
WITHOUT_TASK = ("POST enterMaintenanceMode", "POST exitMaintenanceMode")
LOGINS = ("POST token", "POST /api/oauth2/token", "Login", "RetrieveServiceContent")
"""Not points of their own: they come when a session is new, which the expired sessions see to."""


def cases(points: Sequence[Point]) -> Iterator[Case]:
    """All cases for these points."""
    points = [p for p in points if p.phase is not Phase.FAILED or p.step == Step.MARK_FAILED_FAILOVER]
    for point in points:
        if is_change(point):
            yield from _changes(point)
        else:
            yield from (Case(point, kind) for kind in _known(point, READ_KINDS))
    for first in _first_of_each_step(points):
        if not any(is_change(p) for p in points if (p.phase, p.step) == (first.phase, first.step)):
            yield Case(first, Harm.KILLED_BEFORE)
        if first.phase is Phase.FAILOVER:
            yield Case(first, Harm.CANCELLED)


def _changes(point: Point) -> Iterator[Case]:
    yield from (Case(point, kind) for kind in _known(point, CHANGE_KINDS))
    yield Case(point, Harm.KILLED_BEFORE)
    yield Case(point, Harm.KILLED_AFTER)
    if has_task(point):
        yield from (Case(point, kind) for kind in TASK_KINDS)
        yield Case(point, Harm.KILLED_WAITING)


def _first_of_each_step(points: Iterable[Point]) -> list[Point]:
    first: dict[tuple[Phase, str], Point] = {}
    for point in points:
        first.setdefault((point.phase, point.step), point)
    return list(first.values())


def is_change(point: Point) -> bool:
    """Whether the call changes something. Of an appliance's requests two only look."""
    if is_appliance(point.endpoint):
        return point.call not in ("status", "verify")
    if point.endpoint.endswith("vcenter"):
        return point.call.endswith("_Task")
    return not point.call.startswith("GET ")


def has_task(point: Point) -> bool:
    """Whether the call starts a task that is waited for."""
    if point.endpoint == "cloud-director":
        return is_change(point) and point.call not in WITHOUT_TASK
    return point.call.endswith("_Task")


def is_appliance(endpoint: str) -> bool:
    """Appliances are called "<hypervisor>/<vm>"."""
    return "/" in endpoint


def _known(point: Point, kinds: Sequence[Kind]) -> Iterator[Kind]:
    """What that endpoint can do."""
    for kind in kinds:
        if is_appliance(point.endpoint) and kind in (Kind.REFUSE, Kind.EXPIRE_SESSION):
            continue
        if point.endpoint.endswith("veeam") and kind is Kind.BUSY:
            continue
        yield kind
