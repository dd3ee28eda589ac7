"""Two workers at two VMs of one vApp, however far a VM's running task reaches."""

from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Interface
from threading import Barrier

import pytest

from lab.cloud_director import NicSpec
from lab.cloud_director.model import Vm
from lab.cloud_director.tasks import Reach
from partial_failover.contracts.network import AllocationMode, Network, Nic
from tests.connectors.cloud_director.site import NOTE, Note, Site, attempt, own_vdc


def second_vm(site: Site) -> Vm:
    """Beside the first, in its vApp."""
    spec = NicSpec("lan", AllocationMode.MANUAL, IPv4Address("192.168.10.22"))
    return site.endpoint.add_vm(site.vapp, site.machines.add_vm("erp-web-01", ["lan"]), [spec])


@pytest.mark.parametrize("reach", ["vm", "vapp", "neighbours"])
def test_all_that_a_failover_does_comes_through(site: Site, reach: Reach) -> None:
    made = site.endpoint.add_network(site.vdc, "tests", IPv4Interface("10.9.0.1/24"))
    network = Network(
        id=f"urn:vcloud:network:{made.id}", name="tests", subnet=made.gateway.network, gateway=made.gateway.ip
    )
    vms, tasks, together = (site.vm, second_vm(site)), site.endpoint.tasks, Barrier(2)
    tasks.reach, tasks.seconds = reach, 0.2

    def fail_over_and_back(vm: Vm) -> None:
        vdc = own_vdc(site.client())  # of a worker of its own: no lock of one process keeps the two apart
        nics = vdc.vm(vm.id).nics
        together.wait()
        vdc.remembered.write(NOTE, vm.id, Note(text=vm.name), attempt())
        vdc.hold_maintenance(vm.vapp.id, vm.id, attempt())
        vdc.reload_from_vcenter(vm.id, attempt())
        unplugged = Nic(index=0, network=None, mac=nics[0].mac, connected=False, primary=True)
        vdc.set_nics(vm.id, [unplugged], attempt())
        vdc.attach_networks(vm.vapp.id, [network], attempt())
        vdc.set_nics(vm.id, nics, attempt())
        assert vdc.power_on(vm.id, attempt())
        assert vdc.undeploy(vm.id, attempt())
        vdc.release_maintenance(vm.vapp.id, vm.id, attempt())
        vdc.remembered.forget(NOTE, vm.id, attempt())

    before = [vm.nics for vm in vms]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(fail_over_and_back, vms)) == [None, None]
    assert [vm.machine.reverts for vm in vms] == [["on", "off"]] * 2
    assert [vm.nics for vm in vms] == before
    met = any(task.owner is not site.vapp for task in tasks.refused)
    assert met is (reach != "vm"), "whether a neighbour's task was in the way"
