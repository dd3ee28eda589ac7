"""What hangs does not keep a process that is told to end."""

import asyncio
import subprocess
import sys
import threading
import time

from partial_failover.process import lifecycle, worker_group
from tests.examples import ROOT
from tests.waiting import PATIENCE

HELD_UP = """
import asyncio, os, time
from partial_failover.process import lifecycle

async def work() -> int:
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 600)
    return 3

os._exit(lifecycle.run(work()))
"""
STUCK = """
import asyncio, time
from partial_failover.process import lifecycle

async def work() -> int:
    lifecycle.end_after(0.5, 3)
    time.sleep(600)

lifecycle.run(work())
"""


def exit_code(program: str) -> int:
    """Of a Python program that has to end soon."""
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=PATIENCE, check=False).returncode


async def test_a_thread_that_is_held_up() -> None:
    assert await asyncio.to_thread(exit_code, HELD_UP) == 3


async def test_an_event_loop_that_is_stuck() -> None:
    assert await asyncio.to_thread(exit_code, STUCK) == 3


async def test_systems_that_do_not_answer_a_log_out() -> None:
    """More of them than a pool has threads; the others are logged out of nevertheless."""
    answer, began, closed = threading.Event(), time.monotonic(), []

    async def never() -> None:
        await asyncio.Event().wait()

    async def soon() -> None:
        closed.append("soon")

    try:
        await lifecycle.close([*[answer.wait] * 50, never, lambda: closed.append("at once"), soon])
    finally:
        answer.set()
    assert sorted(closed) == ["at once", "soon"]
    assert time.monotonic() - began < lifecycle.ENDS_WITHIN - worker_group.STEPS_END_WITHIN
