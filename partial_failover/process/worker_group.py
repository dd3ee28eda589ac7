"""Workers of one process that run side by side and stop together."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta

from temporalio.worker import Worker

from partial_failover.monitoring import logs
from partial_failover.monitoring.step_metrics import StepMonitor

log = logging.getLogger("worker")

GRACE = timedelta(seconds=20)
"""How long running steps may take to reach a place where they can stop; then they are cancelled. What they
started at other systems goes on, and their next attempt adopts it."""
STEPS_END_WITHIN = 30.0
"""Seconds after the signal. A step that still runs then is held up in a call, and is left behind."""


class WorkerGroup:
    """Workers that run side by side from now on, and stop together."""

    def __init__(self, workers: Sequence[Worker], steps: StepMonitor) -> None:
        self._workers, self._steps = workers, steps
        self._runs = []
        for worker in workers:
            logs.tenant.set(worker.client.namespace)  # for the tasks that it starts
            self._runs.append(asyncio.create_task(worker.run()))
        logs.tenant.set(None)

    async def work(self, stop: asyncio.Event) -> int:
        """Until `stop`, or until one of them fails for good. The exit code: 1 for that, else 0."""
        told = asyncio.create_task(stop.wait())
        await asyncio.wait([told, *self._runs], return_when=asyncio.FIRST_COMPLETED)
        failed = [run for run in self._runs if run.done()]
        for run in failed:
            log.error("a worker failed, so all stop", exc_info=run.exception())
        return int(bool(failed))

    async def stop(self) -> None:
        """Take no new steps, and wait for the running ones as long as `STEPS_END_WITHIN`."""
        log.info("stopping: no new steps are taken")
        ends = [asyncio.create_task(worker.shutdown()) for worker in self._workers]
        await asyncio.wait(ends, timeout=STEPS_END_WITHIN)
        for step in self._steps.at_work:
            log.warning("left to the next worker, which tries it again: %s", step)
