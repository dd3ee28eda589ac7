"""A4: the proof that nobody powered the replica on since its revert, on a vCenter that is busy elsewhere."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from lab.injected_faults import FaultKind
from lab.tls import Authority
from partial_failover.contracts.errors import OutcomeUnknown
from tests.connectors.vsphere.world import World, attempt, make_world


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def world(authority: Authority) -> Iterator[World]:
    with make_world(authority) as made:
        yield made


def busy(world: World) -> None:
    """So many tasks on another VM that `recentTask` has nothing else any more."""
    other = world.hypervisor.add_vm("other", [])
    for _ in range(110):
        world.hypervisor.power_on(other)
        world.hypervisor.power_off(other)


def test_a4_a_power_on_is_not_forgotten_on_a_busy_vcenter(world: World) -> None:
    client = world.client()
    since = client.now()
    world.revert(client, 2, attempt(), since)
    world.hypervisor.power_on(world.replica)
    world.hypervisor.power_off(world.replica)
    busy(world)
    assert world.endpoint.tasks.recent(world.replica) == []
    assert client.started_since_revert(world.replica.moref, since) is True


def test_a4_a_clean_replica_is_known_to_be_clean_on_a_busy_vcenter(world: World) -> None:
    client = world.client()
    since = client.now()
    world.revert(client, 2, attempt(), since)
    busy(world)
    assert client.started_since_revert(world.replica.moref, since) is False


def test_a4_what_the_vcenter_may_have_forgotten_is_not_clean(world: World) -> None:
    client = world.client()
    assert client.started_since_revert(world.replica.moref, client.now()) is False
    long_ago = client.now() - timedelta(days=2)
    assert client.started_since_revert(world.replica.moref, long_ago) is True
    world.revert(client, 2, attempt(), client.now())
    assert client.started_since_revert(world.replica.moref, long_ago) is False


def test_a4_a_revert_is_not_sent_again_on_a_busy_vcenter(world: World) -> None:
    client = world.client()
    since = client.now()
    world.revert(client, 1, attempt(), since)
    busy(world)
    assert world.revert(client, 1, attempt(), since) is False
    assert world.sent("RevertToSnapshot_Task") == 1


def test_a4_a_lost_answer_is_settled_on_a_busy_vcenter(world: World) -> None:
    world.inject("RevertToSnapshot_Task", FaultKind.DROP_AFTER)
    world.faults.rules[0].act = lambda: busy(world)
    client = world.client()
    since = client.now()
    with pytest.raises(OutcomeUnknown):  # its task is found, but no object of it is left to be waited for
        world.revert(client, 1, attempt(), since)
    assert world.revert(client, 1, attempt(), since) is False
    assert world.sent("RevertToSnapshot_Task") == 1
    assert world.replica.reverts == [world.points[1].moref]
