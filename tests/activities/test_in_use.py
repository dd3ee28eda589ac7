"""A replica that another run has: who has it is said at once, and nothing else is asked."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from lab.data_centre import DataCentre
from lab.worker_config import write_configs
from partial_failover.contracts.plan import PlanResult
from partial_failover.contracts.queues import PROVIDER
from partial_failover.contracts.request import PartialFailoverRequest
from partial_failover.contracts.run import WorkflowRun
from partial_failover.contracts.step import StepName
from partial_failover.settings import load
from tests.activities.world import RUN, World, YesFence, built

TEST = WorkflowRun(workflow_id="failover-test-weekly/erp-db-01", run_id="another")


class HeldFence(YesFence):
    """Each replica's lock is held by a test that has not marked it yet."""

    def holder(self, replica_id: str) -> WorkflowRun | None:
        """The test."""
        return TEST


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def held(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A data centre without packets, and a provider's worker."""
    centre = DataCentre(tmp_path_factory.mktemp("centre"), simulated=True)
    centre.start()
    settings = [load(write_configs(centre)["provider"])]
    yield World(centre, settings, await built(settings, HeldFence), None, {})  # type: ignore[arg-type]  # no ids are looked up here
    await asyncio.to_thread(centre.close)


async def test_who_has_it_is_named_and_no_vcenter_is_asked(held: World) -> None:
    calls = len(held.centre.faults.calls)
    values: dict[str, object] = {"request": PartialFailoverRequest(vm="erp-db-01"), "run": RUN}
    found = await held.call(f"{PROVIDER}/{StepName.PLAN_FAILOVER}", values)
    assert isinstance(found, PlanResult) and found.in_use and found.plan is None
    (problem,) = found.problems
    assert TEST.workflow_id in problem.what and "cancel a test" in problem.do
    assert {c.endpoint for c in held.centre.faults.calls[calls:]} == {"cloud-director"}
