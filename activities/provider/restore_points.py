"""Choosing a restore point: one that replication made. Pure: no call leaves this file."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from partial_failover.contracts.duration_text import duration_text
from partial_failover.contracts.errors import BadRequest, NotFound
from partial_failover.contracts.replica import RestorePoint

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
