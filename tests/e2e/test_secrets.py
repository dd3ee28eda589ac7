"""No secret is in anything that a run writes. At the lab's end it is asked again, of all its runs."""

import asyncio

from temporalio.client import Client

from lab.lab import Lab
from tests.e2e.driver import in_failover, undo
from tests.e2e.leaks import leaked, written


async def test_no_secret_is_in_a_history_heartbeat_failure_or_log(lab: Lab, initech: Client) -> None:
    handle = await in_failover(initech, {"vm": "tps-01", "reason": "a reason to be found"})
    await undo(handle)
    texts = await asyncio.to_thread(written, lab)
    assert any(b"a reason to be found" in text for text in texts.values()), "the histories are not read"
    assert leaked(lab, texts) == []
    texts[lab.temporal.log_file] = f"it was {lab.centre.password}".encode()
    assert leaked(lab, texts) == [("password", "temporal.log")]
