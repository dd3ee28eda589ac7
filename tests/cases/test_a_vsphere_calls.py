"""A8, A9, A10: a vCenter that answers byte by byte, ends sessions, or dies while it is waited for."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.injected_faults import FaultKind
from partial_failover.connectors.vsphere import VSphere
from partial_failover.contracts.errors import Expired, FailoverError, Unavailable
from tests.connectors.vsphere.conftest import authority, world
from tests.connectors.vsphere.world import World, attempt
from tests.waiting import blocking_until

__all__ = ["authority", "world"]
BYTE_BY_BYTE = 60
"""An answer of a vCenter has more than 400 bytes: at two a second it takes minutes."""


def test_a8_a_read_that_trickles_ends_in_time(world: World) -> None:
    client = world.client(timeout=3)
    client.check()
    world.inject("CurrentTime", FaultKind.TRICKLE, times=2)
    began = time.monotonic()
    with pytest.raises(Unavailable):
        client.now()
    assert time.monotonic() - began < BYTE_BY_BYTE


def test_a8_a_login_that_trickles_ends_in_time_and_lets_the_next_one_log_in(world: World) -> None:
    client = world.client(timeout=3)
    world.inject("Login", FaultKind.TRICKLE)
    began = time.monotonic()
    with pytest.raises(Unavailable):
        client.now()
    assert time.monotonic() - began < BYTE_BY_BYTE
    client.now()


def test_a8_a_call_ends_with_its_attempt(world: World) -> None:
    client = world.client(timeout=300)
    client.check()
    world.inject("*", FaultKind.TRICKLE, times=100)
    began = time.monotonic()
    with pytest.raises(Expired):
        client.power_on(world.replica.moref, attempt(seconds=3))
    assert time.monotonic() - began < BYTE_BY_BYTE
    world.faults.clear()
    assert world.replica.reverts == []


def test_a9_one_login_for_each_ended_session(world: World) -> None:
    client = world.client()
    client.check()
    stop = threading.Event()
    ends = 10

    def use(_: int) -> int:
        calls = 0
        while not stop.is_set():
            client.vm(world.replica.moref)
            calls += 1
        return calls

    with ThreadPoolExecutor(16) as pool:
        used = [pool.submit(use, n) for n in range(16)]
        try:
            for _ in range(ends):
                _until_used(world, client)
                world.endpoint.sessions.end_all()
            _until_used(world, client)
        finally:
            stop.set()
        assert all(u.result() for u in used)
    assert world.sent("Login") == 1 + ends


def _until_used(world: World, client: VSphere) -> None:
    """All threads use the session that there is now."""
    blocking_until(lambda: world.endpoint.sessions.count() == 1)
    before = world.sent("RetrievePropertiesEx")
    blocking_until(lambda: world.sent("RetrievePropertiesEx") > before + 64)


def test_a10_the_error_says_that_the_request_was_sent(world: World) -> None:
    client = world.client(timeout=3)
    client.power_on(world.replica.moref, attempt())
    world.inject("PowerOffVM_Task", FaultKind.TASK_HANG, seconds=600)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.power_off, world.replica.moref, attempt())
        blocking_until(lambda: world.sent("WaitForUpdatesEx") >= 1)
        world.endpoint.close()
        with pytest.raises(FailoverError) as caught:
            waiting.result()
    said = str(caught.value)
    assert "Nothing was" not in said and "goes on there" in said
