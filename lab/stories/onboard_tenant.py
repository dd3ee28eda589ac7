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

from lab.stories import acts
from lab.stories.machines import Machines
from lab.stories.stage import DidNotHold, Figures, Stage
from lab.tenants import Lan, Machine, Tenant
from lab.worker_process import REPOSITORY
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


async def play(stage: Stage) -> Figures:
    """From nothing to a finished failover."""
    lab = stage.lab
    others = lab.centre.state()
    await lab.add_tenant(UMBRELLA)
    stage.timeline.say(
        f"{UMBRELLA.name} has an org VDC, replicas and appliances, and nothing else.", "yellow"
    )
    await _onboard(stage)
    stage.check("the tenants that were there are as before", not _touched(others, lab.centre.state()))
    with Stage(lab, UMBRELLA.name, stage.timeline) as theirs:
        try:
            figures = await _fail_over(theirs)
        finally:
            stage.broken += theirs.broken
    return figures


async def _fail_over(stage: Stage) -> Figures:
    before = await acts.accident(stage, VM)
    running = await stage.fail_over(VM)
    await acts.in_failover(stage, running)
    await acts.talk(stage, VM)
    delta = acts.write(stage, VM)
    report = await acts.undone(stage, running, delta)
    await acts.all_as_before(stage, before)
    stage.show(report)
    return acts.figures(stage, [report])


async def _onboard(stage: Stage) -> None:
    """Every command of the document, in its order."""
    folder, configs = stage.centre.folder / "onboarding", stage.lab.configs
    folder.mkdir()
    names = {"provider.yaml": configs["provider"], "tenant-site.yaml": configs[UMBRELLA.name]}

    async def run(command: str) -> tuple[int, str]:
        return await _run(command, folder, names, stage.lab.temporal.address)

    machines = Machines(stage.lab, UMBRELLA.name, folder, names, run)
    checked = False
    for command in commands():
        code, said = await machines.play(command) or await run(command)
        expected = 0
        if "--check" in command and not checked:
            checked, expected = True, 1
            stage.check(
                "the check names the namespace", "Namespace umbrella is not provisioned" in said, said
            )
        stage.check(f"$ {command}", code == expected, said)
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
    found = []
    for part, was in before.items():
        is_now = now[part]
        if isinstance(was, dict) and isinstance(is_now, dict):
            found += [f"{part} of {name}" for name in was if was[name] != is_now.get(name)]
    return found
