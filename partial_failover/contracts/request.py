"""What a tenant types into the Web UI: one small JSON object for each workflow and Update."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field

from partial_failover.contracts.base import Contract, UserInput

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _short_duration(value: Any) -> Any:  # Any: whatever JSON holds, pydantic judges the rest
    """Let people write "90s", "30m", "4h" or "2d" beside ISO 8601 ("PT4H"). A number alone is refused: who
    writes 4 means four of something."""
    if isinstance(value, timedelta) or (isinstance(value, str) and value.startswith("P")):
        return value
    match = re.fullmatch(r"(\d{1,6})([smhd])", value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError('is a time with its unit, in quotes, like "90s", "30m", "4h" or "2d"')
    return int(match[1]) * _UNITS[match[2]]


def _restore_point(value: Any) -> Any:  # Any: whatever JSON holds, pydantic judges the rest
    if not isinstance(value, str) or value == "latest" or re.fullmatch(r"snapshot-\d{1,12}", value):
        return value
    try:
        when = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError('is "latest", a time like "2026-11-22T06:00Z", or a point\'s id') from None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).isoformat()


Duration = Annotated[timedelta, BeforeValidator(_short_duration), Field(gt=timedelta(0))]
VmName = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")]
PointChoice = Annotated[str, BeforeValidator(_restore_point), Field(max_length=64)]
Reason = Annotated[str, Field(max_length=500)]


class PartialFailoverRequest(UserInput):
    """Fail over one VM to its replica.

    `vm`: the original VM's name. `restore_point`: "latest", a time (the newest point not after it; UTC
    if it names no zone) or a point's id. `undo_after`: undo by itself after this time in Failover.
    `original_may_run`: go on although the original still owns the address on the production network.
    `adopt`: take over a replica that a failover left which no longer runs (terminated, history lost), in
    the state it is in; one that runs or has written is not reverted.
    """

    model_config = ConfigDict(json_schema_extra={"example": {"vm": "erp-db-01"}})

    vm: VmName
    restore_point: PointChoice = "latest"
    reason: Reason = ""
    undo_after: Duration | None = None
    original_may_run: bool = False
    adopt: bool = False


class UndoRequest(UserInput):
    """Power the replica off, discard what it wrote, and put it back to Normal."""

    model_config = ConfigDict(json_schema_extra={"example": {"reason": "the original is repaired"}})

    reason: Reason = ""


class ResumeRequest(UserInput):
    """Bring a replica in Failover on again that was switched off or suspended. What it wrote is kept."""

    model_config = ConfigDict(json_schema_extra={"example": {"reason": "the lease was extended"}})

    reason: Reason = ""


class Accepted(Contract):
    """The answer to an Update: it was accepted, and what happens now."""

    message: str


class ListReplicasRequest(UserInput):
    """No fields: `{}`."""

    model_config = ConfigDict(json_schema_extra={"example": {}})


class CheckReadinessRequest(UserInput):
    """`vms`: only these originals; all when empty."""

    model_config = ConfigDict(json_schema_extra={"example": {}})

    vms: tuple[VmName, ...] = ()
