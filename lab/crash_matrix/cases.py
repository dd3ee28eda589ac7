"""Which cases there are: made from an audit of a clean run, so that a new remote call is a new case."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any  # Any: JSON
from zlib import crc32

from lab.injected_faults import FaultKind
from partial_failover.contracts.step import StepName


class Phase(StrEnum):
    """Where in a failover's life the fault comes."""

    FAILOVER = "failover"
    UNDO = "undo"
    COMPENSATION = "compensation"
    """The workflow is cancelled as it is about to be in Failover, so all is taken back."""
    FAILED = "failed undo"
    """Replication cannot be released, until a person repairs that: FailedFailover in between."""
    REFUSED = "compensation of a failure"
    """The original is switched on before its address is announced, so the failover fails and all is taken
    back. A workflow that compensates because it was cancelled cannot be cancelled again; this one can."""
    TEST = "failover test"


class Intervention(StrEnum):
    """What is done, beyond the faults of `lab.injected_faults`."""

    KILLED_BEFORE = "worker killed before the effect"
    KILLED_AFTER = "worker killed after the effect, before the answer"
    KILLED_WAITING = "worker killed while it waits for the task"
    CANCELLED = "workflow cancelled"
    TERMINATED = "workflow terminated, then adopted"
    LATE_EFFECT = "effect seen late in Cloud Director"
    FORGOTTEN = "connection dropped after the effect, task list forgotten"


class Change(StrEnum):
    """What somebody else does, between two looks of the product."""

    SWITCHED = "replica switched on or off by somebody"
    """What is off is switched on and used, and in half of the cases switched off again. What is on is
    switched off or suspended."""
    REVERTED = "replica reverted by somebody"
    SNAPSHOT_MADE = "snapshot made by somebody"
    SNAPSHOT_REMOVED = "restore point removed by somebody"
    NIC_CHANGED = "NIC changed by somebody"
    EXCLUSION_DELETED = "exclusion deleted by somebody"
    LOCK_ENDED = "lock ended by somebody"


@dataclass(frozen=True)
class Point:
    """A remote call of that name that a step makes, about that thing. `entity`: the thing's name, empty where
    that is not known. `turn`: which one of these; of reads, the first stands for all."""

    phase: Phase
    step: str
    endpoint: str
    call: str
    entity: str
    turn: int = 1


@dataclass(frozen=True)
class Case:
    """One point, and what goes wrong there: an `Intervention`, a `Change`, or a
    `lab.injected_faults.FaultKind`."""

    point: Point
    intervention: str

    def __str__(self) -> str:
        p = self.point
        about = f" of {p.entity}" if p.entity else ""
        turn = f", {p.turn}" if p.turn > 1 else ""
        return f"{p.phase} | {p.step} | {p.endpoint} {p.call}{about}{turn} | {self.intervention}"

    @property
    def points_back(self) -> int:
        """Half of the cases fail over to the newest restore point, 0; the others to one of 1 to 3 before."""
        return self.variant % 2 * (1 + self.variant // 2 % 3)

    @property
    def variant(self) -> int:
        """By which cases that are alike differ in what is left open."""
        return crc32(str(self).encode())

    @property
    def change(self) -> Change | None:
        """What somebody else does in it."""
        return Change(self.intervention) if self.intervention in list(Change) else None

    @property
    def ends_the_failover(self) -> bool:
        """It does not come to Failover by itself."""
        return self.intervention in (Intervention.CANCELLED, Intervention.TERMINATED)

    def to_json(self) -> dict[str, Any]:
        """For another process."""
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> "Case":
        """The other way."""
        point = Point(**{**data["point"], "phase": Phase(data["point"]["phase"])})
        return Case(point, data["intervention"])


READ_KINDS = (FaultKind.DELAY, FaultKind.REFUSE, FaultKind.DROP_BEFORE, FaultKind.EXPIRE_SESSION)
"""A read has no effect, so it makes no difference when its connection breaks."""
CHANGE_KINDS = (*READ_KINDS, FaultKind.BUSY, FaultKind.DROP_AFTER)
TASK_KINDS = (FaultKind.TASK_ERROR, FaultKind.TASK_HANG, FaultKind.TASK_CANCEL)
WITHOUT_TASK = ("POST enterMaintenanceMode", "POST exitMaintenanceMode")
LOGINS = ("POST token", "POST /api/oauth2/token", "Login", "RetrieveServiceContent")
"""Not points of their own: they come when a session is new, which the expired sessions see to."""


OF_TESTS = (
    StepName.ISOLATE_REPLICA,
    StepName.POWER_ON_ISOLATED,
    StepName.VERIFY_TUNNEL,
    StepName.CHECK_GUEST,
    StepName.RECORD_TEST,
)


def cases(points: Sequence[Point]) -> Iterator[Case]:
    """All cases for these points."""
    for point in points:
        if _is_hit(point):
            yield from _changes(point) if is_change(point) else _reads(point)
    undone = {point.step for point in points if point.phase is Phase.UNDO}
    for first in _first_of_each_step(points):
        others = [p for p in points if (p.phase, p.step) == (first.phase, first.step)]
        changes = [p for p in others if is_change(p)]
        if _is_hit(first) and not changes:
            yield Case(first, Intervention.KILLED_BEFORE)
        if first.phase is not Phase.REFUSED or first.step in undone:  # else one that still goes forward
            yield from (Case(first, intervention) for intervention in _ends(first))
        if Intervention.TERMINATED in _ends(first) and len(changes) > 1:
            # What it leaves between two changes, whoever takes over must repair.
            yield from (Case(p, Intervention.TERMINATED) for p in changes if p is not first)
    yield from _slow_answers(points)
    yield from _by_others(points)


def _slow_answers(points: Iterable[Point]) -> Iterator[Case]:
    """The first call of each step at each endpoint, whose answer comes byte by byte."""
    first: dict[tuple[Phase, str, str], Point] = {}
    for point in points:
        if point.phase in (Phase.FAILOVER, Phase.UNDO) and not is_appliance(point.endpoint):
            first.setdefault((point.phase, point.step, point.endpoint), point)
    yield from (Case(point, FaultKind.TRICKLE) for point in first.values())


def _by_others(points: Iterable[Point]) -> Iterator[Case]:
    """At the first call of each step, everything that there is to be changed by then."""
    preflight = (StepName.PLAN_FAILOVER, StepName.CHECK_TENANT_SITE)
    held = False
    for point in _first_of_each_step(p for p in points if p.phase in (Phase.FAILOVER, Phase.UNDO)):
        changes = set(Change)
        if not held:
            changes -= {Change.EXCLUSION_DELETED}
        if point.step in preflight:
            changes -= {Change.LOCK_ENDED}
        held = held or point.step == StepName.HOLD_REPLICATION
        yield from (Case(point, change) for change in Change if change in changes)


def _is_hit(point: Point) -> bool:
    """Whether everything that can happen to a call happens to it there; of some phases only what no other
    phase has."""
    match point.phase:
        case Phase.FAILED:
            return point.step == StepName.MARK_FAILED_FAILOVER
        case Phase.TEST:
            return point.step in OF_TESTS
        case Phase.REFUSED:
            return False
    return True


def _ends(first: Point) -> Sequence[Intervention]:
    """What becomes of the workflow at the first call of a step."""
    match first.phase:
        case Phase.FAILOVER | Phase.UNDO:
            return (Intervention.CANCELLED, Intervention.TERMINATED)
        case Phase.REFUSED:
            return (Intervention.CANCELLED,)
        case Phase.TEST if first.step in OF_TESTS:
            return (Intervention.CANCELLED,)
    return ()


def _reads(point: Point) -> Iterator[Case]:
    kinds = (FaultKind.DROP_BEFORE,) if point.phase is Phase.TEST else READ_KINDS
    yield from (Case(point, kind) for kind in _known(point, kinds))


def _changes(point: Point) -> Iterator[Case]:
    yield from (Case(point, kind) for kind in _known(point, CHANGE_KINDS))
    yield Case(point, Intervention.KILLED_BEFORE)
    yield Case(point, Intervention.KILLED_AFTER)
    if has_task(point):
        yield from (Case(point, kind) for kind in TASK_KINDS)
        yield Case(point, Intervention.KILLED_WAITING)
        if point.endpoint == "cloud-director":
            yield Case(point, Intervention.LATE_EFFECT)
        else:
            yield Case(point, Intervention.FORGOTTEN)


def _first_of_each_step(points: Iterable[Point]) -> list[Point]:
    first: dict[tuple[Phase, str], Point] = {}
    for point in points:
        first.setdefault((point.phase, point.step), point)
    return list(first.values())


def is_change(point: Point) -> bool:
    """Whether the call changes something. Of an appliance's requests three only look."""
    if is_appliance(point.endpoint):
        return point.call not in ("status", "verify", "large-packets")
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


def _known(point: Point, kinds: Sequence[FaultKind]) -> Iterator[FaultKind]:
    """What that endpoint can do."""
    for kind in kinds:
        if is_appliance(point.endpoint) and kind in (FaultKind.REFUSE, FaultKind.EXPIRE_SESSION):
            continue
        if point.endpoint.endswith("veeam") and kind is FaultKind.BUSY:
            continue
        yield kind
