"""Power, tasks and lost answers: once each, whatever happens on the way."""

from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Interface

import pytest

from lab.cloud_director import Question
from lab.injected_faults import FaultKind
from partial_failover.connectors.cloud_director import CloudDirector, OrganizationVdc
from partial_failover.contracts.errors import (
    Busy,
    Expired,
    NoRight,
    OutcomeUnknown,
    TaskFailed,
    WrongState,
)
from partial_failover.contracts.replica import Power
from tests.connectors.cloud_director.site import NOTE, Beats, Note, Site, attempt, own_vdc
from tests.waiting import blocking_until


def test_power_on_and_undeploy_once_each(site: Site, vdc: OrganizationVdc) -> None:
    assert vdc.power_on(site.vm.id, attempt()) is True
    assert site.vm.machine.power == "poweredOn"
    assert vdc.power_on(site.vm.id, attempt()) is False
    assert vdc.undeploy(site.vm.id, attempt()) is True
    assert (site.vm.machine.power, site.vm.deployed) == ("poweredOff", False)
    assert vdc.undeploy(site.vm.id, attempt()) is False
    assert site.vm.machine.reverts == ["on", "off"]


def test_undeploy_releases_a_vm_that_is_off_but_deployed(site: Site, vdc: OrganizationVdc) -> None:
    site.vm.deployed = True
    assert vdc.undeploy(site.vm.id, attempt()) is True
    assert site.vm.deployed is False


@pytest.mark.parametrize("kind", [FaultKind.DROP_AFTER, FaultKind.DELAY])
def test_a_lost_reply_to_power_on_powers_on_once(site: Site, kind: FaultKind) -> None:
    vdc = own_vdc(site.client(timeout=(2, 0.5)))
    site.plan("POST powerOn", kind, seconds=3)
    assert vdc.power_on(site.vm.id, attempt()) is True
    assert site.vm.machine.reverts == ["on"]
    assert site.count("POST powerOn") == 1


def test_a_lost_request_is_looked_for_and_not_sent_again(site: Site, vdc: OrganizationVdc) -> None:
    site.plan("POST powerOn", FaultKind.DROP_BEFORE)
    with pytest.raises(OutcomeUnknown):
        vdc.power_on(site.vm.id, attempt())
    assert site.count("POST powerOn") == 1
    assert vdc.power_on(site.vm.id, attempt()) is True
    assert site.vm.machine.reverts == ["on"]


def test_busy_is_waited_out(site: Site, vdc: OrganizationVdc) -> None:
    site.plan("POST powerOn", FaultKind.BUSY, times=2)
    beats = Beats()
    assert vdc.power_on(site.vm.id, beats.attempt()) is True
    assert site.vm.machine.reverts == ["on"]
    assert beats.seen


def test_busy_for_too_long_says_busy(site: Site, vdc: OrganizationVdc) -> None:
    site.plan("POST powerOn", FaultKind.BUSY, times=100)
    with pytest.raises(Busy):
        vdc.power_on(site.vm.id, attempt(2.5))
    assert site.vm.machine.reverts == []


def test_a_task_of_somebody_else_is_waited_for(site: Site, vdc: OrganizationVdc) -> None:
    site.plan("PUT networkConfigSection", FaultKind.TASK_HANG, seconds=0.7)
    other = own_vdc(site.client())
    with ThreadPoolExecutor(1) as pool:
        net = site.endpoint.add_network(site.vdc, "second", IPv4Interface("10.1.0.1/24"))
        wanted = [n for n in vdc.networks() if n.name == net.name]
        running = pool.submit(other.attach_networks, site.vapp.id, wanted, attempt())
        blocking_until(lambda: bool(site.endpoint.all_tasks()))
        assert vdc.vm(site.vm.id).busy is not None
        assert vdc.power_on(site.vm.id, attempt()) is True
        assert running.result() is True
    assert [n.name for n in site.vapp.networks] == ["lan", "second"]


def test_maintenance_is_left_although_a_lost_release_was_still_under_way(
    site: Site, vdc: OrganizationVdc
) -> None:
    """The record that its task is about to delete must not be taken for the next one's own."""
    vapp = site.vapp.id
    vdc.hold_maintenance(vapp, "replica-1", attempt())
    site.plan("DELETE metadata", FaultKind.TASK_HANG, seconds=3.0)
    with pytest.raises(Expired):
        vdc.release_maintenance(vapp, "replica-1", attempt(1.5))
    vdc.hold_maintenance(vapp, "replica-1", attempt())
    site.endpoint.tasks.wait_idle()
    assert site.in_maintenance()
    vdc.release_maintenance(vapp, "replica-1", attempt())
    assert not site.in_maintenance() and not site.vapp.metadata


def test_what_is_so_already_counts_only_when_nothing_is_under_way(site: Site, vdc: OrganizationVdc) -> None:
    """A step that was cancelled, or died, may have left a task that makes it otherwise."""
    vm = site.vm.id
    vdc.remembered.write(NOTE, vm, Note(text="Processing"), attempt())
    for call in ("POST metadata", "POST powerOn"):
        site.plan(call, FaultKind.TASK_HANG, seconds=3.0)
    with pytest.raises(Expired):
        vdc.remembered.write(NOTE, vm, Note(text="Failover"), attempt(1.2))
    assert vdc.remembered.write(NOTE, vm, Note(text="Processing"), attempt()) is True
    with pytest.raises(Expired):
        vdc.power_on(vm, attempt(1.2))
    assert vdc.undeploy(vm, attempt()) is True
    assert vdc.remembered.read(NOTE, vm) == Note(text="Processing")
    assert vdc.vm(vm).power is Power.OFF and site.vm.machine.reverts == ["on", "off"]


def test_a_cancelled_attempt_waits_for_the_task_that_it_started(site: Site, vdc: OrganizationVdc) -> None:
    def cancelled() -> None:
        raise RuntimeError("cancelled")

    site.plan("POST powerOn", FaultKind.TASK_HANG, seconds=0.4)
    trying = attempt()
    trying.listen = cancelled
    assert vdc.power_on(site.vm.id, trying) is True
    with pytest.raises(RuntimeError, match="cancelled"):
        trying.beat()


def test_an_expired_login_is_renewed_while_waiting_and_while_sending(
    site: Site, client: CloudDirector, vdc: OrganizationVdc
) -> None:
    client.check()
    site.plan("POST powerOn", FaultKind.TASK_HANG, seconds=0.5)
    site.plan("POST powerOn", FaultKind.EXPIRE_SESSION)
    site.plan("GET task", FaultKind.EXPIRE_SESSION)
    assert vdc.power_on(site.vm.id, attempt()) is True
    assert site.vm.machine.reverts == ["on"]
    assert site.count("POST token") == 3


def test_a_task_that_fails_is_told_and_tried_again_by_the_next_attempt(
    site: Site, vdc: OrganizationVdc
) -> None:
    site.plan("POST powerOn", FaultKind.TASK_ERROR)
    site.plan("POST powerOn", FaultKind.TASK_CANCEL)
    for reason in ("planned by the lab", "canceled"):
        beats = Beats()
        with pytest.raises(TaskFailed, match=reason):
            vdc.power_on(site.vm.id, beats.attempt())
    assert vdc.power_on(site.vm.id, attempt(earlier=beats.seen[-1])) is True
    assert site.vm.machine.reverts == ["on"]


def test_a_task_that_hangs_is_adopted_by_the_next_attempt(site: Site, vdc: OrganizationVdc) -> None:
    site.plan("POST powerOn", FaultKind.TASK_HANG, seconds=4.0)
    beats = Beats()
    with pytest.raises(Expired, match="goes on"):
        vdc.power_on(site.vm.id, beats.attempt(1.5))
    (task,) = site.endpoint.all_tasks()
    assert beats.seen[-1] == f"{site.endpoint.url}/api/task/{task.id}"
    assert vdc.power_on(site.vm.id, attempt(earlier=beats.seen[-1])) is True
    assert site.count("POST powerOn") == 1
    assert site.vm.machine.reverts == ["on"]


def test_an_attempt_whose_time_is_over_sends_nothing(site: Site, vdc: OrganizationVdc) -> None:
    with pytest.raises(Expired):
        vdc.power_on(site.vm.id, attempt(0))
    assert site.count("POST powerOn") == 0


def test_the_time_is_looked_at_again_after_a_slow_login(
    site: Site, client: CloudDirector, vdc: OrganizationVdc
) -> None:
    client.check()
    site.plan("GET vApp", FaultKind.DELAY, seconds=0.6)
    with pytest.raises(Expired):
        vdc.power_on(site.vm.id, attempt(0.4))
    assert site.count("POST powerOn") == 0


def test_moved_or_copied_is_answered_moved(site: Site, vdc: OrganizationVdc) -> None:
    site.vm.asks = Question()
    assert vdc.power_on(site.vm.id, attempt()) is True
    assert site.vm.answers == ["I Moved It"]
    assert site.vm.machine.power == "poweredOn"


def test_only_a_task_that_made_the_change_counts_as_its_doing(site: Site, vdc: OrganizationVdc) -> None:
    beats = Beats()
    vdc.power_on(site.vm.id, beats.attempt())
    on = beats.seen[-1]
    vdc.remembered.write(NOTE, site.vm.id, Note(text="v"), beats.attempt())
    assert vdc.power_on(site.vm.id, attempt(earlier=on)) is True
    assert vdc.power_on(site.vm.id, attempt(earlier=beats.seen[-1])) is False
    assert site.vm.machine.reverts == ["on"]


def test_any_other_question_is_for_a_person(site: Site, vdc: OrganizationVdc) -> None:
    site.vm.asks = Question("msg.disk.lost: The disk was moved away. Go on?", ("Yes, moved", "No"), "No")
    with pytest.raises(WrongState, match="disk was moved away"):
        vdc.power_on(site.vm.id, attempt())
    assert site.vm.answers == []


def test_no_right_is_told_as_such(site: Site) -> None:
    vdc = own_vdc(site.client(site.endpoint.api_token("viewer", rights=frozenset())))
    with pytest.raises(NoRight, match="Power Operations"):
        vdc.power_on(site.vm.id, attempt())
