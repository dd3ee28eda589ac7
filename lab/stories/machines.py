"""The machines that the manual's commands speak of: folders for files, and what systemd and Kubernetes do.

A command works on the file that an earlier one put there, and on no other.
"""

import asyncio
import re
import shlex
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

from lab.lab import Lab
from lab.repository import REPOSITORY

Run = Callable[[str], Awaitable[tuple[int, str]]]
Output = tuple[int, str]
GATEWAY = "root@gateway.example"
WORKER_UNIT = "partial-failover-tenant-site"
ENVIRONMENT = REPOSITORY / "deploy/worker/systemd/tenant-site.env"
WORKLOADS = ("kubernetes", "overlay")


class Machines:
    """The operators' host is `folder`, and `run` runs a command there.

    `names`: the lab's files by the manual's names.
    """

    def __init__(self, lab: Lab, tenant: str, folder: Path, names: dict[str, Path], run: Run) -> None:
        self._lab, self._tenant, self._folder, self._names, self._run = lab, tenant, folder, names, run
        for name in WORKLOADS:
            shutil.copytree(REPOSITORY / "deploy/worker" / name, folder / "deploy/worker" / name)

    async def run(self, command: str) -> Output | None:
        """What it says, with its exit code; None: it is not for them."""
        match shlex.split(command):
            case ["cp", source, target]:
                return self._copy(source, self._folder / target)
            case ["scp", source, target] if target.startswith(f"{GATEWAY}:"):
                return self._copy(source, self._at("gateway", target.removeprefix(f"{GATEWAY}:")))
            case ["ssh", host, *words] if host == GATEWAY:
                return await self._gateway(words)
            case ["kubectl", "apply", "-k", overlay]:
                return await self._apply(self._folder / overlay)
            case ["kubectl", "-n", "partial-failover", "rollout", "status", "deployment/provider-worker"]:
                return 0, ""  # restarting waited for it
            case ["install", "-m", "644", source, target]:
                return self._copy(source, self._at("site", target))
            case ["systemctl", *words]:
                return await self._site(words)
        return None

    def _at(self, machine: str, path: str) -> Path:
        return self._folder / machine / Path(path).relative_to("/")

    def _copy(self, source: str, target: Path) -> Output:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self._names.get(source, self._folder / source), target)
        return 0, ""

    async def _gateway(self, words: list[str]) -> Output:
        match words:
            case ["haproxy", "-c", "-f", file]:
                return await self._run(f"haproxy -c -f {self._at('gateway', file)}")
            case ["mv", source, target]:
                self._at("gateway", source).replace(self._at("gateway", target))
                return 0, ""
            case ["systemctl", "reload", "haproxy"]:
                config = self._at("gateway", "/etc/haproxy/haproxy.cfg").read_text()
                await asyncio.to_thread(self._lab.centre.fabric.reload_gateway, "cloud-gateway", config)
                return 0, ""
        return 127, f"the gateway of the story does not know {words}"

    async def _apply(self, overlay: Path) -> Output:
        """A changed configuration replaces the workers; the lab has one."""
        if (overlay / "config.yaml").read_text() != self._lab.configs["provider"].read_text():
            return 1, "the overlay does not hold the new provider.yaml"
        await self._lab.restart_worker("provider")
        return 0, ""

    async def _site(self, words: list[str]) -> Output:
        """At the tenant's: the units read the file that their environment names."""
        [file] = re.findall(r"^WORKER_CONFIG=(\S+)$", ENVIRONMENT.read_text(), re.MULTILINE)
        config = self._at("site", file)
        if not config.exists() or config.read_text() != self._lab.configs[self._tenant].read_text():
            return 1, f"{file} is not the tenant's configuration"
        match words:
            case ["start", "partial-failover-check"]:
                return await self._run(f"partial-failover worker {config} --check")
            case ["enable", "--now", unit] if unit == WORKER_UNIT:
                await self._lab.restart_worker(self._tenant)
                return 0, ""
        return 127, f"the story cannot play systemctl {words}"
