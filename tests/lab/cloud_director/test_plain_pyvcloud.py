"""pyvcloud as it comes, without the product's wrapper: what a script of a provider does all day."""

from collections.abc import Iterator
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import pytest
from pyvcloud.vcd.client import Client, QueryResultFormat, TaskStatus
from pyvcloud.vcd.org import Org
from pyvcloud.vcd.vdc import VDC
from pyvcloud.vcd.vm import VM

from lab.cloud_director import NicSpec
from lab.cloud_director.model import ALL_RIGHTS, SYSTEM, Principal
from lab.tls import Authority
from tests.lab.cloud_director.site import Site


@pytest.fixture
def plain(site: Site, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Any: pyvcloud has no types. It writes log files into the working directory."""
    monkeypatch.chdir(tmp_path)
    made = Client(site.endpoint.url, api_version="37.0", verify_ssl_certs=str(authority.ca_file))
    token = site.endpoint.log_in(Principal("script", SYSTEM, ALL_RIGHTS))
    made.rehydrate_from_token(token, is_jwt_token=True)
    yield made
    made._session.close()


def names_of(vapp: Any) -> list[str]:
    return [vm.get("name") for vm in vapp.Children.Vm]


def test_it_logs_in_and_lists_the_vms_of_a_vapp(site: Site, plain: Any) -> None:
    assert plain.is_sysadmin()
    vapp = plain.get_resource(f"{plain.get_api_uri()}/vApp/{site.vapp.ref}")
    assert names_of(vapp) == ["erp"]


def test_it_powers_on_and_off_and_waits_by_its_own_monitor(site: Site, plain: Any) -> None:
    href = f"{plain.get_api_uri()}/vApp/{site.vm.ref}"
    monitor = plain.get_task_monitor()
    task = monitor.wait_for_status(VM(plain, href=href).power_on(), poll_frequency=0.05)
    assert task.get("status").lower() == TaskStatus.SUCCESS.value
    assert (task.User.get("name"), task.Organization.get("name")) == ("script", SYSTEM)
    assert VM(plain, href=href).is_powered_on()
    monitor.wait_for_success(VM(plain, href=href).power_off(), poll_frequency=0.05)
    assert VM(plain, href=href).is_powered_off()
    assert site.vm.machine.reverts == ["on", "off"]


def test_it_reads_hardware_guest_and_system_of_a_vm(site: Site, plain: Any) -> None:
    vm = VM(plain, href=f"{plain.get_api_uri()}/vApp/{site.vm.ref}")
    cpu, memory = vm.list_virtual_hardware_section()
    assert cpu == {"cpuVirtualQuantity": 2, "cpuCoresPerSocket": 1}
    assert memory == {"memoryVirtualQuantityInMb": 4096}
    guest = vm.get_guest_customization_section()
    assert (guest.Enabled, guest.ComputerName) == (False, "erp")
    assert vm.list_os_section()["Description"] == "Other 3.x Linux (64-bit)"
    [card] = vm.list_virtual_hardware_section(is_cpu=False, is_memory=False, is_networkCards=True)
    assert (card["nCardConnection"], card["nCardIpAddress"]) == ("lan", "192.168.10.21")


def test_the_parts_of_a_vm_come_in_the_order_of_the_xsd(site: Site, plain: Any) -> None:
    vm = plain.get_resource(f"{plain.get_api_uri()}/vApp/{site.vm.ref}")
    parts = [part.tag.rpartition("}")[2] for part in vm.iterchildren()]
    assert [name for name in dict.fromkeys(parts) if name != "Link"] == [
        "VCloudExtension",
        "VirtualHardwareSection",
        "OperatingSystemSection",
        "NetworkConnectionSection",
        "GuestCustomizationSection",
    ]


def test_it_finds_a_stand_alone_vm_and_the_vapp_that_holds_it(site: Site, plain: Any) -> None:
    from pyvcloud.vcd.vapp import VApp  # noqa: PLC0415 it opens a log file where it is imported

    alone = site.endpoint.add_standalone_vm(site.vdc, site.machines.add_vm("alone", []), [NicSpec("lan")])
    query = plain.get_typed_query(
        "adminVM", query_result_format=QueryResultFormat.RECORDS, equality_filter=("isAutoNature", "true")
    )
    [record] = query.execute()
    assert record.get("name") == "alone"
    vapp = VApp(plain, href=record.get("container"))
    assert vapp.get_resource().autoNature
    assert vapp.get_vapp_network_list() == [{"name": "lan"}]
    assert [vm.get("name") for vm in vapp.get_all_vms()] == ["alone"]
    assert not VApp(plain, href=f"{plain.get_api_uri()}/vApp/{site.vapp.ref}").get_resource().autoNature
    assert alone.vapp.name == record.get("containerName")


def test_its_list_of_networks_misses_those_of_vdc_groups_and_imported_ones(site: Site, plain: Any) -> None:
    endpoint = site.endpoint
    endpoint.add_network(site.vdc, "imported", IPv4Interface("10.1.0.1/24"), "OPAQUE")
    shared = endpoint.add_network(site.vdc, "shared", IPv4Interface("10.2.0.1/24"))
    endpoint.world.share(shared, "acme-group", [])
    vdc = VDC(plain, href=f"{plain.get_api_uri()}/vdc/{site.vdc.id}")
    assert [(n["name"], n["linkType"]) for n in vdc.list_orgvdc_network_records()] == [("lan", "DLR_UPLINK")]


def test_it_walks_from_its_session_down_to_a_vapp(site: Site, plain: Any) -> None:
    assert plain.get_org().get("name") == SYSTEM
    org = Org(plain, resource=plain.get_org_by_name("acme"))
    [found] = org.list_vdcs()
    assert found["name"] == site.vdc.name
    vdc = VDC(plain, resource=org.get_vdc(site.vdc.name))
    assert [(r["name"], r["type"].rpartition(".")[2]) for r in vdc.list_resources()] == [
        ("replicas", "vApp+xml")
    ]
    assert [n.get("name") for n in vdc.resource.AvailableNetworks.Network] == ["lan"]
    assert names_of(vdc.get_vapp("replicas")) == ["erp"]
