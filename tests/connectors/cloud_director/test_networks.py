"""Reload, NICs, and the networks of a vApp."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Interface

import pytest

from lab.injected_faults import FaultKind
from partial_failover.connectors.cloud_director import OrganizationVdc
from partial_failover.connectors.cloud_director.nics import MOST_NICS
from partial_failover.contracts.errors import (
    BadRequest,
    Expired,
    LimitReached,
    TaskFailed,
    WrongState,
)
from partial_failover.contracts.network import AllocationMode, Network, Nic
from partial_failover.contracts.replica import Power
from tests.connectors.cloud_director.site import ADDRESS, NOTE, Beats, Note, Site, attempt, own_vdc


def test_reload_takes_over_what_changed_behind_its_back(site: Site, vdc: OrganizationVdc) -> None:
    site.machines.power_on(site.vm.machine)
    assert vdc.vm(site.vm.id).power is Power.OFF
    vdc.reload_from_vcenter(site.vm.id, attempt())
    assert vdc.vm(site.vm.id).power is Power.ON
    assert vdc.undeploy(site.vm.id, attempt()) is True
    assert site.vm.machine.power == "poweredOff"


def test_nics_that_a_revert_changed_are_declared_again(site: Site, vdc: OrganizationVdc) -> None:
    before = vdc.vm(site.vm.id).nics
    site.machines.plug(site.vm.machine, 0, None)
    vdc.reload_from_vcenter(site.vm.id, attempt())
    assert vdc.vm(site.vm.id).nics[0].network is None
    assert vdc.set_nics(site.vm.id, before, attempt()) is True
    assert vdc.vm(site.vm.id).nics == before
    assert site.vm.machine.nics[0].network == "lan"


def test_a_reload_is_adopted_and_not_repeated(site: Site, vdc: OrganizationVdc) -> None:
    site.plan("POST reloadFromVc", FaultKind.TASK_HANG, seconds=3.0)
    beats = Beats()
    with pytest.raises(Expired):
        vdc.reload_from_vcenter(site.vm.id, beats.attempt(1.2))
    vdc.reload_from_vcenter(site.vm.id, attempt(earlier=beats.seen[-1]))
    assert site.count("POST reloadFromVc") == 1


def test_another_operations_task_is_no_reload(site: Site, vdc: OrganizationVdc) -> None:
    beats = Beats()
    vdc.power_on(site.vm.id, beats.attempt())
    vdc.reload_from_vcenter(site.vm.id, attempt(earlier=beats.seen[-1]))
    assert site.count("POST reloadFromVc") == 1


def test_a_lost_reply_to_reload_finds_its_task(site: Site, vdc: OrganizationVdc) -> None:
    site.plan("POST reloadFromVc", FaultKind.DROP_AFTER)
    site.plan("POST reloadFromVc", FaultKind.TASK_HANG, seconds=0.5)
    vdc.reload_from_vcenter(site.vm.id, attempt())
    assert site.count("POST reloadFromVc") == 1


def nets(site: Site, count: int) -> list[Network]:
    return [
        Network(id=f"urn:vcloud:network:{n.id}", name=n.name, subnet=n.gateway.network, gateway=n.gateway.ip)
        for n in (
            site.endpoint.add_network(site.vdc, f"net-{i}", IPv4Interface(f"10.0.{i}.1/24"))
            for i in range(count)
        )
    ]


def pool_nics(names: Sequence[str]) -> list[Nic]:
    return [Nic(index=i, network=name, mode=AllocationMode.POOL) for i, name in enumerate(names)]


def test_nics_are_declared_whole_and_keep_their_macs(site: Site, vdc: OrganizationVdc) -> None:
    (second,) = nets(site, 1)
    mac = site.vm.machine.nics[0].mac
    vdc.attach_networks(site.vapp.id, [second], attempt())
    wanted = [
        Nic(
            index=0,
            network="net-0",
            mode=AllocationMode.MANUAL,
            address=IPv4Address("10.0.0.7"),
            primary=True,
        ),
        Nic(index=2, network=None, connected=False),
        Nic(index=1, network="lan", mode=AllocationMode.POOL),
    ]
    assert vdc.set_nics(site.vm.id, wanted, attempt()) is True
    assert vdc.set_nics(site.vm.id, wanted, attempt()) is False
    assert [(n.index, n.network) for n in site.vm.machine.nics] == [(0, "net-0"), (1, "lan"), (2, None)]
    assert site.vm.machine.nics[0].mac == mac
    shown = vdc.vm(site.vm.id).nics
    assert shown[0].address == IPv4Address("10.0.0.7")
    assert shown[1].address is not None
    assert len({n.mac for n in shown}) == 3
    assert vdc.set_nics(site.vm.id, shown, attempt()) is False
    assert site.count("PUT networkConnectionSection") == 1


def test_a_vm_that_is_on_is_rewired(site: Site, vdc: OrganizationVdc) -> None:
    vdc.power_on(site.vm.id, attempt())
    unplugged = [Nic(index=0, network=None, connected=False)]
    assert vdc.set_nics(site.vm.id, unplugged, attempt()) is True
    assert site.vm.machine.nics[0].network is None


def test_eleven_nics_are_refused_before_anything_is_sent(site: Site, vdc: OrganizationVdc) -> None:
    added = nets(site, MOST_NICS)
    vdc.attach_networks(site.vapp.id, added, attempt())
    names = ["lan", *(n.name for n in added)]
    with pytest.raises(LimitReached, match="11 NICs"):
        vdc.set_nics(site.vm.id, pool_nics(names), attempt())
    assert site.count("PUT networkConnectionSection") == 0
    assert vdc.set_nics(site.vm.id, pool_nics(names[:10]), attempt()) is True
    assert len(site.vm.machine.nics) == 10


def test_nics_that_do_not_fit_are_refused(site: Site, vdc: OrganizationVdc) -> None:
    wrong: list[tuple[list[Nic], str]] = [
        (pool_nics(["nowhere"]), "not attached"),
        ([Nic(index=0, network="lan", mode=AllocationMode.MANUAL)], "no address"),
        ([Nic(index=1, network="lan"), Nic(index=1, network="lan")], "different indices"),
        ([Nic(index=10, network="lan")], "0 to 9"),
    ]
    for nics, message in wrong:
        with pytest.raises(BadRequest, match=message):
            vdc.set_nics(site.vm.id, nics, attempt())


def test_an_address_that_is_taken_fails_the_task(site: Site, vdc: OrganizationVdc) -> None:
    other = site.endpoint.add_vm(site.vapp, site.machines.add_vm("other", []))
    with pytest.raises(TaskFailed, match=r"192\.168\.10\.21 is in use"):
        vdc.set_nics(
            other.id,
            [Nic(index=0, network="lan", mode=AllocationMode.MANUAL, address=ADDRESS)],
            attempt(),
        )


def test_networks_are_attached_and_detached(site: Site, vdc: OrganizationVdc) -> None:
    added = nets(site, 2)
    assert vdc.attach_networks(site.vapp.id, added, attempt()) is True
    assert vdc.attach_networks(site.vapp.id, added, attempt()) is False
    assert vdc.vapp_networks(site.vapp.id) == ("lan", "net-0", "net-1")
    assert vdc.detach_networks(site.vapp.id, ["net-0", "gone"], attempt()) is True
    assert vdc.detach_networks(site.vapp.id, ["net-0"], attempt()) is False
    assert [n.name for n in site.vapp.networks] == ["lan", "net-1"]
    with pytest.raises(WrongState, match="erp-db-01"):
        vdc.detach_networks(site.vapp.id, ["lan"], attempt())


def test_two_writers_do_not_undo_each_other(site: Site, vdc: OrganizationVdc) -> None:
    other = own_vdc(site.client())
    added, writers = nets(site, 4), [vdc, other, own_vdc(site.client()), vdc]
    site.endpoint.tasks.seconds = 0.2
    with ThreadPoolExecutor(4) as pool:
        done = [
            pool.submit(writer.attach_networks, site.vapp.id, [net], attempt())
            for writer, net in zip(writers, added, strict=True)
        ]
        results = [d.exception() for d in done]
    # Writers of one process wait for each other; another process's loss is seen when it is verified.
    assert all(r is None or isinstance(r, TaskFailed) for r in results)
    for writer, net in zip(writers, added, strict=True):
        writer.attach_networks(site.vapp.id, [net], attempt())
    assert {n.name for n in site.vapp.networks} == {"lan", "net-0", "net-1", "net-2", "net-3"}


def test_eight_threads_share_one_vdc(site: Site, vdc: OrganizationVdc) -> None:
    vapps = [site.endpoint.add_vapp(site.vdc, f"vapp-{i}") for i in range(8)]
    vms = [site.endpoint.add_vm(v, site.machines.add_vm(f"vm-{i}", [])) for i, v in enumerate(vapps)]
    together = threading.Barrier(8)

    def work(number: int) -> bool:
        together.wait()
        vm = vdc.vm_named(f"vm-{number}")
        vdc.remembered.write(NOTE, vm.id, Note(text=str(number)), attempt())
        vdc.attach_networks(site.vapp.id, [added[number]], attempt())
        return vdc.power_on(vm.id, attempt())

    added = nets(site, 8)
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    assert all(vm.machine.reverts == ["on"] for vm in vms)
    assert {n.name for n in site.vapp.networks} == {"lan", *(n.name for n in added)}
    assert [Note.model_validate_json(vm.metadata["SYSTEM", NOTE.key].value).text for vm in vms] == [
        str(i) for i in range(8)
    ]
    assert site.count("POST token") == 1
