"""The product's commands as an operator runs them, against the lab."""

import asyncio
import copy
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # Any: what YAML holds
from unittest.mock import patch

import yaml

from lab.lab import Lab
from operate import check as checks
from settings import load

REPOSITORY = Path(__file__).parents[2]


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
    out, error = await asyncio.wait_for(process.communicate(), 60)
    return Ran(process.returncode or 0, out.decode(), error.decode())


async def check(lab: Lab, config: Path, **environment: str) -> Ran:
    """What `python worker.py config --check` does, in this process: it is asked for often."""
    with patch.dict(os.environ, {"TEMPORAL_ADDRESS": lab.temporal.address, **environment}):
        findings = await checks.check(load(config))
    return Ran(int(any(not f.good for f in findings)), checks.table(findings), "")


def configured(lab: Lab, worker: str) -> dict[str, Any]:
    """A copy of the settings of one of the lab's workers."""
    return copy.deepcopy(yaml.safe_load(lab.configs[worker].read_text()))


def written(folder: Path, settings: dict[str, Any]) -> Path:
    """Settings as a file."""
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(settings))
    return file
