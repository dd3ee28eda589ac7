"""What operators see of a worker while a failover runs through it: metrics, health, log lines."""

import asyncio

import httpx
import pytest

from lab.injected_faults import FaultKind, FaultRule
from lab.lab import Lab
from tests.deploy.watched import Watched, value
from tests.waiting import PATIENCE, NotYet, json_page, until


async def test_health_says_that_it_gets_work_for_every_tenant(watched: Watched) -> None:
    assert await watched.healthy("/live")
    await until(lambda: watched.healthy("/work"))
    work = await json_page(f"{watched.health_url}/work")
    assert set(work["polled_s_ago"]) == {"acme", "globex", "initech"}
    with pytest.raises(NotYet, match=": 404 "):
        await watched.healthy("/")


async def test_a_failover_shows_in_metrics_and_log(lab: Lab, watched: Watched) -> None:
    site = lab.centre.sites["initech"]
    original = site.vm("tps-01")
    step = {"namespace": "initech", "activity_type": "RevertSnapshot", "outcome": "done"}
    before = value(await watched.measured(), "failover_step_duration_count", **step) or 0
    site.hypervisor.power_off(original)
    client = await lab.client("initech")
    handle = await client.start_workflow(
        "PartialFailover", {"vm": "tps-01"}, id="watched-failover", task_queue="provider"
    )
    await until(lambda: in_failover(lab))
    await handle.execute_update("undo", {})
    await asyncio.wait_for(handle.result(), PATIENCE)
    site.hypervisor.power_on(original)

    lines = await watched.measured()
    assert value(lines, "failover_ended_total", namespace="initech", outcome="undone", state="Normal") == 1
    assert value(lines, "failover_time_to_power_on_count", namespace="initech") == 1
    assert value(lines, "failover_step_duration_count", **step) == before + 1
    assert value(lines, "temporal_num_pollers", namespace="initech") is not None

    of_step = [x for x in watched.lines() if x["step"] == "RevertSnapshot" and x.get("attempt")]
    of_step = [x for x in of_step if x["workflow"] == "watched-failover"]
    assert of_step
    for line in of_step:
        assert (line["tenant"], line["attempt"]) == ("initech", 1)
        assert line["replica"]


async def in_failover(lab: Lab) -> bool:
    client = await lab.client("initech")
    return [w.id async for w in client.list_workflows('ReplicaState = "Failover"')] == ["watched-failover"]


async def test_a_step_that_fails_is_counted_with_its_error(lab: Lab, watched: Watched) -> None:
    failed = {"activity_type": "InspectReplicas", "error_type": "Unavailable", "retried": "true"}
    before = value(await watched.measured(), "failover_step_failures_total", **failed) or 0
    lab.centre.faults.add(FaultRule("provider-vcenter", "RetrievePropertiesEx", FaultKind.REFUSE, times=2))
    client = await lab.client("initech")
    await asyncio.wait_for(
        client.execute_workflow("ListReplicas", {}, id="list", task_queue="provider"), PATIENCE
    )
    assert value(await watched.measured(), "failover_step_failures_total", **failed) == before + 1


async def test_a_worker_that_hangs_is_not_live(watched: Watched) -> None:
    """Frozen, it answers nothing at all; woken, it is live again."""
    watched.process.freeze()
    with pytest.raises(httpx.TimeoutException):
        async with httpx.AsyncClient(trust_env=False, timeout=1) as http:
            await http.get(f"http://127.0.0.1:{watched.health}/live")
    watched.process.wake()
    await until(lambda: watched.healthy("/live"))
