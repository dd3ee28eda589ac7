"""What operators see of a worker while a failover runs through it: metrics, health, log lines."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from time import monotonic

import httpx
import pytest

from lab.faults import Kind, Rule
from lab.lab import Lab
from lab.worker_process import WorkerProcess
from tests.deploy.commands import configured, written


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Watched:
    """The provider's worker with metrics and health."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.metrics, self.health = free_port(), free_port()
        data = configured(lab, "provider")
        data["metrics_address"] = f"127.0.0.1:{self.metrics}"
        data["health_address"] = f"127.0.0.1:{self.health}"
        self.process = WorkerProcess(written(folder, data), lab.temporal.address)

    async def ask(self, page: str) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False, timeout=5) as http:
            return await http.get(f"http://127.0.0.1:{self.health}{page}")

    async def measured(self) -> list[str]:
        async with httpx.AsyncClient(trust_env=False, timeout=5) as http:
            return (await http.get(f"http://127.0.0.1:{self.metrics}/metrics")).text.splitlines()

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.process.log_file.read_text().splitlines()]


@pytest.fixture(scope="module")
async def watched(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Watched]:
    """Takes the place of the lab's own worker."""
    lab.workers["provider"].stop()
    watched = Watched(lab, tmp_path_factory.mktemp("watched"))
    watched.process.spawn()
    await asyncio.to_thread(watched.process.until_ready)
    yield watched
    watched.process.stop()
    lab.workers["provider"].spawn()
    await asyncio.to_thread(lab.workers["provider"].until_ready)


async def until(reached: Callable[[], Awaitable[bool]], within: float = 40) -> None:
    end = monotonic() + within
    while not await reached():
        assert monotonic() < end, "it did not come to pass"
        await asyncio.sleep(0.2)


def value(lines: list[str], name: str, **labels: str) -> float | None:
    for line in lines:
        if line.startswith(f"{name}{{") and all(f'{k}="{v}"' in line for k, v in labels.items()):
            return float(line.rpartition(" ")[2])
    return None


async def test_health_says_that_it_gets_work_for_every_tenant(watched: Watched) -> None:
    assert (await watched.ask("/live")).status_code == 200
    await until(lambda: got_work(watched))
    found = (await watched.ask("/work")).json()
    assert set(found["polled_s_ago"]) == {"acme", "globex", "initech"}
    assert (await watched.ask("/")).status_code == 404


async def got_work(watched: Watched) -> bool:
    return (await watched.ask("/work")).status_code == 200


async def test_a_failover_shows_in_metrics_and_log(lab: Lab, watched: Watched) -> None:
    site = lab.centre.sites["initech"]
    original = site.vm("tps-01")
    site.hypervisor.power_off(original)
    client = await lab.client("initech")
    handle = await client.start_workflow(
        "PartialFailover", {"vm": "tps-01"}, id="watched-failover", task_queue="provider"
    )
    await until(lambda: in_failover(lab))
    await handle.execute_update("undo", {})
    await asyncio.wait_for(handle.result(), 60)
    site.hypervisor.power_on(original)

    lines = await watched.measured()
    assert value(lines, "failover_ended_total", namespace="initech", outcome="undone", state="Normal") == 1
    assert value(lines, "failover_time_to_power_on_count", namespace="initech") == 1
    step = {"namespace": "initech", "activity_type": "RevertSnapshot", "outcome": "done"}
    assert value(lines, "failover_step_duration_count", **step) == 1
    assert value(lines, "temporal_num_pollers", namespace="initech") is not None

    of_step = [line for line in watched.lines() if line.get("step") == "RevertSnapshot"]
    assert of_step
    for line in of_step:
        assert (line["tenant"], line["workflow"], line["attempt"]) == ("initech", "watched-failover", 1)
        assert line["replica"]


async def in_failover(lab: Lab) -> bool:
    client = await lab.client("initech")
    return [w.id async for w in client.list_workflows('ReplicaState = "Failover"')] == ["watched-failover"]


async def test_a_step_that_fails_is_counted_with_its_error(lab: Lab, watched: Watched) -> None:
    lab.centre.faults.rules.append(Rule("cloud-director", "GET query", Kind.REFUSE, times=2))
    client = await lab.client("initech")
    await asyncio.wait_for(client.execute_workflow("ListReplicas", {}, id="list", task_queue="provider"), 30)
    lines = await watched.measured()
    failed = {"activity_type": "InspectReplicas", "error_type": "Unavailable", "retried": "true"}
    assert value(lines, "failover_step_failures_total", **failed) == 1


async def test_a_worker_that_hangs_is_not_live(watched: Watched) -> None:
    """Frozen, it answers nothing at all; woken, it is live again."""
    watched.process.freeze()
    with pytest.raises(httpx.TimeoutException):
        async with httpx.AsyncClient(trust_env=False, timeout=1) as http:
            await http.get(f"http://127.0.0.1:{watched.health}/live")
    watched.process.wake()
    await until(lambda: live(watched))


async def live(watched: Watched) -> bool:
    return (await watched.ask("/live")).status_code == 200
