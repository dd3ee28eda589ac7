"""The lab's Temporal server: what it has when it is ready, what outlives a kill, and what it dies with."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import WorkflowHandle
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.testing import WorkflowEnvironment

from lab.temporal_server import TemporalServer, test_server_path
from partial_failover.temporal.search_attributes import REGISTRY, REPLICA_STATE
from tests.examples import ROOT
from tests.waiting import page, until

NAMESPACES = ("tenant-a", "tenant-b")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[TemporalServer]:
    server = TemporalServer(tmp_path, NAMESPACES)
    await server.start()
    yield server
    await server.stop()


async def start_workflow(server: TemporalServer, namespace: str) -> WorkflowHandle[object, object]:
    """No worker runs it: it is state of the server, and that is what is looked at."""
    client = await server.client(namespace)
    phase = TypedSearchAttributes([SearchAttributePair(REPLICA_STATE, "Failover")])
    return await client.start_workflow("Nothing", id="kept", task_queue="nobody", search_attributes=phase)


async def found_by_phase(server: TemporalServer, namespace: str) -> list[str]:
    client = await server.client(namespace)
    return [w.id async for w in client.list_workflows("ReplicaState = 'Failover'")]


async def until_found(server: TemporalServer, namespace: str) -> None:
    await until(lambda: found_by_phase(server, namespace))


async def test_every_namespace_has_every_search_attribute(server: TemporalServer) -> None:
    for namespace in NAMESPACES:
        client = await server.client(namespace)
        known = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=namespace)
        )
        assert set(REGISTRY) <= set(known.custom_attributes)
        await start_workflow(server, namespace)
        await until_found(server, namespace)
    await until(lambda: is_shown(server.ui_url))


async def is_shown(url: str) -> bool:
    return "<html" in (await page(url)).text


async def test_its_state_outlives_a_kill_and_a_stop(server: TemporalServer) -> None:
    await start_workflow(server, "tenant-a")
    address = server.address
    await server.kill()
    assert server.pid is None
    await server.restart()
    assert server.address == address
    client = await server.client("tenant-a")
    assert (await client.get_workflow_handle("kept").describe()).id == "kept"
    await server.restart()
    await until_found(server, "tenant-a")


async def test_a_server_that_cannot_start_says_why(server: TemporalServer, tmp_path: Path) -> None:
    port = int(server.address.rpartition(":")[2])
    second = TemporalServer(tmp_path / "second", NAMESPACES, port=port)
    with pytest.raises(RuntimeError, match=f"port {port}: Address already in use"):
        await second.start()
    assert second.pid is None


PARENT = """
import asyncio, sys
from pathlib import Path
from lab.temporal_server import TemporalServer

async def main():
    server = TemporalServer(Path(sys.argv[1]))
    await server.start()
    print(server.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: the kernel ends the child")
async def test_it_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path), cwd=ROOT, stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert alive(pid)
    parent.kill()
    await parent.wait()
    await until(lambda: not alive(pid))


async def test_the_time_skipping_server_is_found_and_runs() -> None:
    path = test_server_path()
    assert path is not None and path.is_file()
    async with await WorkflowEnvironment.start_time_skipping(test_server_existing_path=str(path)) as env:
        assert env.supports_time_skipping
