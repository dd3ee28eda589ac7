"""Choosing a restore point. Pure: no call leaves this file."""

from collections.abc import Sequence
from datetime import datetime

from partial_failover.contracts.errors import NotFound
from partial_failover.contracts.replica import RestorePoint


def latest(points: Sequence[RestorePoint]) -> RestorePoint:
    """The newest by creation time."""
    if not points:
        raise NotFound("The replica has no restore point", do="Let replication run once, then start again")
    return max(points, key=lambda p: (p.created, p.number))


def choose(points: Sequence[RestorePoint], choice: str) -> RestorePoint:
    """`choice`: "latest", a point's id, or a time: then the newest point not after it."""
    if choice == "latest":
        return latest(points)
    have = ", ".join(f"{p.id} of {p.created:%Y-%m-%d %H:%M:%S} UTC" for p in points[-5:])
    if choice.startswith("snapshot-"):
        fits = [p for p in points if p.id == choice]
    else:
        limit = datetime.fromisoformat(choice)
        fits = [p for p in points if p.created <= limit]
    if not fits:
        what = choice if choice.startswith("snapshot-") else f"not after {choice}"
        raise NotFound(f"There is no restore point {what}", do=f"Choose one of: {have or 'there is none'}")
    return latest(fits)
