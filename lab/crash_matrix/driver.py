"""One lab with a tenant in it, who fails over one VM, undoes it, and takes over what was left."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any  # Any: the result of a workflow, fields of a request

from temporalio.client import (
    Client,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.service import RPCError, RPCStatusCode

from lab.crash_matrix.rules import TENANT, VM, Rules
from lab.data_centre import SUFFIX, DataCentre
from lab.hypervisor import Snapshot
from lab.lab import Lab
from lab.site import APPLIANCE
from lab.veeam.accounts import Role
from lab.worker_process import WorkerProcess
from partial_failover.contracts.run import lock_id
from partial_failover.contracts.step import StepName
from partial_failover.temporal.search_attributes import REPLICA_STATE

Handle = WorkflowHandle[Any, Any]

SETTLES_WITHIN = 150.0
"""Seconds from the start of a failover, or of its undo, until it must have come to rest."""
CHECKS = ["heartbeat", {"check": "program", "program": "verify-orders"}]
"""Of failover tests."""


class DidNotRest(Exception):
    """Something was waited for in vain."""


class Driver:
    """`async with Driver(folder) as driver:`; one failover after the other.

    Workers in `killed` are started again while something is waited for. `handles`: all workflows since
    `begin`.
    """

    def __init__(self, folder: Path, simulated: bool = True) -> None:
        self.lab = Lab(folder, simulated=simulated)
        self.killed: list[WorkerProcess] = []
        self.handles: list[Handle] = []
        self._numbers = itertools.count(1)
        self._point: Snapshot | None = None

    async def _open(self) -> None:
        await self.lab.__aenter__()
        self.loop = asyncio.get_running_loop()
        self.client: Client = await self.lab.client(TENANT)
        centre = self.lab.centre
        self.site = centre.sites[TENANT]
        self.site.hypervisor.power_off(self.site.vm(VM))  # corrupted, so that it does not own its address
        await asyncio.to_thread(centre.fabric.settle)
        self.rules = Rules(centre)
        for point in self.rules.points:  # from before the replica was plugged in, so that a revert unplugs it
            point.nics = tuple(replace(nic, network=None, connected=False) for nic in point.nics)

    async def _close(self) -> None:
        self.rules.close()
        await self.lab.close()

    def begin(self, points_back: int = 0, test: bool = False) -> None:
        """From now on the restore point so many before the newest is chosen."""
        point = self.rules.points[-1 - points_back]
        self._point = point if points_back else None
        self.handles = []
        self.rules.begin(point, test)

    async def start(self, **request: Any) -> Handle:
        """A failover, as a tenant types it."""
        if self._point is not None:
            request.setdefault("restore_point", self._point.moref)
        return await self._start("PartialFailover", request)

    async def test(self) -> Handle:
        """A failover test that brings the tunnel up too."""
        point = {"restore_point": self._point.moref} if self._point else {}
        return await self._start("VmFailoverTest", {"network": "extension", "checks": CHECKS, **point})

    async def _start(self, kind: str, request: dict[str, Any]) -> Handle:
        self._newest = f"crash-{next(self._numbers)}"
        handle = await self.client.start_workflow(
            kind, {"vm": VM, **request}, id=self._newest, task_queue="provider"
        )
        self.handles.append(handle)
        return handle

    async def runs(self, step: str) -> bool:
        """Whether the newest workflow is at this step. It may be asked for right before that is there."""
        try:
            return step in await self._running(self._current())
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return False

    def _current(self) -> Handle:
        """The newest workflow, also while its start is being asked for."""
        return self.client.get_workflow_handle(self._newest)

    async def _running(self, handle: Handle) -> list[str]:
        pending = (await handle.describe()).raw_description.pending_activities
        return [activity.activity_type.name for activity in pending]

    async def failover(self, handle: Handle) -> bool:
        """Until it rests in Failover; False when it ended instead."""

        async def settled() -> bool:
            return await self.rests(handle) or await self.ended(handle)

        await self.until(settled, "Failover")
        if await self.ended(handle):
            return False
        await self.idle()  # what still runs could take away what is looked at now
        self.rules.must_be_in_failover()
        return True

    async def undo(self, handle: Handle, fails: bool = False) -> None:
        """`fails`: the backup server takes the right away, until it is given back and all is tried again."""
        self.rules.give_up()
        if fails:
            self.site.set_backup_role(Role.VIEWER)
        await self._update(handle, "undo", "Failover")
        if fails:
            await self.until(lambda: self.is_failed(handle), "FailedFailover")
            self.site.set_backup_role(Role.ADMINISTRATOR)
            await self.retry(handle)

    async def retry(self, handle: Handle) -> None:
        """What is left over is tried again."""
        await self._update(handle, "retry_compensation", "FailedFailover")

    async def is_failed(self, handle: Handle) -> bool:
        """Whether it waits, as FailedFailover, for a person."""
        return await self._is(handle, "FailedFailover")

    async def page(self, handle: Handle) -> str:
        """What the tenant reads in the Web UI."""
        return str((await handle.query("__temporal_workflow_metadata")).current_details)

    async def take_over(self) -> Handle:
        """As a tenant does whose workflow was terminated, as soon as the replica is free: adopt it. Where
        there is nothing to adopt, nothing has begun, or all but the release is done; that is said, and what
        to do; it is done."""
        await self.until(partial(is_free, self.client, self.lab.centre, VM), "the replica's lock to be free")
        undone = self.rules.given_up
        self.rules.take_over()
        handle = await self.start(adopt=True)
        if await self.failover(handle):
            return handle
        self.rules.must_have_been_refused(await failure_of(handle))
        if not undone:
            self.rules.must_be_normal()
        handle = await self.start()
        if not await self.failover(handle):
            raise DidNotRest(f"started anew, as the refusal says; it ended: {await failure_of(handle)}")
        return handle

    async def end_of(self, handle: Handle) -> None:
        """Until it has ended; then everything must be as it was."""
        await self.until(lambda: self.ended(handle), "the workflow's end")
        await self.idle()
        self.rules.must_be_normal()

    def cancel(self) -> None:
        """The newest workflow, from a thread."""
        self.rules.give_up()
        asyncio.run_coroutine_threadsafe(self._current().cancel(), self.loop).result(10)

    def terminate(self) -> None:
        """The newest workflow, from a thread."""
        asyncio.run_coroutine_threadsafe(self._current().terminate(), self.loop).result(10)

    def kill(self, worker: WorkerProcess) -> None:
        """As a crash; it comes back."""
        worker.kill()
        self.killed.append(worker)

    async def watched(self, since: float) -> None:
        """Until the watch of a failover has looked once more after `since`, and that look is over."""
        backup, appliance = f"{TENANT}-veeam", f"{TENANT}-vcenter/{APPLIANCE}"

        async def looked() -> bool:
            calls = reversed(self.lab.centre.faults.calls)
            new = [c.endpoint for c in itertools.takewhile(lambda c: c.at > since, calls)][::-1]
            return backup in new and appliance in new[new.index(backup) :]

        await self.until(looked, "a look of the watch")

    async def until(self, reached: Callable[[], Awaitable[bool]], what: str) -> None:
        """Poll; revive workers that were killed meanwhile."""
        end = time.monotonic() + SETTLES_WITHIN
        while not await reached():
            await self._revive()
            if time.monotonic() > end:
                raise DidNotRest(f"waited in vain for {what}")
            await asyncio.sleep(0.1)
        await self._revive()

    async def ended(self, handle: Handle) -> bool:
        """Whether the workflow has come to an end."""
        return (await handle.describe()).status is not WorkflowExecutionStatus.RUNNING

    async def terminated(self, handle: Handle) -> bool:
        """Whether that was its end."""
        return (await handle.describe()).status is WorkflowExecutionStatus.TERMINATED

    async def _revive(self) -> None:
        while self.killed:
            worker = self.killed.pop()
            worker.spawn()
            await asyncio.to_thread(worker.until_ready)

    async def rests(self, handle: Handle, besides: frozenset[str] = frozenset()) -> bool:
        """Whether it is in Failover by this workflow, and no step runs but the watches and `besides`."""
        if not self.rules.in_failover(handle.first_execution_run_id):
            return False
        running = set(await self._running(handle)) - besides
        return running == {StepName.WATCH_FAILOVER, StepName.WATCH_REPLICA}

    async def _is(self, handle: Handle, state: str) -> bool:
        return (await handle.describe()).typed_search_attributes.get(REPLICA_STATE) == state

    async def _update(self, handle: Handle, name: str, before: str) -> None:
        """Send it until the replica has left the state `before`."""

        async def accepted() -> bool:
            try:
                await asyncio.wait_for(handle.execute_update(name, {}), 20)
            except (
                WorkflowUpdateFailedError,
                WorkflowUpdateRPCTimeoutOrCancelledError,
                RPCError,
                TimeoutError,
            ):
                return not await self._is(handle, before) or await self.ended(handle)
            return True

        await self.until(accepted, f"{name} to be accepted")

    async def idle(self) -> None:
        await asyncio.to_thread(self.lab.centre.wait_idle)


async def is_free(client: Client, centre: DataCentre, vm: str) -> bool:
    """Whether nobody holds the VM's replica: the server ends the lock a moment after its workflow."""
    lock = client.get_workflow_handle(lock_id(centre.cloud.vm(vm + SUFFIX).id))
    try:
        return (await lock.describe()).status is not WorkflowExecutionStatus.RUNNING
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return True


async def failure_of(handle: Handle) -> str:
    """What a workflow that has ended says of its end."""
    try:
        return f"it succeeded: {await handle.result()}"
    except WorkflowFailureError as error:
        return str(error.cause)
