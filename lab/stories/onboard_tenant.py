"""A tenant that nobody has heard of is onboarded by the commands of `docs/operations.md`, and fails over.

The commands are taken out of the document, and run on the operators' host. What they do to other machines is
played by the lab (`machines.py`).
"""

import asyncio
import os
import re
import sys
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

from lab.repository import REPOSITORY
from lab.stories import one_vm
from lab.stories.context import DidNotHold, Figures, StoryContext
from lab.stories.machines import Machines
from lab.tenants import Lan, Machine, Tenant
from partial_failover.contracts.plan import Extension

UMBRELLA = Tenant(
    "umbrella",
    4,
    Extension.APPLIANCE,
    (
        Lan(
            "umbrella-lan",
            "Production",
            IPv4Interface("192.168.10.1/24"),
            IPv4Address("192.168.10.251"),
            IPv4Address("192.168.10.252"),
        ),
    ),
    (
        Machine("lims-db-01", "umbrella-lan", IPv4Address("192.168.10.50"), replicated=True),
        Machine("lims-app-01", "umbrella-lan", IPv4Address("192.168.10.20")),
    ),
)
"""The same subnet and addresses as other tenants: nothing may cross."""
VM = "lims-db-01"
CHAPTER = "Onboarding a tenant"
COMMAND_SECONDS = 60.0
PROGRAMS = {"partial-failover": [sys.executable, "-m", "partial_failover"]}


async def run(context: StoryContext) -> Figures:
    """From nothing to a finished failover."""
    lab = context.lab
    others = lab.centre.state()
    await lab.add_tenant(UMBRELLA)
    context.timeline.say(
        f"{UMBRELLA.name} has an org VDC, replicas and appliances, and nothing else.", "yellow"
    )
    await _onboard(context)
    context.check("the tenants that were there are as before", not _touched(others, lab.centre.state()))
    with StoryContext(lab, UMBRELLA.name, context.timeline) as theirs:
        try:
            figures = await one_vm.fail_over(theirs, VM)
        finally:
            context.broken += theirs.broken
    return figures


async def _onboard(context: StoryContext) -> None:
    """Every command of the document, in its order."""
    folder, configs = context.centre.folder / "onboarding", context.lab.configs
    folder.mkdir()
    names = {"provider.yaml": configs["provider"], "tenant-site.yaml": configs[UMBRELLA.name]}

    async def run(command: str) -> tuple[int, str]:
        return await _run(command, folder, names, context.lab.temporal.address)

    machines = Machines(context.lab, UMBRELLA.name, folder, names, run)
    checked = False
    for command in commands():
        code, output = await machines.run(command) or await run(command)
        expected = 0
        if "--check" in command and not checked:
            checked, expected = True, 1
            context.check(
                "the check names the namespace", "Namespace umbrella is not provisioned" in output, output
            )
        context.check(f"$ {command}", code == expected, output)
        if code != expected:
            raise DidNotHold(f"{command} ended with {code}")


def commands() -> list[str]:
    """The commands of the chapter."""
    text = (REPOSITORY / "docs" / "operations.md").read_text()
    chapter = text.split(f"## {CHAPTER}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", chapter, re.DOTALL)
    lines = re.sub(r"\\\n\s*", "", "\n".join(blocks)).splitlines()
    return [line.strip() for line in lines if line.strip()]


async def _run(command: str, folder: Path, names: dict[str, Path], temporal: str) -> tuple[int, str]:
    """In a folder of its own, where the document's file names lead to the lab's files. No shell."""
    words, _, output = command.partition(" > ")
    given, argv = {}, [str(names.get(word, word)) for word in words.split()]
    while "=" in argv[0]:
        name, _, value = argv.pop(0).partition("=")
        given[name] = value
    argv[:1] = PROGRAMS.get(argv[0], argv[:1])
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    environment = {"TEMPORAL_ADDRESS": temporal, "PYTHONPATH": str(REPOSITORY)}
    process = await asyncio.create_subprocess_exec(
        *argv,
        cwd=folder,
        env={**os.environ, "PATH": path, **environment, **given},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, errors = await asyncio.wait_for(process.communicate(), COMMAND_SECONDS)
    if output:
        (folder / output).write_bytes(printed)
    return process.returncode or 0, (printed + errors).decode()


def _touched(before: dict[str, object], now: dict[str, object]) -> list[str]:
    """Entries of the tenants that were there and are not as they were."""
    changes = []
    for part, was in before.items():
        is_now = now[part]
        if isinstance(was, dict) and isinstance(is_now, dict):
            changes += [f"{part} of {name}" for name in was if was[name] != is_now.get(name)]
    return changes
