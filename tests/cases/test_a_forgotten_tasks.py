"""A vCenter shows 200 tasks of all its VMs: on a busy one those of a replica are gone within seconds."""

from collections.abc import Callable

import pytest

from lab.injected_faults import FaultKind
from lab.vsphere.tasks import KEPT
from partial_failover.contracts.replica import DiskChange
from tests.connectors.vsphere.conftest import authority, world
from tests.connectors.vsphere.world import World, attempt

__all__ = ["authority", "world"]


@pytest.fixture
def others_work(world: World) -> Callable[[], None]:
    """So many tasks end on another VM that the vCenter shows none of the replica any more."""
    other = world.hypervisor.add_vm("another", [])

    def work() -> None:
        for _ in range(KEPT // 2):
            world.hypervisor.power_on(other)
            world.hypervisor.power_off(other)

    return work


def test_a4_a_power_on_after_the_revert_is_not_forgotten(
    world: World, others_work: Callable[[], None]
) -> None:
    client, replica = world.client(), world.replica
    since = client.now()
    world.revert(client, 2, attempt(), since)
    assert client.last_change(replica.moref, since) is DiskChange.REVERTED
    world.hypervisor.power_on(replica)
    world.hypervisor.power_off(replica)
    others_work()
    assert world.endpoint.tasks.recent(replica) == []
    assert client.last_change(replica.moref, since) is DiskChange.STARTED


def test_a4_a_revert_whose_answer_was_lost_is_found_again(
    world: World, others_work: Callable[[], None]
) -> None:
    """By the next attempt, so that it is not done twice."""
    client, since = world.client(), world.client().now()
    world.revert(client, 2, attempt(), since)
    others_work()
    assert not world.revert(client, 2, attempt(), since)
    assert world.replica.reverts == [world.points[2].moref]


def test_a4_a_lost_answer_is_settled_though_others_work(
    world: World, others_work: Callable[[], None]
) -> None:
    client = world.client()
    client.check()
    world.inject("RevertToSnapshot_Task", FaultKind.DROP_AFTER)
    world.faults.rules[-1].act = others_work
    assert world.revert(client, 2, attempt())
    assert world.replica.reverts == [world.points[2].moref]


def test_a4_who_looks_leaves_no_collector_behind(world: World) -> None:
    """A session has 32 of them at most."""
    client = world.client()
    since = client.now()
    for _ in range(40):
        assert client.last_change(world.replica.moref, since) is None
