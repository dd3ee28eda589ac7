"""What a failover test looks at, and what it saw."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from partial_failover.contracts.base import Contract
from partial_failover.contracts.duration_text import duration_text
from partial_failover.contracts.endpoint import Port
from partial_failover.contracts.request import Duration
from partial_failover.contracts.step_data import StepInput

LONGEST_CHECK = timedelta(hours=1)
Timeout = Annotated[Duration, Field(le=LONGEST_CHECK)]
ProgramName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$")]
HttpPath = Annotated[str, Field(max_length=500, pattern=r"^/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*$")]


class _Check(Contract):
    """`timeout`: a check that does not hold by then has failed."""

    timeout: Timeout = timedelta(minutes=5)


class PowerCheck(_Check):
    """vSphere says that the replica is powered on."""

    check: Literal["power"] = "power"


class HeartbeatCheck(_Check):
    """VMware Tools run in the guest and its heartbeat is green."""

    check: Literal["heartbeat"] = "heartbeat"


class AddressCheck(_Check):
    """The guest reports one of the replica's own addresses. Skipped while its NICs are disconnected."""

    check: Literal["address"] = "address"


class UptimeCheck(_Check):
    """The guest has been up for so long without a restart, and its heartbeat is green."""

    check: Literal["uptime"] = "uptime"
    at_least: Duration = timedelta(minutes=1)


class TcpCheck(_Check):
    """A TCP connection to the replica's address opens. Skipped where no test network is reachable."""

    check: Literal["tcp"] = "tcp"
    port: Port


class HttpCheck(_Check):
    """A GET answers with `status`. With `tls` the certificate is not checked: the address has no name."""

    check: Literal["http"] = "http"
    port: Port
    path: HttpPath = "/"
    status: Annotated[int, Field(ge=100, le=599)] = 200
    tls: bool = False


class ProgramCheck(_Check):
    """A program that the provider configured under this name ends with 0 in the guest."""

    check: Literal["program"] = "program"
    program: ProgramName


AnyCheck = Annotated[
    PowerCheck | HeartbeatCheck | AddressCheck | UptimeCheck | TcpCheck | HttpCheck | ProgramCheck,
    Field(discriminator="check"),
]


def _word(value: Any) -> Any:  # Any: whatever JSON holds, pydantic judges the rest
    """Let people write "heartbeat" for {"check": "heartbeat"}."""
    return {"check": value} if isinstance(value, str) else value


Check = Annotated[AnyCheck, BeforeValidator(_word)]


def called(check: AnyCheck) -> str:
    """A check in a few words, for timelines and reports."""
    match check:
        case TcpCheck():
            return f"TCP port {check.port} accepts a connection"
        case HttpCheck():
            return f"{'HTTPS' if check.tls else 'HTTP'} port {check.port} answers {check.status}"
        case UptimeCheck():
            return f"guest up for {duration_text(check.at_least)}"
        case ProgramCheck():
            return f'program "{check.program}" ends well'
    return {"power": "powered on", "heartbeat": "guest heartbeat", "address": "guest address"}[check.check]


class CheckOutcome(StrEnum):
    """What a check came to."""

    PASS = "pass"
    FAIL = "fail"
    SKIPPED = "skipped"


class CheckInput(StepInput):
    """One check of one replica."""

    check: Check


class CheckResult(Contract):
    """`reason`: what was seen, in a sentence. `after_s`: seconds until it held or was given up. `attempt`: of
    the step that looked."""

    what: str
    outcome: CheckOutcome
    reason: str
    after_s: float
    attempt: int = 1
