"""The Cloud Director connector against the lab's endpoint, over TLS. Asserted is the world, not the calls."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from connectors.attempt import Attempt
from connectors.cloud_director import CloudDirector, changes
from connectors.cloud_director.maintenance import KEY as MAINTENANCE
from connectors.cloud_director.nics import MOST_NICS
from contracts.errors import (
    BadRequest,
    Busy,
    Expired,
    LimitReached,
    Misconfigured,
    NoRight,
    NotFound,
    OutcomeUnknown,
    TaskFailed,
    Unavailable,
    WrongState,
)
from contracts.network import AllocationMode, Network, Nic
from contracts.replica import Power
from lab.cloud_director import CloudDirectorEndpoint, NicSpec, Question
from lab.cloud_director.model import MetadataValue, VApp, Vdc, Vm
from lab.faults import Faults, Kind, Rule
from lab.hypervisor import Hypervisor
from lab.tls import Authority

ROOT = Path(__file__).parents[2]
LAN = IPv4Interface("192.168.10.1/24")
ADDRESS = IPv4Address("192.168.10.21")


@dataclass
class Beats:
    """An attempt that remembers its heartbeats."""

    seen: list[str | None] = field(default_factory=list)

    def attempt(self, seconds: float = 20.0, earlier: str | None = None) -> Attempt:
        return Attempt(time.monotonic() + seconds, self.seen.append, earlier)


@dataclass
class Site:
    """A provider with two tenants, and one replica of the first."""

    endpoint: CloudDirectorEndpoint
    machines: Hypervisor
    faults: Faults
    ca_file: Path
    vdc: Vdc
    vapp: VApp
    vm: Vm
    foreign_vdc: Vdc
    foreign_vm: Vm
    clients: list[CloudDirector] = field(default_factory=list)

    def client(self, token: str = "", **settings: object) -> CloudDirector:
        token = token or self.endpoint.api_token("operator")
        made = CloudDirector(self.endpoint.url, token, self.ca_file, **settings)  # type: ignore[arg-type]
        self.clients.append(made)
        return made

    def plan(self, call: str, kind: Kind, seconds: float = 0.0, times: int = 1) -> None:
        self.faults.add(Rule("cloud-director", call, kind, times, seconds))

    def count(self, call: str) -> int:
        return sum(c.call == call for c in self.faults.calls)

    def in_maintenance(self) -> bool:
        return self.vapp.maintenance


def attempt(seconds: float = 20.0, earlier: str | None = None) -> Attempt:
    return Beats().attempt(seconds, earlier)


def until(true: Callable[[], bool], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "did not come true in time"
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lab's tasks are short, so they are looked at more often than real ones."""
    monkeypatch.setattr(changes, "FIRST_POLL", 0.03)
    monkeypatch.setattr(changes, "LOOK_SECONDS", 0.7)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def site(authority: Authority) -> Iterator[Site]:
    machines, faults = Hypervisor("provider"), Faults()
    endpoint = CloudDirectorEndpoint(machines, faults, authority.server_context("vcd"))
    acme, other = endpoint.add_org("acme"), endpoint.add_org("other")
    vdc, foreign = endpoint.add_vdc(acme, "acme-dr"), endpoint.add_vdc(other, "other-dr")
    endpoint.add_network(vdc, "lan", LAN)
    foreign_net = endpoint.add_network(foreign, "lan", LAN)
    vapp = endpoint.add_vapp(vdc, "replicas")
    machine = machines.add_vm("erp-db-01", ["lan"])
    machines.snapshot(machine, "Restore Point 1")
    vm = endpoint.add_vm(vapp, machine, [NicSpec("lan", AllocationMode.MANUAL, ADDRESS)])
    foreign_machine = machines.add_vm("secret", [foreign_net.port_group])
    foreign_vm = endpoint.add_vm(
        endpoint.add_vapp(foreign, "theirs"), foreign_machine, [NicSpec("lan", AllocationMode.NONE)]
    )
    endpoint.start()
    built = Site(endpoint, machines, faults, authority.ca_file, vdc, vapp, vm, foreign, foreign_vm)
    yield built
    for client in built.clients:
        client.close()
    endpoint.close()


@pytest.fixture
def client(site: Site) -> CloudDirector:
    return site.client()


# Login and reading


def test_check_names_version_and_user(site: Site, client: CloudDirector) -> None:
    assert "API 37.0" in client.check()
    assert "operator of System" in client.check()
    site.endpoint.api.served["37.0"] = True
    assert "deprecated" in client.check()


def test_a_version_that_is_not_served_is_named_with_those_that_are(site: Site) -> None:
    with pytest.raises(Misconfigured, match=r"35\.2.*37\.0"):
        site.client(api_version="35.2").check()
    with pytest.raises(Misconfigured, match=r"35\.2"):
        site.client(api_version="35.2").vms(site.vdc.id)


def test_a_wrong_api_token_is_refused_and_not_told(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with pytest.raises(NoRight) as refused:
        site.client("wrong-secret").check()
    assert "wrong-secret" not in str(refused.value) + caplog.text


def test_only_https_and_only_a_trusted_certificate(site: Site) -> None:
    with pytest.raises(Misconfigured, match="https"):
        CloudDirector("http://127.0.0.1", "x", None)
    with pytest.raises(Misconfigured, match="certificate"):
        CloudDirector(site.endpoint.url, "x", None).check()


def test_it_reads_vdc_vms_networks_and_vcenter(site: Site, client: CloudDirector) -> None:
    site.endpoint.vcenter_url = "https://vcenter.example"
    assert client.vdc("acme", "acme-dr") == site.vdc.id
    with pytest.raises(NotFound):
        client.vdc("acme", "ACME-DR")
    with pytest.raises(NotFound):
        client.vdc("acme", "other-dr")
    (vm,) = client.vms(site.vdc.id)
    assert vm == client.vm(site.vdc.id, site.vm.id) == client.vm_named(site.vdc.id, "erp-db-01")
    assert (vm.power, vm.deployed, vm.vapp_name, vm.moref) == (
        Power.OFF,
        False,
        "replicas",
        site.vm.machine.moref,
    )
    assert vm.nics == (
        Nic(
            index=0,
            network="lan",
            mac=site.vm.machine.nics[0].mac,
            mode=AllocationMode.MANUAL,
            address=ADDRESS,
            primary=True,
        ),
    )
    assert vm.vcenter == site.endpoint.vcenter_id
    assert client.vcenter_url(site.endpoint.vcenter_id) == "https://vcenter.example"
    (network,) = client.networks(site.vdc.id)
    assert (network.name, network.subnet, network.gateway) == ("lan", LAN.network, LAN.ip)


def test_templates_are_no_vms(site: Site, client: CloudDirector) -> None:
    template = site.endpoint.add_vapp(site.vdc, "golden", template=True)
    site.endpoint.add_vm(template, site.machines.add_vm("erp-db-01", []))
    assert [v.id for v in client.vms(site.vdc.id)] == [site.vm.id]
    assert client.vm_named(site.vdc.id, "erp-db-01").id == site.vm.id


def test_networks_and_vapps_beyond_one_page(site: Site, client: CloudDirector) -> None:
    for number in range(130):
        site.endpoint.add_network(site.vdc, f"net-{number}", IPv4Interface(f"10.0.{number}.1/24"))
        site.endpoint.add_vapp(site.vdc, f"vapp-{number}")
    last = site.endpoint.add_vapp(site.vdc, "last")
    site.endpoint.add_vm(last, site.machines.add_vm("last-vm", []))
    assert len({n.id for n in client.networks(site.vdc.id)}) == 131
    assert {v.name for v in client.vms(site.vdc.id)} == {"erp-db-01", "last-vm"}


@pytest.mark.parametrize(
    "name",
    [
        'it\'s "quoted"',
        "a,b;c",
        "(x)",
        "star*",
        "*",
        "name==x;vdc==y",
        "<&>]]>",
        "back\\slash",
        "%2A%00",
        "ünï cødé",
        "a/b?c#d&e=f",
    ],
)
def test_hostile_names_find_their_own_vm_only(site: Site, client: CloudDirector, name: str) -> None:
    mine = site.endpoint.add_vm(site.vapp, site.machines.add_vm(name, []))
    assert client.vm_named(site.vdc.id, name).id == mine.id
    with pytest.raises(NotFound):
        client.vm_named(site.vdc.id, name + "x")


def test_names_are_compared_exactly(site: Site, client: CloudDirector) -> None:
    for name in ("ERP-DB-01", "erp-db-*", "erp*", "*"):
        with pytest.raises(NotFound):
            client.vm_named(site.vdc.id, name)
    site.endpoint.add_vm(site.vapp, site.machines.add_vm("erp-db-01", []))
    with pytest.raises(BadRequest, match="2 VMs"):
        client.vm_named(site.vdc.id, "erp-db-01")


def test_another_tenants_things_do_not_exist(site: Site, client: CloudDirector) -> None:
    theirs, mine, a = site.foreign_vm, site.vdc.id, attempt()
    never = "00000000-0000-4000-8000-000000000000"
    refused = []
    for vm_id in (theirs.id, never):
        with pytest.raises(NotFound) as error:
            client.vm(mine, vm_id)
        refused.append(str(error.value).replace(vm_id, "ID"))
    assert refused[0] == refused[1]
    with pytest.raises(NotFound):
        client.vm_named(mine, "secret")
    acts: list[Callable[[], object]] = [
        lambda: client.power_on(mine, theirs.id, a),
        lambda: client.undeploy(mine, theirs.id, a),
        lambda: client.reload_from_vcenter(mine, theirs.id, a),
        lambda: client.set_nics(mine, theirs.id, [], a),
        lambda: client.metadata(mine, "vm", theirs.id, "k"),
        lambda: client.set_metadata(mine, "vm", theirs.id, "k", "v", a),
        lambda: client.delete_metadata(mine, "vm", theirs.id, "k", a),
        lambda: client.set_metadata(mine, "vapp", theirs.vapp.id, "k", "v", a),
        lambda: client.vapp_networks(mine, theirs.vapp.id),
        lambda: client.attach_networks(mine, theirs.vapp.id, [], a),
        lambda: client.detach_networks(mine, theirs.vapp.id, ["lan"], a),
        lambda: client.hold_maintenance(mine, theirs.vapp.id, "o", a),
        lambda: client.release_maintenance(mine, theirs.vapp.id, "o", a),
    ]
    for act in acts:
        with pytest.raises(NotFound):
            act()
    assert not site.endpoint.all_tasks()
    assert not theirs.vapp.maintenance


@pytest.mark.parametrize("wrong", ["", "vm-1", "../../admin", "A" * 36, "x' or '1'='1"])
def test_what_is_no_uuid_enters_no_path(site: Site, client: CloudDirector, wrong: str) -> None:
    with pytest.raises(BadRequest):
        client.vm(site.vdc.id, wrong)
    with pytest.raises(BadRequest):
        client.vms(wrong)
    assert not site.faults.calls


# Power


def test_power_on_and_undeploy_once_each(site: Site, client: CloudDirector) -> None:
    assert client.power_on(site.vdc.id, site.vm.id, attempt()) is True
    assert site.vm.machine.power == "poweredOn"
    assert client.power_on(site.vdc.id, site.vm.id, attempt()) is False
    assert client.undeploy(site.vdc.id, site.vm.id, attempt()) is True
    assert (site.vm.machine.power, site.vm.deployed) == ("poweredOff", False)
    assert client.undeploy(site.vdc.id, site.vm.id, attempt()) is False
    assert site.vm.machine.reverts == ["on", "off"]


def test_undeploy_releases_a_vm_that_is_off_but_deployed(site: Site, client: CloudDirector) -> None:
    site.vm.deployed = True
    assert client.undeploy(site.vdc.id, site.vm.id, attempt()) is True
    assert site.vm.deployed is False


@pytest.mark.parametrize("kind", [Kind.DROP_AFTER, Kind.DELAY])
def test_a_lost_reply_to_power_on_powers_on_once(site: Site, kind: Kind) -> None:
    client = site.client(timeout=(2, 0.5))
    site.plan("POST powerOn", kind, seconds=3)
    assert client.power_on(site.vdc.id, site.vm.id, attempt()) is True
    assert site.vm.machine.reverts == ["on"]
    assert site.count("POST powerOn") == 1


def test_a_lost_request_is_looked_for_and_not_sent_again(site: Site, client: CloudDirector) -> None:
    site.plan("POST powerOn", Kind.DROP_BEFORE)
    with pytest.raises(OutcomeUnknown):
        client.power_on(site.vdc.id, site.vm.id, attempt())
    assert site.count("POST powerOn") == 1
    assert client.power_on(site.vdc.id, site.vm.id, attempt()) is True
    assert site.vm.machine.reverts == ["on"]


def test_busy_is_waited_out(site: Site, client: CloudDirector) -> None:
    site.plan("POST powerOn", Kind.BUSY, times=2)
    beats = Beats()
    assert client.power_on(site.vdc.id, site.vm.id, beats.attempt()) is True
    assert site.vm.machine.reverts == ["on"]
    assert beats.seen


def test_busy_for_too_long_says_busy(site: Site, client: CloudDirector) -> None:
    site.plan("POST powerOn", Kind.BUSY, times=100)
    with pytest.raises(Busy):
        client.power_on(site.vdc.id, site.vm.id, attempt(1.0))
    assert site.vm.machine.reverts == []


def test_a_task_of_somebody_else_is_waited_for(site: Site, client: CloudDirector) -> None:
    site.plan("PUT networkConfigSection", Kind.TASK_HANG, seconds=0.7)
    other = site.client()
    with ThreadPoolExecutor(1) as pool:
        net = site.endpoint.add_network(site.vdc, "second", IPv4Interface("10.1.0.1/24"))
        wanted = [n for n in client.networks(site.vdc.id) if n.name == net.name]
        running = pool.submit(other.attach_networks, site.vdc.id, site.vapp.id, wanted, attempt())
        until(lambda: bool(site.endpoint.all_tasks()))
        assert client.vm(site.vdc.id, site.vm.id).busy is not None
        assert client.power_on(site.vdc.id, site.vm.id, attempt()) is True
        assert running.result() is True
    assert [n.name for n in site.vapp.networks] == ["lan", "second"]


def test_maintenance_is_left_although_a_lost_release_was_still_under_way(
    site: Site, client: CloudDirector
) -> None:
    """The record that its task is about to delete must not be taken for the next one's own."""
    vdc, vapp = site.vdc.id, site.vapp.id
    client.hold_maintenance(vdc, vapp, "replica-1", attempt())
    site.plan("DELETE metadata", Kind.TASK_HANG, seconds=3.0)
    with pytest.raises(Expired):
        client.release_maintenance(vdc, vapp, "replica-1", attempt(1.5))
    client.hold_maintenance(vdc, vapp, "replica-1", attempt())
    site.endpoint.tasks.wait_idle()
    assert site.in_maintenance()
    client.release_maintenance(vdc, vapp, "replica-1", attempt())
    assert not site.in_maintenance() and not site.vapp.metadata


def test_what_is_so_already_counts_only_when_nothing_is_under_way(site: Site, client: CloudDirector) -> None:
    """A step that was cancelled, or died, may have left a task that makes it otherwise."""
    vdc, vm = site.vdc.id, site.vm.id
    client.set_metadata(vdc, "vm", vm, "state", "Processing", attempt())
    for call in ("POST metadata", "POST powerOn"):
        site.plan(call, Kind.TASK_HANG, seconds=0.6)
    with pytest.raises(Expired):
        client.set_metadata(vdc, "vm", vm, "state", "Failover", attempt(0.2))
    assert client.set_metadata(vdc, "vm", vm, "state", "Processing", attempt()) is True
    with pytest.raises(Expired):
        client.power_on(vdc, vm, attempt(0.2))
    assert client.undeploy(vdc, vm, attempt()) is True
    assert client.metadata(vdc, "vm", vm, "state") == "Processing"
    assert client.vm(vdc, vm).power is Power.OFF and site.vm.machine.reverts == ["on", "off"]


def test_a_cancelled_attempt_waits_for_the_task_that_it_started(site: Site, client: CloudDirector) -> None:
    def cancelled() -> None:
        raise RuntimeError("cancelled")

    site.plan("POST powerOn", Kind.TASK_HANG, seconds=0.4)
    trying = attempt()
    trying.listen = cancelled
    assert client.power_on(site.vdc.id, site.vm.id, trying) is True
    with pytest.raises(RuntimeError, match="cancelled"):
        trying.beat()


def test_an_expired_login_is_renewed_while_waiting_and_while_sending(
    site: Site, client: CloudDirector
) -> None:
    client.check()
    site.plan("POST powerOn", Kind.TASK_HANG, seconds=0.5)
    site.plan("POST powerOn", Kind.EXPIRE_SESSION)
    site.plan("GET task", Kind.EXPIRE_SESSION)
    assert client.power_on(site.vdc.id, site.vm.id, attempt()) is True
    assert site.vm.machine.reverts == ["on"]
    assert site.count("POST token") == 3


def test_a_task_that_fails_is_told_and_tried_again_by_the_next_attempt(
    site: Site, client: CloudDirector
) -> None:
    site.plan("POST powerOn", Kind.TASK_ERROR)
    site.plan("POST powerOn", Kind.TASK_CANCEL)
    for said in ("planned by the lab", "canceled"):
        beats = Beats()
        with pytest.raises(TaskFailed, match=said):
            client.power_on(site.vdc.id, site.vm.id, beats.attempt())
    assert client.power_on(site.vdc.id, site.vm.id, attempt(earlier=beats.seen[-1])) is True
    assert site.vm.machine.reverts == ["on"]


def test_a_task_that_hangs_is_adopted_by_the_next_attempt(site: Site, client: CloudDirector) -> None:
    site.plan("POST powerOn", Kind.TASK_HANG, seconds=1.5)
    beats = Beats()
    with pytest.raises(Expired, match="goes on"):
        client.power_on(site.vdc.id, site.vm.id, beats.attempt(0.6))
    (task,) = site.endpoint.all_tasks()
    assert beats.seen[-1] == f"{site.endpoint.url}/api/task/{task.id}"
    assert client.power_on(site.vdc.id, site.vm.id, attempt(earlier=beats.seen[-1])) is True
    assert site.count("POST powerOn") == 1
    assert site.vm.machine.reverts == ["on"]


def test_an_attempt_whose_time_is_over_sends_nothing(site: Site, client: CloudDirector) -> None:
    with pytest.raises(Expired):
        client.power_on(site.vdc.id, site.vm.id, attempt(0))
    assert site.count("POST powerOn") == 0


def test_the_time_is_looked_at_again_after_a_slow_login(site: Site, client: CloudDirector) -> None:
    client.check()
    site.plan("GET vApp", Kind.DELAY, seconds=0.6)
    with pytest.raises(Expired):
        client.power_on(site.vdc.id, site.vm.id, attempt(0.4))
    assert site.count("POST powerOn") == 0


def test_moved_or_copied_is_answered_moved(site: Site, client: CloudDirector) -> None:
    site.vm.asks = Question()
    assert client.power_on(site.vdc.id, site.vm.id, attempt()) is True
    assert site.vm.answers == ["I Moved It"]
    assert site.vm.machine.power == "poweredOn"


def test_only_a_task_that_made_the_change_counts_as_its_doing(site: Site, client: CloudDirector) -> None:
    beats = Beats()
    client.power_on(site.vdc.id, site.vm.id, beats.attempt())
    on = beats.seen[-1]
    client.set_metadata(site.vdc.id, "vm", site.vm.id, "k", "v", beats.attempt())
    assert client.power_on(site.vdc.id, site.vm.id, attempt(earlier=on)) is True
    assert client.power_on(site.vdc.id, site.vm.id, attempt(earlier=beats.seen[-1])) is False
    assert site.vm.machine.reverts == ["on"]


def test_any_other_question_is_for_a_person(site: Site, client: CloudDirector) -> None:
    site.vm.asks = Question("msg.disk.lost: The disk was moved away. Go on?", ("Yes, moved", "No"), "No")
    with pytest.raises(WrongState, match="disk was moved away"):
        client.power_on(site.vdc.id, site.vm.id, attempt())
    assert site.vm.answers == []


def test_no_right_is_told_as_such(site: Site) -> None:
    client = site.client(site.endpoint.api_token("viewer", rights=frozenset()))
    with pytest.raises(NoRight, match="Power Operations"):
        client.power_on(site.vdc.id, site.vm.id, attempt())


# Reload


def test_reload_takes_over_what_changed_behind_its_back(site: Site, client: CloudDirector) -> None:
    site.machines.power_on(site.vm.machine)
    assert client.vm(site.vdc.id, site.vm.id).power is Power.OFF
    client.reload_from_vcenter(site.vdc.id, site.vm.id, attempt())
    assert client.vm(site.vdc.id, site.vm.id).power is Power.ON
    assert client.undeploy(site.vdc.id, site.vm.id, attempt()) is True
    assert site.vm.machine.power == "poweredOff"


def test_nics_that_a_revert_changed_are_declared_again(site: Site, client: CloudDirector) -> None:
    before = client.vm(site.vdc.id, site.vm.id).nics
    site.machines.plug(site.vm.machine, 0, None)
    client.reload_from_vcenter(site.vdc.id, site.vm.id, attempt())
    assert client.vm(site.vdc.id, site.vm.id).nics[0].network is None
    assert client.set_nics(site.vdc.id, site.vm.id, before, attempt()) is True
    assert client.vm(site.vdc.id, site.vm.id).nics == before
    assert site.vm.machine.nics[0].network == "lan"


def test_a_reload_is_adopted_and_not_repeated(site: Site, client: CloudDirector) -> None:
    site.plan("POST reloadFromVc", Kind.TASK_HANG, seconds=0.8)
    beats = Beats()
    with pytest.raises(Expired):
        client.reload_from_vcenter(site.vdc.id, site.vm.id, beats.attempt(0.4))
    client.reload_from_vcenter(site.vdc.id, site.vm.id, attempt(earlier=beats.seen[-1]))
    assert site.count("POST reloadFromVc") == 1


def test_another_operations_task_is_no_reload(site: Site, client: CloudDirector) -> None:
    beats = Beats()
    client.power_on(site.vdc.id, site.vm.id, beats.attempt())
    client.reload_from_vcenter(site.vdc.id, site.vm.id, attempt(earlier=beats.seen[-1]))
    assert site.count("POST reloadFromVc") == 1


def test_a_lost_reply_to_reload_finds_its_task(site: Site, client: CloudDirector) -> None:
    site.plan("POST reloadFromVc", Kind.DROP_AFTER)
    site.plan("POST reloadFromVc", Kind.TASK_HANG, seconds=0.5)
    client.reload_from_vcenter(site.vdc.id, site.vm.id, attempt())
    assert site.count("POST reloadFromVc") == 1


# NICs


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


def test_nics_are_declared_whole_and_keep_their_macs(site: Site, client: CloudDirector) -> None:
    (second,) = nets(site, 1)
    mac = site.vm.machine.nics[0].mac
    client.attach_networks(site.vdc.id, site.vapp.id, [second], attempt())
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
    assert client.set_nics(site.vdc.id, site.vm.id, wanted, attempt()) is True
    assert client.set_nics(site.vdc.id, site.vm.id, wanted, attempt()) is False
    assert [(n.index, n.network) for n in site.vm.machine.nics] == [(0, "net-0"), (1, "lan"), (2, None)]
    assert site.vm.machine.nics[0].mac == mac
    shown = client.vm(site.vdc.id, site.vm.id).nics
    assert shown[0].address == IPv4Address("10.0.0.7")
    assert shown[1].address is not None
    assert len({n.mac for n in shown}) == 3
    assert client.set_nics(site.vdc.id, site.vm.id, shown, attempt()) is False
    assert site.count("PUT networkConnectionSection") == 1


def test_a_vm_that_is_on_is_rewired(site: Site, client: CloudDirector) -> None:
    client.power_on(site.vdc.id, site.vm.id, attempt())
    unplugged = [Nic(index=0, network=None, connected=False)]
    assert client.set_nics(site.vdc.id, site.vm.id, unplugged, attempt()) is True
    assert site.vm.machine.nics[0].network is None


def test_eleven_nics_are_refused_before_anything_is_sent(site: Site, client: CloudDirector) -> None:
    added = nets(site, MOST_NICS)
    client.attach_networks(site.vdc.id, site.vapp.id, added, attempt())
    names = ["lan", *(n.name for n in added)]
    with pytest.raises(LimitReached, match="11 NICs"):
        client.set_nics(site.vdc.id, site.vm.id, pool_nics(names), attempt())
    assert site.count("PUT networkConnectionSection") == 0
    assert client.set_nics(site.vdc.id, site.vm.id, pool_nics(names[:10]), attempt()) is True
    assert len(site.vm.machine.nics) == 10


def test_nics_that_do_not_fit_are_refused(site: Site, client: CloudDirector) -> None:
    wrong: list[tuple[list[Nic], str]] = [
        (pool_nics(["nowhere"]), "not attached"),
        ([Nic(index=0, network="lan", mode=AllocationMode.MANUAL)], "no address"),
        ([Nic(index=1, network="lan"), Nic(index=1, network="lan")], "different indices"),
        ([Nic(index=10, network="lan")], "0 to 9"),
    ]
    for nics, said in wrong:
        with pytest.raises(BadRequest, match=said):
            client.set_nics(site.vdc.id, site.vm.id, nics, attempt())


def test_an_address_that_is_taken_fails_the_task(site: Site, client: CloudDirector) -> None:
    other = site.endpoint.add_vm(site.vapp, site.machines.add_vm("other", []))
    with pytest.raises(TaskFailed, match=r"192\.168\.10\.21 is in use"):
        client.set_nics(
            site.vdc.id,
            other.id,
            [Nic(index=0, network="lan", mode=AllocationMode.MANUAL, address=ADDRESS)],
            attempt(),
        )


# Networks of a vApp


def test_networks_are_attached_and_detached(site: Site, client: CloudDirector) -> None:
    added = nets(site, 2)
    assert client.attach_networks(site.vdc.id, site.vapp.id, added, attempt()) is True
    assert client.attach_networks(site.vdc.id, site.vapp.id, added, attempt()) is False
    assert client.vapp_networks(site.vdc.id, site.vapp.id) == ("lan", "net-0", "net-1")
    assert client.detach_networks(site.vdc.id, site.vapp.id, ["net-0", "gone"], attempt()) is True
    assert client.detach_networks(site.vdc.id, site.vapp.id, ["net-0"], attempt()) is False
    assert [n.name for n in site.vapp.networks] == ["lan", "net-1"]
    with pytest.raises(WrongState, match="erp-db-01"):
        client.detach_networks(site.vdc.id, site.vapp.id, ["lan"], attempt())


def test_two_writers_do_not_undo_each_other(site: Site, client: CloudDirector) -> None:
    added, clients = nets(site, 4), [client, site.client(), site.client(), client]
    site.endpoint.tasks.seconds = 0.2
    with ThreadPoolExecutor(4) as pool:
        done = [
            pool.submit(c.attach_networks, site.vdc.id, site.vapp.id, [net], attempt())
            for c, net in zip(clients, added, strict=True)
        ]
        results = [d.exception() for d in done]
    # Writers of one process wait for each other; another process's loss is seen when it is verified.
    assert all(r is None or isinstance(r, TaskFailed) for r in results)
    for c, net in zip(clients, added, strict=True):
        c.attach_networks(site.vdc.id, site.vapp.id, [net], attempt())
    assert {n.name for n in site.vapp.networks} == {"lan", "net-0", "net-1", "net-2", "net-3"}


def test_eight_threads_share_one_client(site: Site, client: CloudDirector) -> None:
    vapps = [site.endpoint.add_vapp(site.vdc, f"vapp-{i}") for i in range(8)]
    vms = [site.endpoint.add_vm(v, site.machines.add_vm(f"vm-{i}", [])) for i, v in enumerate(vapps)]
    together = threading.Barrier(8)

    def work(number: int) -> bool:
        together.wait()
        found = client.vm_named(site.vdc.id, f"vm-{number}")
        client.set_metadata(site.vdc.id, "vm", found.id, "who", str(number), attempt())
        client.attach_networks(site.vdc.id, site.vapp.id, [added[number]], attempt())
        return client.power_on(site.vdc.id, found.id, attempt())

    added = nets(site, 8)
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    assert all(vm.machine.reverts == ["on"] for vm in vms)
    assert {n.name for n in site.vapp.networks} == {"lan", *(n.name for n in added)}
    assert [vm.metadata["SYSTEM", "who"].value for vm in vms] == [str(i) for i in range(8)]
    assert site.count("POST token") == 1


# Metadata


def test_metadata_is_written_where_no_tenant_can(site: Site, client: CloudDirector) -> None:
    value = '{"state": "Processing", "note": "<&>\'\\" ünï"}'
    vm = site.vm
    for kind, entity in (("vm", vm), ("vapp", site.vapp)):
        assert client.set_metadata(site.vdc.id, kind, entity.id, "pf.state", value, attempt())  # type: ignore[arg-type]
        assert entity.metadata["SYSTEM", "pf.state"] == MetadataValue(value, "PRIVATE")
        assert client.metadata(site.vdc.id, kind, entity.id, "pf.state") == value  # type: ignore[arg-type]
    again = attempt()
    assert client.set_metadata(site.vdc.id, "vm", vm.id, "pf.state", value, again) is False
    assert client.delete_metadata(site.vdc.id, "vm", vm.id, "pf.state", attempt()) is True
    assert client.delete_metadata(site.vdc.id, "vm", vm.id, "pf.state", attempt()) is False
    assert client.metadata(site.vdc.id, "vm", vm.id, "pf.state") is None


def test_a_marker_that_the_tenant_forged_is_not_believed(site: Site, client: CloudDirector) -> None:
    site.vm.metadata["GENERAL", "pf.state"] = MetadataValue("forged", "READWRITE")
    assert client.metadata(site.vdc.id, "vm", site.vm.id, "pf.state") is None
    client.set_metadata(site.vdc.id, "vm", site.vm.id, "pf.state", "true", attempt())
    assert client.metadata(site.vdc.id, "vm", site.vm.id, "pf.state") == "true"
    client.delete_metadata(site.vdc.id, "vm", site.vm.id, "pf.state", attempt())
    assert site.vm.metadata["GENERAL", "pf.state"].value == "forged"


def test_a_tenants_token_cannot_write_system_metadata(site: Site) -> None:
    tenant = site.client(site.endpoint.api_token("joe", "acme"), org="acme")
    assert tenant.vm(site.vdc.id, site.vm.id).moref is None
    with pytest.raises(NoRight, match="SYSTEM"):
        tenant.set_metadata(site.vdc.id, "vm", site.vm.id, "pf.state", "x", attempt())
    with pytest.raises(NotFound):
        tenant.vm(site.foreign_vdc.id, site.foreign_vm.id)


@pytest.mark.parametrize("kind", [Kind.DROP_AFTER, Kind.BUSY, Kind.EXPIRE_SESSION])
def test_metadata_survives_faults(site: Site, client: CloudDirector, kind: Kind) -> None:
    client.check()
    site.plan("POST metadata", kind)
    assert client.set_metadata(site.vdc.id, "vm", site.vm.id, "k", "v", attempt()) is True
    assert site.vm.metadata["SYSTEM", "k"].value == "v"


class Forgetful(dict[tuple[str, str], MetadataValue]):
    """Takes every update and keeps none."""

    def update(self, *args: object, **kwargs: object) -> None:
        """Nothing."""


def test_a_task_that_ends_well_without_effect_is_a_failure(site: Site, client: CloudDirector) -> None:
    site.vm.metadata = Forgetful()
    with pytest.raises(TaskFailed, match="nothing of it is seen"):
        client.set_metadata(site.vdc.id, "vm", site.vm.id, "k", "v", attempt())


@pytest.mark.parametrize(("key", "value"), [("a/b", "v"), ("", "v"), ("k" * 257, "v"), ("k", "nul\0")])
def test_metadata_that_cannot_be_carried_is_refused(
    site: Site, client: CloudDirector, key: str, value: str
) -> None:
    with pytest.raises(BadRequest):
        client.set_metadata(site.vdc.id, "vm", site.vm.id, key, value, attempt())


# Maintenance mode


def test_maintenance_ends_with_its_last_owner(site: Site, client: CloudDirector) -> None:
    ids = (site.vdc.id, site.vapp.id)
    assert client.hold_maintenance(*ids, "one", attempt()) is True
    assert client.hold_maintenance(*ids, "one", attempt()) is False
    assert client.hold_maintenance(*ids, "two", attempt()) is True
    assert client.vm(site.vdc.id, site.vm.id).in_maintenance
    assert client.release_maintenance(*ids, "one", attempt()) is True
    assert site.in_maintenance()
    assert site.count("POST exitMaintenanceMode") == 0
    assert client.release_maintenance(*ids, "one", attempt()) is False
    assert client.release_maintenance(*ids, "two", attempt()) is True
    assert not site.in_maintenance()
    assert ("SYSTEM", MAINTENANCE) not in site.vapp.metadata


def test_maintenance_that_somebody_else_set_stays(site: Site, client: CloudDirector) -> None:
    site.vapp.maintenance = True
    ids = (site.vdc.id, site.vapp.id)
    client.hold_maintenance(*ids, "one", attempt())
    client.hold_maintenance(*ids, "two", attempt())
    client.release_maintenance(*ids, "two", attempt())
    client.release_maintenance(*ids, "one", attempt())
    assert site.in_maintenance()


def test_the_provider_works_in_maintenance_mode_and_the_tenant_does_not(
    site: Site, client: CloudDirector
) -> None:
    client.hold_maintenance(site.vdc.id, site.vapp.id, "one", attempt())
    tenant = site.client(site.endpoint.api_token("joe", "acme"), org="acme")
    with pytest.raises(NoRight, match="maintenance"):
        tenant.power_on(site.vdc.id, site.vm.id, attempt())
    assert client.set_nics(site.vdc.id, site.vm.id, [Nic(index=0, network=None, connected=False)], attempt())
    assert client.power_on(site.vdc.id, site.vm.id, attempt()) is True


@pytest.mark.parametrize("action", ["enter", "exit"])
def test_a_lost_reply_in_maintenance_is_mended(site: Site, client: CloudDirector, action: str) -> None:
    ids = (site.vdc.id, site.vapp.id)
    site.plan(f"POST {action}MaintenanceMode", Kind.DROP_AFTER)
    client.hold_maintenance(*ids, "one", attempt())
    assert site.in_maintenance()
    client.release_maintenance(*ids, "one", attempt())
    assert not site.in_maintenance()
    assert site.count(f"POST {action}MaintenanceMode") == 1


def test_a_hold_that_died_in_between_is_taken_up(site: Site, client: CloudDirector) -> None:
    ids = (site.vdc.id, site.vapp.id)
    site.plan("POST enterMaintenanceMode", Kind.DROP_BEFORE)
    with pytest.raises(OutcomeUnknown):
        client.hold_maintenance(*ids, "one", attempt())
    assert not site.in_maintenance()
    assert client.hold_maintenance(*ids, "one", attempt()) is True
    assert site.in_maintenance()
    client.release_maintenance(*ids, "one", attempt())
    assert not site.in_maintenance()


# Trouble on the way


def test_html_of_a_proxy_is_unavailable(site: Site, client: CloudDirector) -> None:
    client.check()
    site.plan("GET vm", Kind.REFUSE)
    assert client.vm(site.vdc.id, site.vm.id).name == "erp-db-01"
    site.plan("GET vm", Kind.REFUSE, times=2)
    with pytest.raises(Unavailable, match="503"):
        client.vm(site.vdc.id, site.vm.id)
    site.plan("GET orgVdcNetworks", Kind.REFUSE, times=2)
    with pytest.raises(Unavailable, match="503"):
        client.networks(site.vdc.id)
    site.plan("POST powerOn", Kind.REFUSE)
    with pytest.raises(Unavailable, match="503"):
        client.power_on(site.vdc.id, site.vm.id, attempt())
    assert site.vm.machine.reverts == []


def test_the_list_of_queries_is_read_again_after_it_failed(site: Site, client: CloudDirector) -> None:
    site.plan("GET query", Kind.REFUSE, times=2)
    with pytest.raises(Unavailable):
        client.vms(site.vdc.id)
    assert len(client.vms(site.vdc.id)) == 1


def test_a_dropped_read_is_read_again(site: Site, client: CloudDirector) -> None:
    for call in ("GET vm", "GET query", "GET metadata"):
        site.plan(call, Kind.DROP_BEFORE)
    assert client.vm_named(site.vdc.id, "erp-db-01").id == site.vm.id
    assert client.metadata(site.vdc.id, "vm", site.vm.id, "k") is None


def test_a_black_hole_is_left_in_time(authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hole:
        url = f"https://127.0.0.1:{hole.getsockname()[1]}"
        client = CloudDirector(url, "token", authority.ca_file, timeout=(0.5, 0.5))
        began = time.monotonic()
        with pytest.raises(Unavailable):
            client.check()
        client.close()
        assert time.monotonic() - began < 3
    with pytest.raises(Unavailable):
        CloudDirector(url, "token", authority.ca_file, timeout=(0.5, 0.5)).check()


def test_a_task_on_another_host_is_not_followed(site: Site, client: CloudDirector) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.3)
        href = f"https://127.0.0.1:{other.getsockname()[1]}/api/task/00000000-0000-4000-8000-000000000000"
        with pytest.raises(Unavailable):
            client.power_on(site.vdc.id, site.vm.id, attempt(3, earlier=href))
        with pytest.raises(TimeoutError):
            other.accept()


def test_a_netrc_does_not_replace_the_login(
    site: Site, client: CloudDirector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login x password y\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert client.vm(site.vdc.id, site.vm.id).id == site.vm.id


def test_no_log_file_appears(site: Site, tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from connectors.cloud_director import CloudDirector\n"
        "c = CloudDirector(sys.argv[1], sys.argv[2], Path(sys.argv[3]))\n"
        "print(c.check(), len(c.vms(sys.argv[4])))\n"
        "c.close()\n"
    )
    token = site.endpoint.api_token("operator")
    done = subprocess.run(
        [sys.executable, "-c", program, site.endpoint.url, token, str(site.ca_file), site.vdc.id],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_close_logs_out(site: Site) -> None:
    client = site.client()
    client.check()
    assert len(site.endpoint.api.sessions) == 1
    client.close()
    client.close()
    assert not site.endpoint.api.sessions
