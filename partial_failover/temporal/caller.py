"""Who calls a step: whatever a namespace holds can schedule any step with any input, so each is looked at.

A step acts only for the workflow run that called it, and what is done to a replica only for the run that
holds it. This stands around every step, so that no step can forget it. Temporal's server writes the caller
into the task; nothing that a tenant sends can change it.
"""

import asyncio
from typing import Any

from temporalio import activity
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from partial_failover.contracts.errors import ForeignRun, Unavailable
from partial_failover.contracts.run import WorkflowRun
from partial_failover.contracts.step_data import StepInput
from partial_failover.temporal.lock_holder import require_held

PATIENCE = 8.0
"""Seconds for the question who holds the replica."""


class CallerInterceptor(Interceptor):
    """For the worker of one tenant's namespace, inside of the one that words the errors."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Inbound(super().intercept_activity(next), self._client)


class _Inbound(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, client: Client) -> None:
        super().__init__(next)
        self._client = client

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # Any: as the SDK declares it
        caller = _caller()
        for data in input.args:
            if getattr(data, "run", caller) != caller:
                raise ForeignRun(
                    f"{caller.workflow_id} asked for a step of {data.run.workflow_id}, another workflow run",
                    left="Nothing was changed",
                    do="Let the workflow that the step belongs to do it",
                )
            if isinstance(data, StepInput):
                await self._require_held(data.replica_id, caller)
        return await super().execute_activity(input)

    async def _require_held(self, replica_id: str, caller: WorkflowRun) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await require_held(self._client, replica_id, caller)
        except (RPCError, TimeoutError):
            raise Unavailable("The Temporal server does not answer", left="Nothing was changed") from None


def _caller() -> WorkflowRun:
    info = activity.info()
    if not info.workflow_id or not info.workflow_run_id:
        raise ForeignRun(
            f"{info.activity_type} was started by itself, not by a workflow",
            left="Nothing was changed",
            do="Start PartialFailover, FailoverTest, ListReplicas or CheckReadiness instead",
        )
    return WorkflowRun(workflow_id=info.workflow_id, run_id=info.workflow_run_id)
