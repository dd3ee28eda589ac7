"""What the connector reads of a VM."""

import pytest

from lab.hypervisor import utc_now
from partial_failover.contracts.errors import (
    BadRequest,
    NotFound,
)
from partial_failover.contracts.replica import Power
from tests.connectors.vsphere.world import World


def test_check_logs_in_once_and_tells_the_version(world: World) -> None:
    client = world.client()
    assert world.faults.calls == []
    assert "8.0.3.0" in client.check()
    client.check()
    assert world.sent("Login") == 1
    assert abs((client.now() - utc_now()).total_seconds()) < 5


def test_vm_shows_points_disks_and_nics(world: World) -> None:
    seen = world.client().vm(world.replica.moref)
    assert seen.name == "erp/db 100%"
    assert seen.instance_uuid == world.replica.instance_uuid
    assert seen.power is Power.OFF
    assert list(seen.restore_points) == [world.point(0), world.point(1), world.point(2)]
    assert seen.restore_points[0].name == seen.restore_points[1].name
    assert seen.restore_points[2].name == "<b>&amp; $(reboot)"
    assert seen.current == world.points[2].moref
    assert [d.files for d in seen.disks] == [tuple(d.file for d in world.replica.disk.chain())]
    assert [(n.mac, n.network) for n in seen.nics] == [
        (world.replica.nics[0].mac, "acme-lan-a"),
        (world.replica.nics[1].mac, None),
    ]
    assert (seen.tools_running, seen.guest_heartbeat, seen.guest_address) == (False, "gray", None)


def test_vm_that_runs_shows_its_guest(world: World) -> None:
    world.hypervisor.power_on(world.replica)
    seen = world.client().vm(world.replica.moref)
    assert seen.power is Power.ON
    assert (seen.tools_running, seen.guest_heartbeat, seen.guest_address) == (True, "green", "192.168.10.21")


def test_vm_without_restore_points(world: World) -> None:
    vm = world.hypervisor.add_vm("fresh", [])
    seen = world.client().vm(vm.moref)
    assert (seen.restore_points, seen.current) == ((), None)


@pytest.mark.parametrize("moref", ["vm-0", "", "vm-1</ns0:_this><x>", "../vm-1", "vm-1\n", "x" * 5000])
def test_vm_that_is_not_there(world: World, moref: str) -> None:
    with pytest.raises(NotFound):
        world.client().vm(moref)


def test_vm_named_needs_exactly_one(world: World) -> None:
    client = world.client()
    world.endpoint.collectors.page = 2
    for name in ["appliance-1", "appliance-10", "twin", "twin"]:
        world.hypervisor.add_vm(name, [])
    named = world.hypervisor.find("appliance-1")
    assert named is not None
    assert client.vm_named("appliance-1").moref == named.moref
    assert client.vm_named("erp/db 100%").moref == world.replica.moref
    with pytest.raises(NotFound):
        client.vm_named("appliance")
    with pytest.raises(BadRequest):
        client.vm_named("twin")
