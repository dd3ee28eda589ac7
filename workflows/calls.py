"""Running one step as a row of Temporal's timeline, with its retries."""

import asyncio
from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy

with workflow.unsafe.imports_passed_through():
    from partial_failover.contracts.base import Contract
    from partial_failover.contracts.step import Step
    from partial_failover.contracts.steps import HEARTBEAT

In = TypeVar("In", bound=Contract)
Out = TypeVar("Out", bound=Contract)

_TRY = workflow.ActivityCancellationType.TRY_CANCEL
_WAIT = workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED


PRIORITIES = {
    "PartialFailover": Priority(priority_key=1),
    "FailoverTest": Priority(priority_key=4),
    "VmFailoverTest": Priority(priority_key=4),
    "ListReplicas": Priority(priority_key=5),
    "CheckReadiness": Priority(priority_key=5),
}
"""Within one tenant: a failover and its undo come before a test, a test before a look."""


async def call(step: Step[In, Out], data: In, title: str) -> Out:
    """Run the step. Waits for its end when the workflow is cancelled, so that nothing runs unseen."""
    budget = step.budget
    answer: Out = await workflow.execute_activity(
        step.name.value,
        data,
        task_queue=step.queue,
        result_type=step.result,
        start_to_close_timeout=budget.attempt,
        schedule_to_close_timeout=budget.whole,
        schedule_to_start_timeout=budget.pickup,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=RetryPolicy(
            initial_interval=timedelta(seconds=1),
            maximum_interval=timedelta(seconds=20),
            maximum_attempts=budget.tries,
        ),
        cancellation_type=_TRY if budget.only_looks else _WAIT,
        summary=title,
        priority=PRIORITIES.get(workflow.info().workflow_type, Priority.default),
    )
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        # The activity came to its end before the cancellation reached it: its answer must not swallow that.
        raise asyncio.CancelledError
    return answer
