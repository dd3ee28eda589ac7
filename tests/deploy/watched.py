"""A worker with metrics, health and a log, as operators look at it."""

import asyncio
import json
import os
import ssl
from pathlib import Path
from typing import Any  # Any: what a log line holds
from unittest.mock import patch

from temporalio.client import Client

from lab.lab import Lab
from lab.ports import free_port
from lab.worker_process import WorkerProcess
from partial_failover.settings import TemporalSettings
from partial_failover.temporal.client import connect
from tests.deploy.commands import configured, written
from tests.waiting import page


async def lines_of(metrics: str) -> list[str]:
    """What Prometheus would read there."""
    return (await page(metrics)).text.splitlines()


async def metered_client(lab: Lab, namespace: str) -> tuple[Client, str]:
    """A client in this process as a worker has it, and where its metrics are."""
    address = f"127.0.0.1:{free_port()}"
    environment = {"TEMPORAL_ADDRESS": lab.temporal.address, "TEMPORAL_NAMESPACE": namespace}
    with patch.dict(os.environ, environment):
        return await connect(TemporalSettings(), address), f"http://{address}/metrics"


class Watched:
    """One of the lab's workers once more. `temporal`: address of the server if not the lab's own."""

    def __init__(self, lab: Lab, folder: Path, worker: str = "provider", temporal: str = "") -> None:
        self.metrics, self.health = free_port(), free_port()
        data = configured(lab, worker)
        data["metrics_address"] = f"127.0.0.1:{self.metrics}"
        data["health_address"] = f"127.0.0.1:{self.health}"
        self.health_url = f"http://127.0.0.1:{self.health}"
        self.metrics_page = f"http://127.0.0.1:{self.metrics}/metrics"
        self.process = WorkerProcess(written(folder, data), temporal or lab.temporal.address)

    async def start(self) -> None:
        self.process.spawn()
        await asyncio.to_thread(self.process.until_ready)

    async def healthy(self, path: str) -> bool:
        """Raises `NotYet` where it is not."""
        return bool(await page(f"{self.health_url}{path}"))

    async def measured(self) -> list[str]:
        return await lines_of(self.metrics_page)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.process.log_file.read_text().splitlines()]


class Relay:
    """A way to a server that can be cut: what comes after that is refused. `front`, `back`: TLS of its own
    towards the client, and towards the server."""

    def __init__(
        self, server: str, front: ssl.SSLContext | None = None, back: ssl.SSLContext | None = None
    ) -> None:
        host, _, port = server.rpartition(":")
        self._host, self._port, self._front, self._back = host, int(port), front, back
        self._ends: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> "Relay":
        self._listening = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self._front)
        self.address = f"127.0.0.1:{self._listening.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()

    def cut(self) -> None:
        self._listening.close()
        for end in self._ends:
            end.transport.abort()

    async def _connected(self, near: asyncio.StreamReader, near_end: asyncio.StreamWriter) -> None:
        far, far_end = await asyncio.open_connection(self._host, self._port, ssl=self._back)
        self._ends |= {near_end, far_end}
        await asyncio.gather(_pass(near, far_end), _pass(far, near_end), return_exceptions=True)
        self._ends -= {near_end, far_end}


async def _pass(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
    while part := await source.read(65536):
        to.write(part)
        await to.drain()
    to.close()


def value(lines: list[str], name: str, **labels: str) -> float | None:
    for line in lines:
        if line.startswith(f"{name}{{") and all(f'{k}="{v}"' in line for k, v in labels.items()):
            return float(line.rpartition(" ")[2])
    return None
