"""Checks that go through a network for tests: only where the provider says so, and only to its addresses."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
import pytest_asyncio

from lab.cloud_director.model import MetadataValue
from lab.cloud_director.model import Vm as CloudVm
from lab.data_centre import DataCentre
from lab.worker_config import write_configs
from partial_failover.connectors.cloud_director.metadata_store import MARKER, NICS
from partial_failover.contracts.check import (
    AnyCheck,
    CheckOutcome,
    CheckResult,
    HttpCheck,
    PowerCheck,
    TcpCheck,
)
from partial_failover.contracts.errors import WrongState
from partial_failover.contracts.network import Nic
from partial_failover.contracts.queues import PROVIDER
from partial_failover.contracts.remembered import NicMemory
from partial_failover.contracts.replica import Marker, ReplicaState
from partial_failover.contracts.step import StepName
from partial_failover.settings import ProviderWorkerSettings, TestNetworkSettings, load
from tests.activities.world import RUN, Values, World, built
from tests.connectors.servers import answering, closed_port

HERE, ELSEWHERE = IPv4Network("127.0.0.0/8"), IPv4Network("192.0.2.0/24")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def centre(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DataCentre]:
    """A data centre without packets. A replica under test has an address of this machine's loopback."""
    made = DataCentre(tmp_path_factory.mktemp("centre"), simulated=True)
    made.start()
    replica = made.cloud.vm("erp-db-01_replica")
    mark = Marker(
        state=ReplicaState.PROCESSING,
        workflow_id=RUN.workflow_id,
        run_id=RUN.run_id,
        since=datetime.now(UTC),
        test=True,
    )
    text = NicMemory.of(
        [Nic(index=0, network="acme-lan-a", address=IPv4Address("127.0.0.1"))]
    ).model_dump_json()
    replica.metadata[("SYSTEM", MARKER.key)] = MetadataValue(mark.model_dump_json(), "PRIVATE")
    replica.metadata[("SYSTEM", NICS.key)] = MetadataValue(text, "PRIVATE")
    yield made
    await asyncio.to_thread(made.close)


async def look(
    centre: DataCentre, check: AnyCheck, reachable: IPv4Network | None, **info: Any
) -> CheckResult:
    """Run the check as the provider's worker does, with these settings. `info`: of the attempt."""
    settings = load(write_configs(centre)["provider"])
    assert isinstance(settings, ProviderWorkerSettings)
    acme, *others = settings.tenants
    network = TestNetworkSettings(name="acme-tests", reachable=reachable)
    acme = acme.model_copy(update={"test_network": network})
    changed = [settings.model_copy(update={"tenants": (acme, *others)})]
    world = World(centre, changed, await built(changed), None, {})  # type: ignore[arg-type]  # no ids are looked up here
    values: Values = {"replica_id": under_test(centre).id, "run": RUN, "check": check}
    result = await world.call(f"{PROVIDER}/{StepName.CHECK_GUEST}", values, **info)
    assert isinstance(result, CheckResult)
    return result


def under_test(centre: DataCentre) -> CloudVm:
    """The replica."""
    return centre.cloud.vm("erp-db-01_replica")


async def test_a_port_of_the_guest(centre: DataCentre) -> None:
    async with answering(b"") as (port, _):
        seen = await look(centre, TcpCheck(port=port), HERE)
    assert seen.outcome is CheckOutcome.PASS and f"port {port}" in seen.reason


async def test_a_port_that_opens_later_is_waited_for(centre: DataCentre) -> None:
    port = closed_port()
    waiting = asyncio.create_task(look(centre, TcpCheck(port=port, timeout=timedelta(seconds=10)), HERE))
    await asyncio.sleep(1)
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", port)
    async with server:
        assert (await waiting).outcome is CheckOutcome.PASS


async def test_a_closed_port_fails_after_its_time(centre: DataCentre) -> None:
    seen = await look(centre, TcpCheck(port=closed_port(), timeout=timedelta(seconds=1)), HERE)
    assert seen.outcome is CheckOutcome.FAIL and "after 1 s" in seen.reason and seen.after_s < 5


async def test_the_time_of_a_check_goes_on_in_its_next_attempt(centre: DataCentre) -> None:
    check, now = TcpCheck(port=closed_port(), timeout=timedelta(seconds=40)), datetime.now(UTC)
    began = now - timedelta(seconds=39)
    seen = await look(centre, check, HERE, attempt=2, scheduled_time=began, started_time=now)
    assert seen.outcome is CheckOutcome.FAIL and seen.after_s < 20


@pytest.mark.parametrize(("status", "outcome"), [(200, CheckOutcome.PASS), (500, CheckOutcome.FAIL)])
async def test_the_status_of_a_server(centre: DataCentre, status: int, outcome: CheckOutcome) -> None:
    check = HttpCheck(port=1, path="/health", timeout=timedelta(seconds=1))
    async with answering(f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n".encode()) as (port, asked):
        seen = await look(centre, check.model_copy(update={"port": port}), HERE)
    assert seen.outcome is outcome and str(status) in seen.reason
    assert asked[0].startswith(b"GET /health ")


@pytest.mark.parametrize("reachable", [None, ELSEWHERE])
async def test_nothing_is_connected_to_where_the_provider_did_not_say_so(
    centre: DataCentre, reachable: IPv4Network | None
) -> None:
    async with answering(b"HTTP/1.1 200 OK\r\n\r\n") as (port, asked):
        seen = await look(centre, HttpCheck(port=port), reachable)
    assert seen.outcome is CheckOutcome.SKIPPED and asked == []


async def test_a_replica_that_is_not_under_test_is_not_looked_at(centre: DataCentre) -> None:
    replica = under_test(centre)
    kept = replica.metadata.pop(("SYSTEM", MARKER.key))
    try:
        with pytest.raises(WrongState):
            await look(centre, PowerCheck(), HERE)
    finally:
        replica.metadata["SYSTEM", MARKER.key] = kept
