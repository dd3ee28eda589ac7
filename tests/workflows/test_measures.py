"""What a failover test is counted as, when Cloud Director is what failed."""

import pytest
from temporalio.client import Client
from temporalio.runtime import MetricBuffer, Runtime, TelemetryConfig

from partial_failover.contracts.step import StepName
from partial_failover.temporal.converter import data_converter
from tests.workflows.runs import ONE, run_test, workers
from tests.workflows.testing_world import TestingWorld


@pytest.mark.parametrize("step", [StepName.PLAN_FAILOVER, StepName.ISOLATE_REPLICA])
async def test_a_test_counts_also_where_its_record_cannot_be_kept(client: Client, step: StepName) -> None:
    buffer = MetricBuffer(100_000)
    measured = await Client.connect(
        client.service_client.config.target_host,
        namespace=client.namespace,
        data_converter=data_converter,
        runtime=Runtime(telemetry=TelemetryConfig(metrics=buffer)),
    )
    world = TestingWorld()
    world.refuse(step)
    world.refuse(StepName.RECORD_TEST, times=9)
    async with workers(measured, world):
        await run_test(measured, ONE)
    counted = [u for u in buffer.retrieve_updates() if u.metric.name == "failover_tests"]
    assert [(u.value, u.attributes["vm"], u.attributes["result"]) for u in counted] == [
        (1, "erp-db-01", "failed")
    ]
    assert world.records == []
