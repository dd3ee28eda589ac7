"""Programs in guests, against the lab's vCenter: who may run what, once, and what is not up yet."""

import datetime as dt
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.hypervisor import Hypervisor, Vm
from lab.injected_faults import FaultKind, FaultRule, InjectedFaults
from lab.tls import Authority
from lab.vsphere import User, VSphereEndpoint
from partial_failover.connectors.attempt import Attempt
from partial_failover.connectors.vsphere import VCenterLogin, VSphere
from partial_failover.contracts.errors import (
    Expired,
    FailoverError,
    NoRight,
    NotFound,
    OutcomeUnknown,
    Unavailable,
    WrongState,
)
from tests.waiting import PATIENCE, blocking_until

USER, LOGIN, PATH = "failover@vsphere.local", ("tester", "guest<&>word"), "/usr/local/bin/verify-orders"


@dataclass
class World:
    """A replica that is on, whose guest has one program and one account."""

    vm: Vm
    hypervisor: Hypervisor
    faults: InjectedFaults
    endpoint: VSphereEndpoint
    client: VSphere

    def run(self, given: Attempt, login: tuple[str, str] = LOGIN, path: str = PATH) -> int | None:
        return self.client.run_in_guest(self.vm.moref, *login, path, "--quick", given)

    def started(self) -> int:
        return sum(c.call == "StartProgramInGuest" for c in self.faults.calls)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    authority, hypervisor, faults = Authority(tmp_path), Hypervisor("provider", ["lan"]), InjectedFaults()
    vm = hypervisor.add_vm("erp-db-01_replica", ["lan"])
    vm.programs, vm.logins = {PATH: 0}, {LOGIN[0]: LOGIN[1]}
    hypervisor.power_on(vm)
    endpoint = VSphereEndpoint(
        hypervisor, faults, authority.server_context("vcenter"), users={USER: User("word")}
    )
    endpoint.start()
    client = VSphere(VCenterLogin("127.0.0.1", endpoint.port, USER, "word", authority.ca_file))
    yield World(vm, hypervisor, faults, endpoint, client)
    client.close()
    endpoint.close()


def attempt(seconds: float = PATIENCE, earlier: str | None = None) -> Attempt:
    return Attempt(deadline=time.monotonic() + seconds, earlier_task=earlier)


def ended(world: World, given: Attempt) -> int:
    blocking_until(lambda: world.run(given) is not None)
    code = world.run(given)
    assert code is not None
    return code


@pytest.mark.parametrize("code", [0, 3])
def test_it_runs_once_and_its_exit_code_is_told(world: World, code: int) -> None:
    world.vm.programs[PATH] = code
    given = attempt()
    assert world.run(given) is None
    assert ended(world, given) == code
    assert world.started() == 1


def test_the_next_attempt_waits_for_the_same_process(world: World) -> None:
    first = attempt()
    world.run(first)
    assert ended(world, attempt(earlier=first.task)) == 0
    assert world.started() == 1


def test_nothing_is_started_after_the_attempts_time(world: World) -> None:
    with pytest.raises(Expired):
        world.run(attempt(0))
    assert world.started() == 0


def test_a_lost_answer_is_said_and_nothing_sent_again(world: World) -> None:
    world.faults.add(FaultRule("vsphere", "StartProgramInGuest", FaultKind.DROP_AFTER))
    with pytest.raises(OutcomeUnknown):
        world.run(attempt())
    assert world.started() == 1


def test_a_guest_that_is_not_up_yet_is_waited_for(world: World) -> None:
    world.vm.boots = False
    with pytest.raises(Unavailable):
        world.run(attempt())
    world.vm.boots = True
    assert ended(world, attempt()) == 0


@pytest.mark.parametrize(
    ("login", "path", "error"),
    [(("tester", "wrong"), PATH, NoRight), (("root", ""), PATH, NoRight), (LOGIN, "/bin/sh", NotFound)],
)
def test_refusals(world: World, login: tuple[str, str], path: str, error: type[FailoverError]) -> None:
    with pytest.raises(error) as caught:
        world.run(attempt(), login, path)
    assert LOGIN[1] not in str(caught.value)


def test_an_account_without_the_privilege(world: World) -> None:
    world.endpoint.sessions.users[USER] = User("word", frozenset())
    with pytest.raises(NoRight, match=r"VirtualMachine\.GuestOperations\.Execute"):
        world.run(attempt())


def test_a_vm_that_is_off_runs_nothing(world: World) -> None:
    world.hypervisor.power_off(world.vm)
    with pytest.raises(WrongState):
        world.run(attempt())


def test_a_process_of_an_earlier_boot_is_not_known(world: World) -> None:
    given = attempt()
    world.run(given)
    world.hypervisor.power_off(world.vm)
    world.hypervisor.power_on(world.vm)
    with pytest.raises(NotFound):
        world.run(given)


def test_uptime_is_that_of_the_power_on(world: World) -> None:
    assert world.client.vm(world.vm.moref).uptime_s == 0
    assert world.vm.on_since is not None
    world.vm.on_since -= dt.timedelta(seconds=90)
    assert world.client.vm(world.vm.moref).uptime_s in (90, 91)
    world.hypervisor.power_off(world.vm)
    assert world.client.vm(world.vm.moref).uptime_s is None
