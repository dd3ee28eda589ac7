"""Every line that a worker writes is one JSON object, which says whom and what it is about."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from lab.lab import Lab
from tests.deploy.commands import configured, run, written
from tests.deploy.watched import Relay, Watched
from tests.waiting import until

Line = dict[str, Any]


def of(lines: list[Line], **wanted: object) -> list[Line]:
    """Those that say so."""
    return [line for line in lines if all(line.get(k) == v for k, v in wanted.items())]


async def test_workflows_and_steps_say_tenant_replica_workflow_and_step(lab: Lab, watched: Watched) -> None:
    client = await lab.client("initech")
    request = {"vms": ["tps-01"], "checks": ["power"]}
    await asyncio.wait_for(
        client.execute_workflow("FailoverTest", request, id="logged", task_queue="provider"), 60
    )
    about = {"tenant": "initech", "workflow": "logged/tps-01"}
    assert of(watched.lines(), logger="temporalio.workflow", replica="tps-01", step="RevertToLatest", **about)
    [entered] = of(watched.lines(), message="the replica is Processing", **about)[:1]
    assert entered["replica"] == "tps-01" and entered["step"] is None
    of_step = of(watched.lines(), step="PlanFailover", **about)
    for line in of(of_step, logger="partial_failover.temporal.interceptors"):
        assert line["replica"] == "tps-01" and line["tenant"] == "initech" and line["attempt"] == 1


async def test_what_the_sdk_says_of_a_workflow_names_its_tenant(lab: Lab, watched: Watched) -> None:
    client = await lab.client("globex")
    handle = await client.start_workflow("NoSuchThing", {}, id="odd", task_queue="provider")

    async def complained() -> bool:
        return bool(of(watched.lines(), logger="temporalio.worker._workflow", tenant="globex"))

    await until(complained)
    await handle.terminate()


async def test_a_temporal_server_that_is_gone_leaves_only_json(lab: Lab, tmp_path: Path) -> None:
    """The SDK's core complains after ten seconds or so; left alone it writes colours to standard output."""
    async with Relay(lab.temporal.address) as relay:
        watched = Watched(lab, tmp_path, "initech", relay.address)
        await watched.start()
        relay.cut()

        async def complained() -> bool:
            lines = watched.lines()
            return bool(
                of(lines, logger="temporalio.core")
                and of(lines, logger="partial_failover.monitoring.tenant_monitor")
            )

        try:
            await until(complained)
        finally:
            await asyncio.to_thread(watched.process.kill)
    lines = watched.lines()
    assert all({"tenant", "replica", "workflow", "step"} <= set(line) for line in lines)
    assert {line["tenant"] for line in lines} == {"initech"}, "it serves no other"
    assert "Connection refused" in str([line["core"] for line in of(lines, logger="temporalio.core")])


def a_wrong_ca_file(data: Any) -> None:
    data["tenants"][0]["vcenter"]["ca_file"] = "/no/such/file"


def a_taken_port(data: Any) -> None:
    data["metrics_address"] = f"127.0.0.1:{TAKEN.getsockname()[1]}"


def a_taken_health_port(data: Any) -> None:
    data["health_address"] = f"127.0.0.1:{TAKEN.getsockname()[1]}"


def an_unknown_profile(data: Any) -> None:
    data["temporal"] = {"profile": "no-such-profile"}


def nothing(data: Any) -> None:
    pass


TAKEN = socket.create_server(("127.0.0.1", 0))


@pytest.mark.parametrize(
    ("spoil", "temporal", "code", "message"),
    [
        (nothing, "127.0.0.1:1", 1, "Temporal at 127.0.0.1:1 cannot be reached"),
        (nothing, "::::", 2, "address '::::' cannot be used"),
        (an_unknown_profile, None, 2, "no-such-profile"),
        (a_wrong_ca_file, None, 2, "/no/such/file cannot be read"),
        (a_taken_port, None, 2, "Metrics cannot be served"),
        (a_taken_health_port, None, 2, "Health cannot be served"),
    ],
)
async def test_a_worker_that_cannot_start_says_why_in_its_last_line(
    lab: Lab, tmp_path: Path, spoil: Any, temporal: str | None, code: int, message: str
) -> None:
    data = configured(lab, "initech")
    spoil(data)
    ran = await run(
        lab, "worker.py", written(tmp_path, data), TEMPORAL_ADDRESS=temporal or lab.temporal.address
    )
    assert ran.code == code, ran.error
    *_, line = [json.loads(text) for text in ran.error.splitlines()]
    assert line["level"] == "ERROR" and message in line["message"] and "trace" not in line
    assert ran.out == ""
