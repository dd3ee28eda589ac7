"""The product's commands as an operator runs them, against the lab; and the tools that check its files."""

import asyncio
import copy
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # Any: what YAML holds
from unittest.mock import patch

import pytest
import yaml

from lab.lab import Lab
from partial_failover.settings import load
from partial_failover.site_check import check as checks
from tests.waiting import PATIENCE

REPOSITORY = Path(__file__).parents[2]
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    error: str


async def run(lab: Lab, *arguments: str | Path, **environment: str) -> Ran:
    """`python …` with the lab's Temporal server in the environment."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *map(str, arguments),
        cwd=REPOSITORY,
        env={**os.environ, "TEMPORAL_ADDRESS": lab.temporal.address, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await asyncio.wait_for(process.communicate(), PATIENCE)
    return Ran(process.returncode or 0, out.decode(), error.decode())


async def command(lab: Lab, *words: str | Path) -> Ran:
    """`partial-failover …`."""
    return await run(lab, "-m", "partial_failover", *words)


async def check(lab: Lab, config: Path, **environment: str) -> Ran:
    """What `python worker.py config --check` does, in this process: it is asked for often."""
    with patch.dict(os.environ, {"TEMPORAL_ADDRESS": lab.temporal.address, **environment}):
        findings = await checks.check(load(config))
    return Ran(int(any(not f.good for f in findings)), checks.table(findings), "")


def lines(out: str) -> dict[tuple[str, str], str]:
    """Tenant and what was looked at, to what was found, on one line."""
    rows: dict[tuple[str, str], str] = {}
    key = ("", "")
    start = out.index("FOUND") if "FOUND" in out else 0
    for line in out.splitlines()[1:]:
        if not line:
            break
        cells = [c.strip() for c in line[:start].split("  ") if c.strip()]
        if cells:
            key = (cells[0], cells[1])
            rows[key] = cells[2]
        rows[key] += " " + line[start:].strip()
    return rows


def configured(lab: Lab, worker: str) -> dict[str, Any]:
    """A copy of the settings of one of the lab's workers."""
    return copy.deepcopy(yaml.safe_load(lab.configs[worker].read_text()))


def written(folder: Path, settings: dict[str, Any]) -> Path:
    """Settings as a file."""
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(settings))
    return file


ONLY_X86 = {"hadolint", "kubectl"}
"""Programs that come from packages which hold them for x86-64 alone."""


def program_path(name: str) -> str | None:
    """A program beside Python, or in the path."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name, path=PATH)


def tool(name: str) -> str:
    """A program, or a skip that says what is missing. Continuous integration has them all, or fails."""
    program = program_path(name)
    if program is None:
        elsewhere = name in ONLY_X86 and platform.machine() != "x86_64"
        absent = pytest.skip if elsewhere or not os.environ.get("CI") else pytest.fail
        absent(f"{name} is not installed")
    return program


def output_of(*argv: str | Path, folder: Path = REPOSITORY, stdin: str = "") -> str:
    """What a command printed; it must end well."""
    done = subprocess.run(
        [*map(str, argv)], cwd=folder, capture_output=True, text=True, input=stdin, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
