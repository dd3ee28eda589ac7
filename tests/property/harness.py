"""The lab of the property test, for code that is not async."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any  # Any: results of workflows, fields of requests

from temporalio.client import (
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowUpdateFailedError,
)
from temporalio.service import RPCError

from lab.crash_matrix.driver import failure_of, is_free
from lab.crash_matrix.rules import Rules
from lab.lab import Lab
from lab.veeam.accounts import Role
from lab.worker_process import WorkerProcess
from partial_failover.temporal.search_attributes import REPLICA_STATE

VMS = {"erp-db-01": "acme", "mail-01": "acme", "crm-db-01": "globex"}
SETTLES_WITHIN = 180.0
Handle = WorkflowHandle[Any, Any]


class Harness:
    """A lab with an event loop in a thread of its own, which outlives every example."""

    def __init__(self, folder: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.lab = Lab(folder, simulated=True)
        self.do(self.lab.__aenter__())
        for vm, tenant in VMS.items():
            site = self.lab.centre.sites[tenant]
            site.hypervisor.power_off(site.vm(vm))
        self.rules = {vm: Rules(self.lab.centre, tenant, vm) for vm, tenant in VMS.items()}
        self.clients = {tenant: self.do(self.lab.client(tenant)) for tenant in VMS.values()}

    def do(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run it in the lab's loop, and wait."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(SETTLES_WITHIN)

    def start(self, vm: str, **request: Any) -> Handle:
        """A failover, as a tenant types it."""
        name, request = f"{vm}-{time.time_ns()}", {"vm": vm, **request}
        client = self.clients[VMS[vm]]
        handle: Handle = self.do(
            client.start_workflow("PartialFailover", request, id=name, task_queue="provider")
        )
        return handle

    def state(self, handle: Handle) -> str:
        """The replica's, as the workflow says; "ended" when that has come to its end."""
        found: WorkflowExecutionDescription = self.do(handle.describe())
        if found.status is not WorkflowExecutionStatus.RUNNING:
            return "ended"
        return found.typed_search_attributes.get(REPLICA_STATE) or ""

    def ended(self, handle: Handle) -> bool:
        """Whether the workflow has come to its end."""
        return self.state(handle) == "ended"

    def over(self, handle: Handle) -> bool:
        """The same; and what stands as FailedFailover is tried again, as by a person who repaired it."""
        state = self.state(handle)
        if state == "FailedFailover":
            self.update(handle, "retry_compensation")
        return state == "ended"

    def terminate(self, handle: Handle) -> bool:
        """False when it had ended before."""
        try:
            self.do(handle.terminate())
        except RPCError:
            return False
        return True

    def failure(self, handle: Handle) -> str:
        """What it says of its end."""
        return str(self.do(failure_of(handle)))

    def free(self, vm: str) -> bool:
        """Whether nobody holds the replica."""
        return bool(self.do(is_free(self.clients[VMS[vm]], self.lab.centre, vm)))

    def update(self, handle: Handle, name: str) -> bool:
        """Whether it was accepted."""
        try:
            self.do(handle.execute_update(name, {}))
        except (WorkflowUpdateFailedError, RPCError):
            return False
        return True

    def backup_role(self, tenant: str, role: Role) -> None:
        """What the product's account at the tenant's backup server may do from now on."""
        self.lab.centre.sites[tenant].set_backup_role(role)

    def respawn(self, worker: WorkerProcess) -> None:
        """In the lab's own thread: a worker dies with the thread that starts it."""

        async def spawn() -> None:
            worker.spawn()

        self.do(spawn())
        worker.until_ready()

    def wait(self, reached: Callable[[], bool], what: str) -> None:
        """Poll."""
        end = time.monotonic() + SETTLES_WITHIN
        while not reached():
            if time.monotonic() > end:
                raise AssertionError(f"waited in vain for {what}\n{self.do(self._story())}")
            time.sleep(0.1)

    async def _story(self) -> str:
        """What the pages of all running failovers say."""
        pages = []
        for client in self.clients.values():
            async for found in client.list_workflows("WorkflowType='PartialFailover'"):
                if found.status is WorkflowExecutionStatus.RUNNING:
                    handle = client.get_workflow_handle(found.id)
                    pages.append((await handle.query("__temporal_workflow_metadata")).current_details)
                    pages.append(str((await handle.describe()).raw_description.pending_activities))
        return "\n".join(pages)

    def close(self) -> None:
        """End everything."""
        for rules in self.rules.values():
            rules.close()
        self.do(self.lab.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
