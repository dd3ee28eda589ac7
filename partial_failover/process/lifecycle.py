"""How a worker process ends: sessions are closed, and nothing that hangs keeps it.

What it leaves behind, the next worker finds as after a crash (docs/failure-model.md).
"""

import asyncio
import inspect
import logging
import os
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn  # Any: what a coroutine yields

log = logging.getLogger("worker")

CLOSED_WITHIN = 5.0
"""Seconds for logging out, everywhere at the same time."""
ENDS_WITHIN = 40.0
"""Seconds after the signal within which the process has ended, whatever hangs. `deploy/` grants more."""


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


def end(code: int) -> NoReturn:
    """End the process now, all its work being done: a thread that is held up in a call would keep the
    interpreter, and the SDK's native threads can crash one that is being torn down."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
