"""One odd thing in Cloud Director does not spoil the rest."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from ipaddress import IPv6Address

import pytest
from pydantic import ValidationError

from activities.provider.isolation import isolated
from lab.cloud_director import NicSpec
from lab.cloud_director.model import Vm
from lab.injected_faults import FaultKind, FaultRule
from lab.site import APPLIANCE
from partial_failover.connectors.cloud_director import xml
from partial_failover.connectors.cloud_director.networks import _kept
from partial_failover.connectors.cloud_director.reader import pattern
from partial_failover.contracts.failover_test import FailoverTestRequest
from partial_failover.contracts.network import AllocationMode, Nic
from partial_failover.contracts.remembered import NicMemory
from partial_failover.contracts.report import ReplicaList
from partial_failover.contracts.request import PartialFailoverRequest
from partial_failover.contracts.step import StepName
from partial_failover.temporal.converter import bad_input
from tests.activities.conftest import world
from tests.activities.world import World
from tests.connectors.cloud_director.site import Beats

__all__ = ["world"]
SIX = IPv6Address("fd00::5")


@pytest.fixture
def neighbour(world: World) -> Iterator[Vm]:
    """A VM in the appliance's vApp, no replica, with an IPv6 address."""
    cloud, provider = world.centre.cloud, world.centre.provider
    vapp = cloud.vm(f"acme-{APPLIANCE}").vapp
    spec = NicSpec(vapp.networks[0].name, AllocationMode.MANUAL, SIX)
    vm = cloud.add_vm(vapp, provider.add_vm("six", [vapp.networks[0].port_group]), [spec])
    yield vm
    vapp.vms.remove(vm)
    del provider.vms[vm.machine.moref]


async def test_b1_an_ipv6_neighbour_spoils_nothing(world: World, neighbour: Vm) -> None:
    listed = await world.call(StepName.INSPECT_REPLICAS, {})
    assert len(listed.replicas) == 3 and not any(r.problems for r in listed.replicas)
    own = await world.values("acme", "erp-db-01")
    await world.call(StepName.CONNECT_NETWORKS, own)
    vapp = neighbour.vapp
    assert len(vapp.networks) > 1
    await world.call(StepName.DISCONNECT_NETWORKS, own)
    assert len(vapp.networks) == 1 and neighbour.nics[0].address == SIX


async def test_b1_a_nic_that_cannot_be_read_is_named_with_its_replica_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = world.centre.cloud.vm("erp-db-01_replica")
    odd = replace(replica.nics[0], mode="FLOATING")  # type: ignore[arg-type]
    monkeypatch.setattr(replica, "nics", [odd])
    listed = await world.call(StepName.INSPECT_REPLICAS, {})
    assert isinstance(listed, ReplicaList)
    problems = {r.replica: [p.what for p in r.problems] for r in listed.replicas if r.problems}
    assert problems == {"erp-db-01_replica": [f"NIC 0 on {odd.network} of erp-db-01_replica cannot be read"]}
    planned = await world.call(StepName.PLAN_FAILOVER, await world.values("acme", "mail-01"))
    assert planned.plan is not None


@pytest.mark.parametrize("text", ["fd00::5", "", "Any"])
def test_b1_what_is_no_ipv4_address_is_none(text: str) -> None:
    connection = xml.new("NetworkConnection", network="lan")
    xml.add(connection, "NetworkConnectionIndex", "0")
    xml.add(connection, "IpAddress", text)
    assert xml.nic_of(connection, "0").address is None


async def test_b4_what_was_read_is_not_lost_when_the_time_is_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.provider.inspect_replicas.TO_END", 58.0)  # of the attempt's minute
    slow = FaultRule("cloud-director", "GET metadata", FaultKind.DELAY, times=1, seconds=3)
    world.centre.faults.add(slow)
    listed = await world.call(StepName.INSPECT_REPLICAS, {})
    known = [r for r in listed.replicas if r.restore_points]
    late = [r for r in listed.replicas if not r.restore_points]
    assert len(known) == 1 and len(late) == 2
    assert all("was not looked at" in r.problems[0].what and r.addresses for r in late)


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("日本" * 33 + "語", "*"),
        ("erp 日本 db", "erp*db"),
        ("a,(b);", "a*b*"),
        ("", "*"),
        ("erp-db_01", "erp-db_01"),
    ],
)
def test_b3_a_run_of_odd_characters_is_one_wildcard(name: str, query: str) -> None:
    assert pattern(name) == query


async def test_b3_a_vm_with_a_japanese_name_is_found(world: World, neighbour: Vm) -> None:
    neighbour.name = "日本" * 33 + "語"
    assert world.vdc("acme").vm_named(neighbour.name).id == neighbour.id


@pytest.mark.parametrize("value", [4, 4.0, True, "4", "4.5", "h", None])
def test_b5_a_time_without_a_unit_is_refused(value: object) -> None:
    for model, data in (
        (PartialFailoverRequest, {"vm": "erp", "undo_after": value}),
        (FailoverTestRequest, {"vms": ["erp"], "deadline": value}),
        (FailoverTestRequest, {"vms": ["erp"], "checks": [{"check": "tcp", "port": 1, "timeout": value}]}),
    ):
        if value is None and model is PartialFailoverRequest:
            continue  # that is no time at all
        with pytest.raises(ValidationError) as refused:
            model.model_validate(data)
        assert '"4h"' in str(bad_input(refused.value, model))
    assert PartialFailoverRequest.model_validate({"vm": "erp", "undo_after": "4h"}).undo_after == timedelta(
        hours=4
    )


class Dual:
    """A replica with a second address and an adapter that is not the usual one."""

    def __init__(self, vm: Vm) -> None:
        self.vm = vm
        vm.nics = [
            replace(n, secondary=SIX, secondary_mode=AllocationMode.MANUAL, adapter="E1000") for n in vm.nics
        ]
        self.before = vm.nics

    def plug_out_in_vcenter(self, world: World) -> None:
        """As a revert to a snapshot of other hardware does it."""
        world.centre.provider.set_nics(self.vm.machine, [])


@pytest.fixture
def dual(world: World) -> Iterator[Dual]:
    vm = world.centre.cloud.vm("erp-db-01_replica")
    nics = vm.nics
    yield Dual(vm)
    vm.nics = nics


def test_b2_a_second_address_outlives_a_test_and_other_hardware(world: World, dual: Dual) -> None:
    vdc, vm = world.vdc("acme"), dual.vm
    nics = vdc.vm(vm.id).nics
    kept = NicMemory.model_validate_json(NicMemory.of(nics).model_dump_json()).restored()
    assert kept == nics
    vdc.set_nics(vm.id, isolated(nics, None), Beats().attempt())
    assert vm.nics[0].secondary is None and vm.nics[0].adapter == "E1000"
    vdc.set_nics(vm.id, kept, Beats().attempt())
    assert vm.nics == dual.before
    dual.plug_out_in_vcenter(world)
    vdc.reload_from_vcenter(vm.id, Beats().attempt())
    assert vm.nics == []
    vdc.set_nics(vm.id, kept, Beats().attempt())
    assert vm.nics == dual.before
    assert vdc.set_nics(vm.id, kept, Beats().attempt()) is False


def test_b2_an_ipv6_address_is_put_back(world: World, dual: Dual) -> None:
    vdc, vm = world.vdc("acme"), dual.vm
    vm.nics = [replace(nic, address=IPv6Address("fd00::6"), secondary=None) for nic in vm.nics]
    vm.nics = [replace(nic, secondary_mode=AllocationMode.NONE) for nic in vm.nics]
    before, nics = vm.nics, vdc.vm(vm.id).nics
    vdc.set_nics(vm.id, isolated(nics, None), Beats().attempt())
    vdc.set_nics(vm.id, nics, Beats().attempt())
    assert vm.nics == before


def test_b2_what_there_is_not_is_not_written_down(world: World) -> None:
    nics = world.vdc("acme").vm(world.centre.cloud.vm("mail-01_replica").id).nics
    assert "others" not in NicMemory.of(nics).model_dump_json() + nics[0].model_dump_json()
    assert Nic.model_validate_json(nics[0].model_dump_json()) == nics[0]


def test_b2_what_nobody_knows_of_a_section_is_kept() -> None:
    present = xml.section("NetworkConfigSection", "x")
    for name in ("Link", "NetworkConfig", "VCloudExtension"):
        xml.add(present, name, networkName="lan")
    new = _kept(present, without=["lan"])
    assert [xml.local_name(part) for part in new] == ["Info", "VCloudExtension"]
