"""A tunnel that lets small packets through and loses large ones: what a worker sees of it, and says."""

import pytest
from temporalio.client import Client
from temporalio.runtime import MetricBuffer, Runtime, TelemetryConfig

from activities.tenant_site import watch_failover
from appliance import large_packets
from lab.fabric.simulated import SimulatedFabric
from partial_failover.contracts.appliance import LargePackets
from partial_failover.contracts.failover_test import TestResult
from partial_failover.contracts.queues import PROVIDER, TENANT_SITE, TENANT_SITE_WATCH
from partial_failover.contracts.replica import ReplicaState
from partial_failover.contracts.step import StepName
from partial_failover.contracts.step_data import WatchStatus
from partial_failover.temporal.converter import data_converter
from tests.activities.world import Values, World
from tests.waiting import until
from tests.workflows import world as workflow_world
from tests.workflows.runs import ONE, in_state, report_of, run_test, start, workers
from tests.workflows.testing_world import TestingWorld

WATCH = f"{TENANT_SITE_WATCH}/{StepName.WATCH_FAILOVER}"


def fabric(world: World) -> SimulatedFabric:
    assert isinstance(world.centre.fabric, SimulatedFabric)
    return world.centre.fabric


async def connect(world: World, values: Values) -> Values:
    """Build the tunnel of acme, and place the leases of its failover."""
    for side, step in ((PROVIDER, StepName.START_VPN_SERVER), (TENANT_SITE, StepName.START_VPN_CLIENT)):
        await world.call(f"{side}/{step}", values)
    await world.call(f"{TENANT_SITE}/{StepName.CONFIGURE_TENANT_PROXY_ARP}", values)
    return {**values, "target": None, "known": WatchStatus()}


async def test_c4_a_watch_sees_that_large_packets_are_lost_and_that_they_arrive_again(
    world: World, extended: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_failover, "PAUSE", 0.05)
    monkeypatch.setattr(large_packets, "AGAIN", 0.0)
    values = await connect(world, extended)
    fabric(world).drop_large_packets("acme", True)
    seen = await world.call(WATCH, values)
    assert seen == WatchStatus(large_lost=True), "the tunnel is up and is not to be repaired"
    for side in (TENANT_SITE, PROVIDER):
        tunnel = await world.call(f"{side}/{StepName.VERIFY_TUNNEL}", values)
        assert (tunnel.connected, tunnel.large) == (True, LargePackets.LOST)
        assert "large packets are lost" in tunnel.note
    fabric(world).drop_large_packets("acme", False)
    assert await world.call(WATCH, {**values, "known": seen}) == WatchStatus()
    assert (await world.call(f"{TENANT_SITE}/{StepName.VERIFY_TUNNEL}", values)).large is LargePackets.PASS


async def test_c4_an_appliance_with_an_older_program_is_not_asked(
    world: World, extended: Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.requests.large_packets.known", lambda state: None)
    values = await connect(world, extended)
    before = len(world.centre.faults.calls)
    tunnel = await world.call(f"{TENANT_SITE}/{StepName.VERIFY_TUNNEL}", values)
    assert (tunnel.connected, tunnel.large) == (True, LargePackets.UNKNOWN)
    assert [call.call for call in world.centre.faults.calls[before:]] == ["status"]


async def measured(client: Client) -> tuple[Client, MetricBuffer]:
    """The same server, by a client that keeps what its workflows measure."""
    buffer = MetricBuffer(100_000)
    runtime = Runtime(telemetry=TelemetryConfig(metrics=buffer))
    host, namespace = client.service_client.config.target_host, client.namespace
    made = await Client.connect(host, namespace=namespace, data_converter=data_converter, runtime=runtime)
    return made, buffer


async def test_c4_a_failover_says_it_at_once_counts_it_and_repairs_nothing(client: Client) -> None:
    own, buffer = await measured(client)
    world = workflow_world.World()

    async def page() -> str:
        return str((await handle.query("__temporal_workflow_metadata")).current_details)

    async with workers(own, world):
        handle = await start(own, {"vm": "erp-db-01"})
        await in_state(handle, ReplicaState.FAILOVER)
        await until(lambda: len(world.watches) >= 1)
        world.large_lost = True
        await until(lambda: len(world.watches) >= 2)
        head = (await page()).partition("**Warnings**")[0]
        assert "Large packets do not arrive" in head and "a smaller MTU" in head
        world.effects -= {"client"}
        await until(lambda: len(world.watches) >= 4)
        assert "Connected again" in await page() and "a smaller MTU" in await page(), "still said"
        world.large_lost = False
        await until(lambda: len(world.watches) >= 5)
        head = (await page()).partition("**Warnings**")[0]
        assert "Large packets arrive again" in head and "do not arrive" not in head
        await handle.execute_update("undo")
        report = await report_of(handle)
    assert world.log.count(StepName.START_VPN_CLIENT) == 2, "for the cut alone"
    assert len([w for w in report.warnings if "Large packets do not arrive" in w]) == 1
    counted = [u for u in buffer.retrieve_updates() if u.metric.name == "failover_large_packets_lost"]
    assert [(u.value, u.attributes["vm"]) for u in counted] == [(0, "erp-db-01"), (1, "erp-db-01")]


async def test_c4_a_failover_test_says_it_and_passes(client: Client) -> None:
    world = TestingWorld()
    world.large_lost = True
    async with workers(client, world):
        (vm,) = (await run_test(client, {**ONE, "network": "extension"})).vms
    assert vm.result is TestResult.PASSED
    assert [w for w in vm.warnings if "Large packets do not arrive" in w]
