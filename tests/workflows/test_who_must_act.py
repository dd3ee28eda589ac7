"""Errors stay in parts until they reach the page: who must act is said by the step, and never guessed."""

import pytest
from temporalio.client import Client
from temporalio.exceptions import ApplicationError

from partial_failover.contracts.errors import Misconfigured, NoRight, Unavailable, Who
from partial_failover.contracts.step import StepName
from partial_failover.temporal.interceptors import as_failure
from tests.workflows.runs import failure_of, start, workers
from tests.workflows.world import World


async def problems_of(client: Client, world: World) -> list[dict[str, str]]:
    """Those that the failure of a failover names."""
    async with workers(client, world):
        failure = await failure_of(await start(client, {"vm": "erp-db-01"}))
    assert failure.type == "NotReady"
    return [dict(problem) for problem in failure.details[0]]


@pytest.mark.parametrize("step", [StepName.PLAN_FAILOVER, StepName.CHECK_TENANT_SITE])
async def test_a_step_says_who_must_act(client: Client, step: StepName) -> None:
    world, error = (
        World(),
        NoRight("acme may not do this", left="Nothing was changed", do="Give it the right"),
    )
    world.fail[step] = [as_failure(error)]
    [problem] = [p for p in await problems_of(client, world) if "may not" in p["what"]]
    assert problem == {"what": "acme may not do this", "who": Who.PROVIDER, "do": "Give it the right"}


@pytest.mark.parametrize(
    ("step", "who"), [(StepName.PLAN_FAILOVER, Who.PROVIDER), (StepName.CHECK_TENANT_SITE, Who.TENANT)]
)
async def test_what_nobody_must_act_on_yet_is_looked_after_by_its_side(
    client: Client, step: StepName, who: Who
) -> None:
    world, failure = World(), as_failure(Unavailable("It does not answer"))
    final = ApplicationError(failure.message, *failure.details, type=failure.type, non_retryable=True)
    world.fail[step] = [final]
    [problem] = [p for p in await problems_of(client, world) if p["what"] == "It does not answer"]
    assert problem["who"] == who


async def test_a_failure_carries_the_parts_to_its_end(client: Client) -> None:
    world = World()
    error = Misconfigured("No such network", left="Nothing was changed", do="Create it")
    world.fail[StepName.CONNECT_NETWORKS] = [as_failure(error)]
    async with workers(client, world):
        failure = await failure_of(await start(client, {"vm": "erp-db-01"}))
    assert failure.type == "Misconfigured"
    assert failure.details[-1] == {
        "happened": "No such network",
        "left": "Nothing was changed",
        "do": "Create it",
        "who": "provider",
    }
