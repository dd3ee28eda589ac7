"""`python -m bench.neighbour`: how long a tenant's failover takes while another tenant does its worst.

Both figures come from one run, in the lab without packets: first alone, then beside the other. Ends non-zero
where the second is more than `ALLOWED` times the first.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any  # Any: inputs of any step, as JSON

from temporalio import workflow
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.worker import Worker

from lab.crash_matrix.learn import windows
from lab.lab import Lab
from partial_failover.contracts.queues import PROVIDER, TENANT_SITE
from partial_failover.contracts.step import StepName

VM, THEIRS = "crm-db-01", "erp-db-01"
"""Of globex, whose failover is measured; of acme, which does its worst."""
TIMES = 5
"""Failovers for each figure; the median counts."""
ALLOWED = 1.5
LOOKS, FAILOVERS, STEPS = 300, 500, 200
HUGE = "x" * 1_000_000
"""Characters of an input."""
OWN = "worst"
"""Task queue of the other tenant's own worker."""


@workflow.defn(name="Worst", sandboxed=False)
class Worst:
    """Schedules the product's steps with all the time in the world, again and again."""

    @workflow.run
    async def run(self, calls: list[list[Any]]) -> None:
        """Each call: step, queue, input."""
        info = workflow.info()
        own = {"workflow_id": info.workflow_id, "run_id": info.run_id}
        started = [
            workflow.execute_activity(
                step, data | {"run": own}, task_queue=queue, start_to_close_timeout=timedelta(days=30)
            )
            for step, queue, data in calls
        ]
        await asyncio.gather(*started, return_exceptions=True)


async def main() -> int:
    """The exit code."""
    with tempfile.TemporaryDirectory() as folder:
        async with Lab(Path(folder), simulated=True) as lab:
            site = lab.centre.sites["globex"]
            site.hypervisor.power_off(site.vm(VM))
            acme, globex = await lab.client("acme"), await lab.client("globex")
            await failover(globex)  # the workers log in
            alone = [await failover(globex) for _ in range(TIMES)]
            async with worst(acme):
                beside = [await failover(globex) for _ in range(TIMES)]
    ratio = statistics.median(beside) / statistics.median(alone)
    print(json.dumps({"alone_s": alone, "beside_s": beside, "ratio": round(ratio, 2)}))
    return int(ratio > ALLOWED)


async def failover(client: Client) -> float:
    """Seconds from its start to the state Failover; then it is undone."""
    handle: WorkflowHandle[Any, Any] = await client.start_workflow(
        "PartialFailover", {"vm": VM}, id=f"measured-{uuid.uuid4()}", task_queue=PROVIDER
    )
    while (seen := await handle.describe()).search_attributes.get("ReplicaState") != ["Failover"]:
        if seen.status is not WorkflowExecutionStatus.RUNNING:
            await handle.result()
        await asyncio.sleep(0.2)
    await handle.execute_update("undo", {})
    await handle.result()
    history = await handle.fetch_history()
    began = history.events[0].event_time.ToMicroseconds() / 1e6
    return round(next(w.end for w in windows(history) if w.step == StepName.MARK_FAILOVER) - began, 2)


@asynccontextmanager
async def worst(client: Client) -> AsyncIterator[None]:
    """All that a tenant can do, from now on and as long as this lasts."""
    async with Worker(client, task_queue=OWN, workflows=[Worst]):
        doing = asyncio.create_task(_again_and_again(client))
        await asyncio.sleep(10)  # until all of it is under way
        yield
        doing.cancel()


async def _again_and_again(client: Client) -> None:
    request = {"vm": THEIRS, "original_may_run": True}
    calls = [
        [StepName.INSPECT_REPLICAS, PROVIDER, {}],
        [StepName.PLAN_FAILOVER, PROVIDER, {"request": request}],
        [StepName.CHECK_TENANT_SITE, TENANT_SITE, {"vm": THEIRS, "extension": "appliance"}],
    ]
    while True:
        each: list[tuple[str, object, int]] = [
            ("CheckReadiness", {}, LOOKS),
            ("PartialFailover", {"vm": "mail-01", "reason": "again"}, FAILOVERS),
            ("PartialFailover", {"vm": THEIRS, "reason": HUGE}, 5),
        ]
        starts = [
            client.start_workflow(kind, data, id=f"worst-{uuid.uuid4()}", task_queue=PROVIDER)
            for kind, data, times in each
            for _ in range(times)
        ]
        steps = [c for c in calls for _ in range(STEPS)]
        starts.append(client.start_workflow(Worst.run, steps, id=f"worst-{uuid.uuid4()}", task_queue=OWN))
        await asyncio.gather(*starts, return_exceptions=True)
        await asyncio.sleep(60)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
