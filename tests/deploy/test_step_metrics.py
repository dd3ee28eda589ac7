"""What is counted of attempts that fail, on a real server: also those that could not say how they ended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from temporalio import activity, workflow
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from lab.lab import Lab
from partial_failover.monitoring.step_metrics import StepMonitor, is_retried
from tests.deploy.watched import lines_of, metered_client, value

QUEUE = "steps"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@activity.defn
async def fails() -> None:
    raise ApplicationError("no", type="Busy")


@activity.defn
async def hangs_once() -> None:
    """As in a worker that died: it says nothing, and the server gives it up."""
    if activity.info().attempt == 1:
        await asyncio.sleep(60)


@workflow.defn(sandboxed=False)
class Steps:
    @workflow.run
    async def run(self, name: str) -> None:
        await workflow.execute_activity(
            name,
            start_to_close_timeout=timedelta(seconds=30),
            heartbeat_timeout=timedelta(seconds=1),
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=10), maximum_attempts=3),
        )


@asynccontextmanager
async def measured(lab: Lab) -> AsyncIterator[tuple[Client, str]]:
    """A worker with the monitor; its client, and where its metrics are."""
    client, metrics = await metered_client(lab, "initech")
    monitor = StepMonitor()
    monitor.clients["initech"] = client
    async with Worker(
        client,
        task_queue=QUEUE,
        workflows=[Steps],
        activities=[fails, hangs_once],
        interceptors=[monitor],
        workflow_runner=UnsandboxedWorkflowRunner(),
    ):
        yield client, metrics


async def test_an_attempt_that_timed_out_and_the_last_one_are_counted_as_such(lab: Lab) -> None:
    async with measured(lab) as (client, metrics):
        await client.execute_workflow(Steps.run, "hangs_once", id="hangs", task_queue=QUEUE)
        with pytest.raises(WorkflowFailureError):
            await client.execute_workflow(Steps.run, "fails", id="fails", task_queue=QUEUE)
        found = await lines_of(metrics)
    failures = "failover_step_failures_total"
    lost = {"activity_type": "hangs_once", "error_type": "HeartbeatTimeout", "retried": "true"}
    assert value(found, failures, **lost) == 1
    failed = {"activity_type": "fails", "error_type": "Busy"}
    assert value(found, failures, **failed, retried="true") == 2
    assert value(found, failures, **failed, retried="false") == 1


def after(seconds: int, at_most: int | None = None) -> RetryPolicy:
    longest = timedelta(seconds=at_most) if at_most else None
    return RetryPolicy(initial_interval=timedelta(seconds=seconds), maximum_interval=longest)


@pytest.mark.parametrize(
    ("attempt", "policy", "whole", "retried"),
    [
        (1, RetryPolicy(), None, True),
        (5, RetryPolicy(maximum_attempts=5), None, False),
        (1, None, 1, True),
        (1, RetryPolicy(initial_interval=timedelta(seconds=20)), 30, True),
        (1, RetryPolicy(initial_interval=timedelta(seconds=40)), 30, False),
        (4, RetryPolicy(initial_interval=timedelta(seconds=5)), 30, False),
        (
            4,
            RetryPolicy(initial_interval=timedelta(seconds=5), maximum_interval=timedelta(seconds=8)),
            30,
            True,
        ),
        (5000, RetryPolicy(maximum_interval=timedelta(seconds=20)), 30, True),
    ],
)
def test_what_temporal_tries_again(
    attempt: int, policy: RetryPolicy | None, whole: int | None, retried: bool
) -> None:
    step = replace(
        ActivityEnvironment.default_info(),
        attempt=attempt,
        retry_policy=policy,
        scheduled_time=NOW,
        schedule_to_close_timeout=timedelta(seconds=whole) if whole else None,
    )
    assert is_retried(step, ApplicationError("no"), NOW) is retried
    assert not is_retried(step, ApplicationError("no", non_retryable=True), NOW)
