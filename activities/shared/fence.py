"""Questions to the Temporal server from the threads of activities: whose is the replica, am I still current?

An attempt is replaced when its heartbeats do not arrive, however alive it is: a worker that is cut off, or
was frozen, does not know. So before each mutation the server is asked, by a heartbeat that is answered.
"""

import asyncio
from collections.abc import Coroutine
from concurrent.futures import TimeoutError as WaitTimeout
from typing import TypeVar

from temporalio.client import AsyncActivityCancelledError, Client
from temporalio.service import RPCError, RPCStatusCode

from partial_failover.contracts.errors import Expired, Unavailable
from partial_failover.contracts.run import WorkflowRun
from partial_failover.contracts.step_data import StepInput
from partial_failover.temporal.lock_holder import holder_of, require_held

PATIENCE = 8.0
"""Seconds for one question."""
LONGEST_NAME = 200
"""Characters of the name of whoever started a run."""
T = TypeVar("T")


class Fence:
    """For one tenant's namespace. The client lives in the worker's event loop."""

    def __init__(self, client: Client, loop: asyncio.AbstractEventLoop) -> None:
        self._client, self._loop = client, loop

    def confirm(self, token: bytes, task: str | None, step: StepInput | None) -> None:
        """The word of the server right before a mutation; `task` is left with it. Raises `Expired` when
        another attempt has taken over, `LostLock` when the step's run no longer holds the replica."""
        self._ask(self._confirmed(token, task, step))

    def leave_task(self, token: bytes, task: str) -> None:
        """Leave the reference of a task that was started. A cancellation is heard later, before the next
        mutation: the task is waited for first. Raises `Expired` when another attempt has taken over."""
        self._ask(self._leave(token, task))

    def holder(self, replica_id: str) -> WorkflowRun | None:
        """Run that holds the replica now, None when no failover and no test does."""
        return self._ask(holder_of(self._client, replica_id))

    def asked_by(self, run: WorkflowRun) -> str:
        """Who started the run, as Temporal wrote it down: with an authorizer the person, else a program."""
        return self._ask(self._asked_by(run))

    def confirm_lock(self, replica_id: str, run: WorkflowRun) -> None:
        """Raise `LostLock` unless the lock's holder is this very run (a reset makes a new one)."""
        self._ask(require_held(self._client, replica_id, run))

    def _ask(self, question: Coroutine[None, None, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(question, self._loop)
        try:
            return future.result(PATIENCE)
        except (RPCError, WaitTimeout):
            future.cancel()
            raise Unavailable("The Temporal server does not answer", left="Nothing was sent") from None

    async def _confirmed(self, token: bytes, task: str | None, step: StepInput | None) -> None:
        held = require_held(self._client, step.replica_id, step.run) if step else asyncio.sleep(0)
        await asyncio.gather(self._beat(token, task), held)

    async def _beat(self, token: bytes, task: str | None) -> None:
        if not await self._leave(token, task):
            return
        # The SDK learns of it from its own heartbeats, later, and until then would complete the activity
        # with a failure that the server refuses. So it is completed here; what is raised is not heard.
        await self._client.get_async_activity_handle(task_token=token).report_cancellation()
        raise Expired("Cancelled before it acted", left="Nothing was sent")

    async def _leave(self, token: bytes, task: str | None) -> bool:
        """Whether the server says that the activity was cancelled."""
        try:
            await self._client.get_async_activity_handle(task_token=token).heartbeat(task)
        except AsyncActivityCancelledError:
            return True
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            raise Expired("Another attempt has taken this one's place", left="Nothing was sent") from None
        return False

    async def _asked_by(self, run: WorkflowRun) -> str:
        handle = self._client.get_workflow_handle(run.workflow_id, run_id=run.run_id)
        async for event in handle.fetch_history_events(page_size=1):
            started = event.workflow_execution_started_event_attributes
            return "".join(c for c in started.identity if c.isprintable())[:LONGEST_NAME]
        return ""
