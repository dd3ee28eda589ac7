"""What `--check` found, as one table."""

import asyncio
import textwrap
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from appliance import VERSION
from partial_failover.connectors.certificate import valid_until
from partial_failover.contracts.appliance import ApplianceRole, ApplianceStatus
from partial_failover.contracts.errors import FailoverError, Misconfigured

WIDTH = 76
"""Columns of what was found; longer texts go on below."""
CERTIFICATE_DAYS = timedelta(days=30)
"""A certificate that ends within this is warned of."""


class Status(StrEnum):
    """How something was found. Only what failed makes the check fail."""

    OK = "ok"
    WARNING = "warning"
    NOT_LOOKED_AT = "not looked at"
    """It could not be seen, so nothing is known of it."""
    FAILED = "FAILED"


class NotLookedAt(Exception):
    """Why something could not be looked at, where that is no failure by itself."""


class Doubtful(Exception):
    """It works now; the text says what will not, or may not."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `tenant`: its namespace, or "" for what all tenants share."""

    tenant: str
    what: str
    status: Status
    text: str

    @property
    def good(self) -> bool:
        """Whether nothing is known to stand in the way."""
        return self.status is not Status.FAILED


@dataclass
class Findings:
    """Collects them; an error is a finding, and the look goes on."""

    all: list[Finding] = field(default_factory=list)

    async def look(self, tenant: str, what: str, ask: Callable[[], Awaitable[str]]) -> bool:
        """Whether it works. `ask` returns a sentence, or raises one: a `FailoverError` or `RuntimeError` for
        what is wrong, `Doubtful`, `NotLookedAt`."""
        try:
            text, status = await ask(), Status.OK
        except Doubtful as doubt:
            text, status = str(doubt), Status.WARNING
        except NotLookedAt as why:
            text, status = str(why), Status.NOT_LOOKED_AT
        except (FailoverError, RuntimeError) as error:
            text, status = str(error), Status.FAILED
        self.all.append(Finding(tenant, what, status, text))
        return status in (Status.OK, Status.WARNING)

    async def look_in_thread(self, tenant: str, what: str, ask: Callable[[], str]) -> bool:
        """The same for what blocks."""
        return await self.look(tenant, what, lambda: asyncio.to_thread(ask))

    def skip(self, tenant: str, whats: Sequence[str], why: str) -> None:
        """Say what was left out."""
        self.all += [Finding(tenant, what, Status.NOT_LOOKED_AT, why) for what in whats]

    async def certificate(self, tenant: str, of: str, address: str, ca_file: Path | None) -> None:
        """How long a server's certificate lasts. `address`: https URL."""
        url = urlsplit(address)
        host, port = url.hostname or "", url.port or 443
        await self.look_in_thread(
            tenant, f"certificate of {of}", lambda: _lasts(valid_until(host, port, ca_file))
        )


def table(findings: list[Finding]) -> str:
    """For a terminal, in the order in which was looked."""
    rows = [(f.tenant or "(all)", f.what, f.status.value, f.text) for f in findings]
    header = ("TENANT", "WHAT", "", "FOUND")
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(3)]
    lines: list[str] = []
    for row in (header, *rows):
        start = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)) + "  "
        wrapped = textwrap.wrap(_plain(row[3]), WIDTH) or [""]
        lines += [start + wrapped[0], *(" " * len(start) + more for more in wrapped[1:])]
    return "\n".join(line.rstrip() for line in [*lines, "", _sum(findings)]) + "\n"


def _sum(findings: list[Finding]) -> str:
    count = {status: sum(f.status is status for f in findings) for status in Status}
    if count[Status.OK] == len(findings):
        return f"all {len(findings)} ok"
    others = [f"{n} {status.value}" for status, n in count.items() if n and status is not Status.FAILED]
    failed = f", {count[Status.FAILED]} of {len(findings)} FAILED" if count[Status.FAILED] else ""
    return ", ".join(others) + failed


def together(problems: Sequence[str], of: int) -> str:
    """All of them in one text, so that nobody repairs one after the other."""
    return f"{len(problems)} of {of}: " + " ".join(f"({n}) {p}" for n, p in enumerate(problems, 1))


def appliance_answer(status: ApplianceStatus, role: ApplianceRole) -> str:
    """One sentence on an appliance that answered. Raises `Misconfigured` for a wrong role or version."""
    if status.role is not role:
        raise Misconfigured(
            f"The appliance says that it is the {status.role}'s, not the {role}'s",
            do="Check host and host_key in the configuration",
        )
    if status.version != VERSION:
        raise Misconfigured(
            f"The appliance's program has version {status.version}, this worker's is {VERSION}",
            do="Install this version of the program on the appliance",
        )
    return f"answers; program version {status.version}, VPN {status.vpn.state}, {len(status.leases)} leases"


def _lasts(end: datetime) -> str:
    left = end - datetime.now(UTC)
    text = f"until {end:%Y-%m-%d}, {left.days} days"
    if left < CERTIFICATE_DAYS:
        raise Doubtful(f"{text}: renew it")
    return text


def _plain(text: str) -> str:
    """Other systems' names and answers, without control characters of a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)
