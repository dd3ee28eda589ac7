"""What is counted of attempts that fail, on a real server: also those that could not say how they ended."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from temporalio import activity, workflow
from temporalio.client import WorkflowFailureError
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

import connect
from lab.lab import Lab
from monitoring.steps import StepMonitor, is_retried
from settings import TemporalSettings
from tests.deploy.watched import free_port, value

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
async def measured(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Any, str]]:
    """A worker with the monitor; its client, and where its metrics are."""
    monkeypatch.setenv("TEMPORAL_ADDRESS", lab.temporal.address)
    monkeypatch.setenv("TEMPORAL_NAMESPACE", "initech")
    port = free_port()
    client = await connect.temporal(TemporalSettings(), f"127.0.0.1:{port}")
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
        yield client, f"http://127.0.0.1:{port}/metrics"


async def lines(metrics: str) -> Sequence[str]:
    async with httpx.AsyncClient(trust_env=False) as http:
        return (await http.get(metrics)).text.splitlines()


async def test_an_attempt_that_timed_out_and_the_last_one_are_counted_as_such(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with measured(lab, monkeypatch) as (client, metrics):
        await client.execute_workflow(Steps.run, "hangs_once", id="hangs", task_queue=QUEUE)
        with pytest.raises(WorkflowFailureError):
            await client.execute_workflow(Steps.run, "fails", id="fails", task_queue=QUEUE)
        found = list(await lines(metrics))
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
