"""Running one step as a row of Temporal's timeline, with its retries; and branches side by side."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    RetryState,
    TimeoutError,
)

with workflow.unsafe.imports_passed_through():
    from partial_failover.contracts.base import Contract
    from partial_failover.contracts.errors import FailoverError
    from partial_failover.contracts.step import Step

Result = TypeVar("Result", bound=Contract)


@dataclass(frozen=True)
class Budget:
    """How long a step may take. An attempt sends nothing after `attempt` less the margin of
    `activities.shared.attempt`; `whole` has room for several attempts with their pauses."""

    attempt: timedelta
    whole: timedelta
    pickup: timedelta | None = None
    """How long it may wait for a worker; None: as long as `whole`."""
    tries: int = 0
    """0: as many as fit into `whole`."""
    only_looks: bool = False
    """Nothing is left behind when it is cancelled, so its end is not waited for."""


HEARTBEAT = timedelta(seconds=30)
"""A worker that died is noticed after this. An attempt that is held up longer in one call is replaced, and
finds that out before its next mutation."""
FORWARD = Budget(attempt=timedelta(minutes=5), whole=timedelta(minutes=30))
"""Steps that go on: after half an hour of trouble the failover is taken back."""
HOLD = Budget(attempt=timedelta(minutes=25), whole=timedelta(minutes=75))
"""A replication run in flight is waited for (settings: `drain_patience`), then asked to stop, in one
attempt."""
READ = Budget(attempt=timedelta(minutes=1), whole=timedelta(minutes=3), pickup=timedelta(seconds=30))
"""Preflight: an answer soon, or the reason why there is none."""
BACKWARD = Budget(attempt=timedelta(minutes=5), whole=timedelta(hours=12))
"""Compensations are retried far longer than steps."""
RELEASE = Budget(attempt=timedelta(minutes=2), whole=timedelta(minutes=5), tries=1)
"""Once for each proof that the replica is Normal."""
WATCH = Budget(attempt=timedelta(hours=1), whole=timedelta(days=1), only_looks=True)
"""While a replica is in Failover. It is a long step that waits for news, so that a failover of weeks has a
short history."""
QUICK_LOOK = Budget(attempt=timedelta(minutes=1), whole=timedelta(minutes=3), tries=2)
"""For what is measured but does not decide."""


_TRY = workflow.ActivityCancellationType.TRY_CANCEL
_WAIT = workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED


def refusal(fault: FailoverError, *details: Any) -> ApplicationError:  # Any: what the failure carries besides
    """The end of a workflow that is not to go on, in the words of the fault."""
    return ApplicationError(str(fault), *details, type=type(fault).__name__, non_retryable=True)


def is_final(error: ActivityError) -> bool:
    """Whether trying again cannot help."""
    return error.retry_state is RetryState.NON_RETRYABLE_FAILURE


def root_cause(error: BaseException) -> tuple[str, str]:
    """Type and text of the leaf: what a person needs, without the wrappers around it."""
    leaf: BaseException = error
    while isinstance(leaf, ActivityError) and leaf.cause is not None:
        leaf = leaf.cause
    if isinstance(leaf, ApplicationError):
        return leaf.type or "Unexpected", leaf.message
    if isinstance(leaf, TimeoutError):
        last = leaf.cause
        if isinstance(last, ApplicationError):
            return last.type or "Unexpected", last.message
        return "Unavailable", f"No answer in time ({str(leaf) or 'timeout'})"
    return type(leaf).__name__, str(leaf)


async def call(
    step: Step, queue: str, data: Contract, result: type[Result], budget: Budget, title: str
) -> Result:
    """Run the activity. Waits for its end when the workflow is cancelled, so that nothing runs unseen."""
    answer: Result = await workflow.execute_activity(
        step.value,
        data,
        task_queue=queue,
        result_type=result,
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
    )
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        # The activity came to its end before the cancellation reached it: its answer must not swallow that.
        raise asyncio.CancelledError
    return answer
