"""A worker of a newer version answers with what this one does not know: nothing is given up for that."""

from typing import Any  # Any: steps and their inputs, as in `World`

import pytest
from temporalio import activity
from temporalio.client import Client, WorkflowExecutionStatus

from partial_failover.contracts.replica import ReplicaState
from partial_failover.contracts.step import StepName
from partial_failover.contracts.step_data import ApplianceStep, StepResult
from tests.waiting import until
from tests.workflows.runs import in_state, start, workers
from tests.workflows.world import World


class NewerResult(StepResult):
    """As a later version might answer."""

    later: int = 1


class NewerWorld(World):
    """One of its steps is of a later version."""

    def __init__(self, newer: StepName) -> None:
        super().__init__()
        self.newer = newer

    def tenant_site(self) -> Any:
        steps = {activity._Definition.must_from_callable(s).name: s for s in super().tenant_site()}
        return [*(s for name, s in steps.items() if name != self.newer), self._later()]

    def _later(self) -> Any:
        @activity.defn(name=self.newer)
        async def run(data: ApplianceStep) -> NewerResult:
            return NewerResult(changed=True, note="done")

        return run


@pytest.mark.parametrize("step", [StepName.CONFIGURE_TENANT_PROXY_ARP, StepName.REMOVE_TENANT_PROXY_ARP])
async def test_it_waits_until_the_workers_are_of_one_version(client: Client, step: StepName) -> None:
    world = NewerWorld(step)
    async with workers(client, world):
        handle = await start(client, {"vm": "erp-db-01"})
        if step is StepName.REMOVE_TENANT_PROXY_ARP:
            await in_state(handle, ReplicaState.FAILOVER)
            await handle.execute_update("undo")

        async def tried_again() -> bool:
            return (await handle.describe()).raw_description.pending_workflow_task.attempt > 1

        await until(tried_again)
        assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
        assert "held" in world.effects
        await handle.terminate()
