"""What `--check` found, as one table."""

import asyncio
import textwrap
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from appliance import VERSION
from contracts.appliance import ApplianceRole, ApplianceStatus
from contracts.errors import Fault, Misconfigured

WIDTH = 76
"""Columns of what was found; longer texts go on below."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `tenant`: its namespace, or "" for what all tenants share."""

    tenant: str
    what: str
    good: bool
    said: str


@dataclass
class Findings:
    """Collects them; a fault is a finding, and the look goes on."""

    all: list[Finding] = field(default_factory=list)

    async def look(self, tenant: str, what: str, ask: Callable[[], Awaitable[str]]) -> bool:
        """Whether it is good. `ask` returns a sentence, or raises a `Fault` or `RuntimeError` that is one."""
        try:
            said, good = await ask(), True
        except (Fault, RuntimeError) as error:
            said, good = str(error), False
        self.all.append(Finding(tenant, what, good, said))
        return good

    async def look_in_thread(self, tenant: str, what: str, ask: Callable[[], str]) -> bool:
        """The same for what blocks."""
        return await self.look(tenant, what, lambda: asyncio.to_thread(ask))


def table(findings: list[Finding]) -> str:
    """For a terminal, in the order in which was looked."""
    rows = [(f.tenant or "(all)", f.what, "ok" if f.good else "FAILED", f.said) for f in findings]
    header = ("TENANT", "WHAT", "", "FOUND")
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(3)]
    lines: list[str] = []
    for row in (header, *rows):
        start = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)) + "  "
        said = textwrap.wrap(_plain(row[3]), WIDTH) or [""]
        lines += [start + said[0], *(" " * len(start) + more for more in said[1:])]
    bad = sum(not f.good for f in findings)
    end = f"{bad} of {len(findings)} FAILED" if bad else f"all {len(findings)} ok"
    return "\n".join(line.rstrip() for line in [*lines, "", end]) + "\n"


def appliance_said(status: ApplianceStatus, role: ApplianceRole) -> str:
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


def _plain(text: str) -> str:
    """Other systems' names and answers, without control characters of a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)
