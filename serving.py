"""How a worker process serves, and how it ends: its workers stop together, and nothing that hangs keeps it.

What it leaves behind, the next worker finds as after a crash (docs/failure-model.md).
"""

import asyncio
import inspect
import logging
import os
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any  # Any: what a coroutine yields

from temporalio.worker import Worker

from monitoring import logs
from monitoring.steps import StepMonitor

log = logging.getLogger("worker")

GRACE = timedelta(seconds=20)
"""How long running steps may take to reach a place where they can stop; then they are cancelled. What they
started at other systems goes on, and their next attempt adopts it."""
STEPS_END_WITHIN = 30.0
"""Seconds after the signal. A step that still runs then is held up in a call, and is left behind."""
CLOSED_WITHIN = 5.0
"""Seconds for logging out, everywhere at the same time."""
ENDS_WITHIN = 40.0
"""Seconds after the signal within which the process has ended, whatever hangs. `deploy/` grants more."""


class Crew:
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


async def close(sessions: Sequence[Callable[[], object]]) -> None:
    """Log out everywhere; a system that does not answer must not keep the process."""
    threads = ThreadPoolExecutor(max(1, len(sessions)), "close")  # held-up steps may have all others
    await asyncio.gather(*(_closed(session, threads) for session in sessions))


async def _closed(session: Callable[[], object], threads: ThreadPoolExecutor) -> None:
    try:
        async with asyncio.timeout(CLOSED_WITHIN):
            result = await asyncio.get_running_loop().run_in_executor(threads, session)
            if inspect.isawaitable(result):
                await result
    except Exception:
        log.warning("a session could not be closed in good order", exc_info=True)


def run(work: Coroutine[Any, Any, int]) -> int:
    """As `asyncio.run`, but at its end it does not wait for threads that are held up in a call."""
    return asyncio.Runner().run(work)


def end_after(seconds: float, code: int) -> None:
    """End the process then, also when its event loop gets no turn any more."""
    timer = threading.Timer(seconds, os._exit, [code])
    timer.daemon = True
    timer.start()
