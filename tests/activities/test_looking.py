"""A look takes a bounded time, and one that is silent does not keep the others from being seen."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from temporalio import activity
from temporalio.testing import ActivityEnvironment

from activities.shared import probes
from lab.injected_faults import FaultKind, FaultRule
from partial_failover.contracts.errors import NotFound, Unavailable, Who
from partial_failover.contracts.plan import PlanInput, PlanResult, Problem
from partial_failover.contracts.queues import PROVIDER
from partial_failover.contracts.report import ReplicaList
from partial_failover.contracts.request import ListReplicasRequest, PartialFailoverRequest
from partial_failover.contracts.step import StepName
from tests.activities.world import RUN, World, name_of

SECONDS = 2.0


@pytest.fixture
def silent(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The provider's vCenter takes far longer to answer than a look may."""
    monkeypatch.setattr(probes, "LOOK", SECONDS)
    world.centre.faults.add(
        FaultRule("provider-vcenter", "*", FaultKind.DELAY, times=1000, seconds=3 * SECONDS)
    )
    yield
    world.centre.faults.clear()


async def last_attempt(world: World, step: StepName, data: object) -> object:
    """Run a step as the attempt that writes down what did not answer."""
    run = next(s for s in world.process.lists["acme", PROVIDER] if name_of(s) == step)
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, attempt=probes.TRIES)
    return await asyncio.to_thread(environment.run, run, data)


async def test_a_silent_vcenter_is_waited_for_once_and_not_for_each_replica(
    world: World, silent: None
) -> None:
    began = time.monotonic()
    found = await last_attempt(world, StepName.INSPECT_REPLICAS, ListReplicasRequest())
    assert time.monotonic() - began < 3 * SECONDS
    assert isinstance(found, ReplicaList) and len(found.replicas) == 3
    for replica in found.replicas:
        assert replica.state == "Normal" and replica.addresses
        [problem] = replica.problems
        assert "did not answer within 2 s" in problem.what and problem.who is Who.PROVIDER


async def test_a_silent_vcenter_hides_nothing_else(world: World, silent: None) -> None:
    data = PlanInput(request=PartialFailoverRequest(vm="mail-01", adopt=True), run=RUN)
    found = await last_attempt(world, StepName.PLAN_FAILOVER, data)
    assert isinstance(found, PlanResult)
    adoption, vcenter, appliance = found.problems
    assert "nothing to adopt" in adoption.what
    assert "The vCenter of mail-01_replica did not answer within 2 s" in vcenter.what
    assert "did not answer within 2 s, so the provider's appliance cannot be used" in appliance.what


def test_a_look_knows_whose_step_it_is_and_beats_before_it_begins() -> None:
    environment, beats = ActivityEnvironment(), list[object]()
    environment.on_heartbeat = lambda *details: beats.append(details)
    found = environment.run(lambda: probes.with_timeout(lambda: activity.info().activity_type, "it"))
    assert found == environment.info.activity_type and beats == [()]


@pytest.mark.parametrize(("attempt", "again"), [(1, True), (probes.TRIES, False)])
def test_what_may_pass_is_noted_in_the_last_attempt_only(attempt: int, again: bool) -> None:
    environment, problems = ActivityEnvironment(), list[Problem]()
    environment.info = replace(environment.info, attempt=attempt)

    def look() -> None:
        with probes.collected_problems(problems, Who.PROVIDER, "so it is not known"):
            raise Unavailable("It is away", do="It is tried again")

    if again:
        with pytest.raises(Unavailable):
            environment.run(look)
    else:
        environment.run(look)
    assert [p.what for p in problems] == ([] if again else ["It is away, so it is not known"])


def test_what_does_not_pass_is_noted_at_once() -> None:
    problems: list[Problem] = []

    def look() -> None:
        with probes.collected_problems(problems, Who.PROVIDER):
            raise NotFound("There is none", do="Make one")

    ActivityEnvironment().run(look)
    assert problems == [Problem(what="There is none", who=Who.TENANT, do="Make one")]


def test_a_mistake_of_the_program_is_no_problem_of_a_failover() -> None:
    def look() -> None:
        with probes.collected_problems([], Who.PROVIDER):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ActivityEnvironment().run(look)
