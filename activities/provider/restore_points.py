"""Choosing a restore point: one that replication made. Pure: no call leaves this file."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from partial_failover.contracts.duration_text import duration_text
from partial_failover.contracts.errors import BadRequest, NotFound
from partial_failover.contracts.replica import RestorePoint
from partial_failover.contracts.replication import ReplicaRecord, record_of

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def latest(points: Sequence[RestorePoint]) -> RestorePoint:
    """The newest of replication's, by creation time. Anybody else's snapshots do not count."""
    made = [p for p in points if not p.foreign]
    if not made:
        others = ", ".join(_named(p) for p in points[-5:])
        besides = f", only snapshots that replication did not make: {others}" if others else ""
        raise NotFound(
            f"The replica has no restore point{besides}", do="Let replication run once, then start again"
        )
    return max(made, key=lambda p: (p.created, p.number))


def choose(points: Sequence[RestorePoint], choice: str) -> RestorePoint:
    """`choice`: "latest", a point's id, or a time: then the newest point not after it. Raises `BadRequest`
    for the id of a snapshot that replication did not make."""
    if choice == "latest":
        return latest(points)
    made = [p for p in points if not p.foreign]
    have = ", ".join(f"{p.id} of {p.created:%Y-%m-%d %H:%M:%S} UTC" for p in made[-5:])
    do = f"Choose one of: {have or 'there is none'}"
    if choice.startswith("snapshot-"):
        fits = [p for p in points if p.id == choice]
    else:
        limit = datetime.fromisoformat(choice)
        fits = [p for p in made if p.created <= limit]
    if not fits:
        what = choice if choice.startswith("snapshot-") else f"not after {choice}"
        raise NotFound(f"There is no restore point {what}", do=do)
    if all(p.foreign for p in fits):
        raise BadRequest(f"{_named(fits[0])} is no restore point: replication did not make it", do=do)
    return latest(fits)


class Choice:
    """Of the restore point that fits the request now. One that came after the plan, which nobody could look
    at, is passed over where the backup server's scans call it infected."""

    def __init__(self, planned: RestorePoint, choice: str, records: Sequence[ReplicaRecord] | None) -> None:
        """`choice`: empty takes the planned one. `records`: None if the server could not be asked."""
        self._planned, self._choice, self._records = planned, choice, records
        self._found: dict[str, str] = {}
        """By a point's id what the scans found."""
        self._infected: list[RestorePoint] = []

    def pick(self, chain: Sequence[RestorePoint]) -> RestorePoint:
        """From the replica's chain as it is. Raises `NotFound` where nothing fits any more."""
        planned = self._planned
        if not self._choice:
            return planned
        self._found = _malware(chain, self._records or ())
        self._infected = [p for p in chain if p.id != planned.id and self._found.get(p.id) == "infected"]
        try:
            return choose([p for p in chain if p not in self._infected], self._choice)
        except NotFound as error:
            gone = f"{dated(planned)}, which was planned, is gone"
            others = f", and scans call {_dated(self._infected)} infected" if self._infected else ""
            raise NotFound(
                f"{error.happened} any more: {gone}{others}", left="Nothing was reverted", do=error.do
            ) from None

    def instead(self, point: RestorePoint) -> str:
        """Why it is not the planned one, or not the newest one. Empty: nothing is to be said."""
        planned = self._planned
        newer = [p for p in self._infected if p.created > point.created]
        passed = f"{_dated(newer)}, made since this was planned, was passed over: scans call it infected"
        if point.id == planned.id:
            return f"It stands on {dated(point)} as planned; {passed}" if newer else ""
        made = point.created > planned.created
        why = "replication made it after this was planned" if made else "that is not there any more"
        said = [f"It stands on {dated(point)}, not on {dated(planned)} as planned: {why}"]
        said += [passed] if newer else []
        if self._records is None:
            said.append("The backup server could not be asked what its scans found in it")
        elif self._found.get(point.id) == "suspicious":
            said.append("The backup server's scans call it suspicious")
        return "; ".join(said)


def kept(points: Sequence[RestorePoint], marked: str | None, choice: str) -> str:
    """Of an adoption: the point that the replica's marker names, while it is there to be chosen."""
    return marked if marked and any(p.id == marked and not p.foreign for p in points) else choice


def cautions(points: Sequence[RestorePoint], now: datetime) -> tuple[str, ...]:
    """What to say of a chain from which a point can be chosen: old data, and snapshots of others."""
    made, foreign = [p for p in points if not p.foreign], [p for p in points if p.foreign]
    newest = latest(made)
    age, rhythm = now - newest.created, _rhythm(made)
    said = []
    if age > DAY or (rhythm is not None and age > max(3 * rhythm, HOUR)):
        every = f"; before, there was one every {duration_text(rhythm)}" if rhythm else ""
        said.append(f"The newest restore point is {duration_text(age)} old: is it replicated still?{every}")
    if foreign:
        named = ", ".join(f"{_named(p)} of {p.created:%Y-%m-%d %H:%M} UTC" for p in foreign[-5:])
        said.append(
            f"Replication did not make every snapshot of the replica: {named}. "
            "It is not used, and undo does not revert to it; find out who made it"
        )
    return tuple(said)


def _rhythm(made: Sequence[RestorePoint]) -> timedelta | None:
    """The time between two points, as it was in half of the cases. Unknown of fewer than four points."""
    times = sorted(p.created for p in made)
    gaps = sorted(after - before for before, after in pairwise(times))
    return gaps[len(gaps) // 2] if len(gaps) >= 3 else None


def _named(point: RestorePoint) -> str:
    return f"{point.id} ({point.name})"


def dated(point: RestorePoint) -> str:
    """For people."""
    return f"{point.name} of {point.created:%Y-%m-%d %H:%M:%S} UTC"


def _dated(points: Sequence[RestorePoint]) -> str:
    return " and ".join(dated(p) for p in points)


def _malware(points: Sequence[RestorePoint], records: Sequence[ReplicaRecord]) -> dict[str, str]:
    """By a point's id what the backup server's scans found in it, where it knows the point."""
    record = record_of(points, records)
    return {point: known.malware for point, known in record.paired(points).items()} if record else {}
