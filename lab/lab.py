"""The lab whole: the data centre, a real Temporal server, and the product's workers."""

import asyncio
from pathlib import Path

from temporalio.client import Client

from lab.data_centre import DataCentre
from lab.temporal_server import TemporalServer
from lab.tenants import Tenant
from lab.worker_config import write_configs
from lab.worker_process import WorkerProcess
from partial_failover.settings import ProviderWorkerSettings, load
from partial_failover.temporal.converter import data_converter
from partial_failover.temporal.namespaces import provision, wanted


class Lab:
    """`async with Lab(folder) as lab:`; everything that it started ends with it."""

    def __init__(self, folder: Path, simulated: bool = False) -> None:
        self.centre = DataCentre(folder, simulated=simulated)
        self.temporal = TemporalServer(folder / "temporal")
        self.configs: dict[str, Path] = {}
        self.workers: dict[str, WorkerProcess] = {}

    async def __aenter__(self) -> "Lab":
        building = asyncio.create_task(asyncio.to_thread(self.centre.start))
        try:
            await asyncio.gather(self.temporal.start(), asyncio.shield(building))
            self.configs = write_configs(self.centre)
            await self.provision()
            await self._start_workers()
        except BaseException:
            await asyncio.wait([building])  # its thread cannot be cancelled, and must not build on meanwhile
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def provision(self) -> None:
        """What `partial-failover operate provision` does with the provider's file."""
        settings = load(self.configs["provider"])
        assert isinstance(settings, ProviderWorkerSettings)
        await provision(await Client.connect(self.temporal.address), wanted(settings))

    async def _start_workers(self) -> None:
        for name, file in self.configs.items():
            self.workers[name] = WorkerProcess(file, self.temporal.address)
        # Children die with the thread that starts them, so they are started from this one.
        for worker in self.workers.values():
            worker.spawn()
        await asyncio.gather(*(asyncio.to_thread(w.until_ready) for w in self.workers.values()))

    async def add_tenant(self, tenant: Tenant) -> None:
        """In the data centre and in the configurations; no namespace is made and no worker started."""
        await asyncio.to_thread(self.centre.add_tenant, tenant)
        self.configs = write_configs(self.centre)

    async def restart_worker(self, name: str) -> None:
        """Stop a worker in good order, if it runs, and start it with its configuration as it is now."""
        worker = self.workers.setdefault(name, WorkerProcess(self.configs[name], self.temporal.address))
        await asyncio.to_thread(worker.stop)
        worker.spawn()
        await asyncio.to_thread(worker.until_ready)

    async def close(self) -> None:
        """Workers first, so that they log out while there is somebody to log out from."""
        await asyncio.gather(*(asyncio.to_thread(w.stop) for w in self.workers.values()))
        await self.temporal.stop()
        await asyncio.to_thread(self.centre.close)

    async def client(self, namespace: str) -> Client:
        """A client of one tenant's namespace, with the product's converter."""
        return await Client.connect(self.temporal.address, namespace=namespace, data_converter=data_converter)
