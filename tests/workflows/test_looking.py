"""`ListReplicas` and `CheckReadiness` over a small world: how they end when nothing can be seen."""

import asyncio

import pytest
from temporalio.client import Client, WorkflowFailureError
from temporalio.exceptions import CancelledError

from partial_failover.contracts.step import StepName
from tests.waiting import PATIENCE
from tests.workflows.runs import failure_of, start, workers
from tests.workflows.testing_world import TestingWorld


@pytest.mark.parametrize("workflow", ["ListReplicas", "CheckReadiness"])
async def test_a_look_that_fails_says_why_in_the_words_of_the_leaf(client: Client, workflow: str) -> None:
    world = TestingWorld()
    world.refuse(StepName.INSPECT_REPLICAS, "NotFound")
    async with workers(client, world):
        failure = await asyncio.wait_for(failure_of(await start(client, {}, workflow)), PATIENCE)
    assert failure.type == "NotFound" and failure.message == "no InspectReplicas"


@pytest.mark.parametrize("workflow", ["ListReplicas", "CheckReadiness"])
async def test_a_look_that_is_cancelled_is_cancelled(client: Client, workflow: str) -> None:
    world = TestingWorld()
    world.block.add(StepName.INSPECT_REPLICAS)
    world.reached[StepName.INSPECT_REPLICAS] = asyncio.Event()
    async with workers(client, world):
        handle = await start(client, {}, workflow)
        await asyncio.wait_for(world.reached[StepName.INSPECT_REPLICAS].wait(), PATIENCE)
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as caught:
            await asyncio.wait_for(handle.result(), PATIENCE)
    assert isinstance(caught.value.cause, CancelledError)
