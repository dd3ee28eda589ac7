"""What whoever holds a tenant's credentials can run beside the product: a workflow of his own, which
schedules any step with any input on the queues of the product's workers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any  # Any: the inputs of any step, as JSON

from temporalio import workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

QUEUE = "intruder"


@workflow.defn(name="Intruder")
class Intruder:
    """Calls one step after the other; the answer of the last."""

    @workflow.run
    async def run(self, calls: list[list[Any]]) -> Any:
        """Each call: step, queue, input; in it the run "own" is this one's."""
        answer, info = None, workflow.info()
        own = {"workflow_id": info.workflow_id, "run_id": info.run_id}
        for step, queue, data in calls:
            if data.get("run") == "own":
                data["run"] = own
            answer = await workflow.execute_activity(
                step,
                data,
                task_queue=queue,
                start_to_close_timeout=timedelta(seconds=60),
                retry_policy=RetryPolicy(maximum_attempts=1),
            )
        return answer


@asynccontextmanager
async def intruder(client: Client) -> AsyncIterator[None]:
    """His worker runs."""
    runner = UnsandboxedWorkflowRunner()
    async with Worker(client, task_queue=QUEUE, workflows=[Intruder], workflow_runner=runner):
        yield
