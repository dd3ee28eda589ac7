"""Login and reading: Cloud Director over TLS."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Interface

import pytest

from partial_failover.connectors.cloud_director import CloudDirector, OrganizationVdc
from partial_failover.contracts.errors import (
    BadRequest,
    Misconfigured,
    NoRight,
    NotFound,
)
from partial_failover.contracts.network import AllocationMode, Nic
from partial_failover.contracts.replica import Power
from tests.connectors.cloud_director.site import ADDRESS, LAN, NOTE, Note, Site, attempt, own_vdc


def test_check_names_version_and_user(site: Site, client: CloudDirector) -> None:
    assert "API 39.1" in client.check()
    assert "operator of System" in client.check()
    site.endpoint.api.served["39.1"] = True
    assert "deprecated" in client.check()


@pytest.mark.parametrize(
    ("served", "taken"),
    [(("36.3", "37.0"), "37.0"), (("37.3", "38.1", "40.0"), "38.1"), (("37.0", "39.0"), "39.0")],
)
def test_the_highest_version_that_both_know_is_taken(site: Site, served: tuple[str, ...], taken: str) -> None:
    site.endpoint.api.served = dict.fromkeys(served, False)
    client = site.client()
    assert own_vdc(client).vm(site.vm.id).power is Power.OFF
    assert f"serves API {taken};" in client.check()


def test_without_a_common_version_those_that_are_served_are_named(site: Site) -> None:
    site.endpoint.api.served = {"36.3": True, "40.0": False}
    with pytest.raises(Misconfigured, match=r"37\.0 to 39\.1; it serves 36\.3, 40\.0"):
        site.client().check()


def test_a_version_that_is_not_served_is_named_with_those_that_are(site: Site) -> None:
    with pytest.raises(Misconfigured, match=r"35\.2.*37\.0"):
        site.client(api_version="35.2").check()
    with pytest.raises(Misconfigured, match=r"35\.2"):
        own_vdc(site.client(api_version="35.2")).vms()


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


def test_it_reads_vdc_vms_networks_and_vcenter(
    site: Site, client: CloudDirector, vdc: OrganizationVdc
) -> None:
    site.endpoint.vcenter_url = "https://vcenter.example"
    assert vdc.id == site.vdc.id
    for name in ("ACME-DR", "other-dr"):
        elsewhere = client.organization_vdc("acme", name)
        acts: list[Callable[[], object]] = [
            lambda vdc=elsewhere: vdc.id,  # type: ignore[misc]
            lambda vdc=elsewhere: vdc.vms(),  # type: ignore[misc]
            lambda vdc=elsewhere: vdc.vm(site.vm.id),  # type: ignore[misc]
        ]
        for act in acts:
            with pytest.raises(NotFound, match=f"no organization VDC {name}"):
                act()
    (vm,) = vdc.vms()
    assert vm == vdc.vm(site.vm.id) == vdc.vm_named("erp-db-01")
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
    (network,) = vdc.networks()
    assert (network.name, network.subnet, network.gateway) == ("lan", LAN.network, LAN.ip)


def test_templates_are_no_vms(site: Site, vdc: OrganizationVdc) -> None:
    template = site.endpoint.add_vapp(site.vdc, "golden", template=True)
    site.endpoint.add_vm(template, site.machines.add_vm("erp-db-01", []))
    assert [v.id for v in vdc.vms()] == [site.vm.id]
    assert vdc.vm_named("erp-db-01").id == site.vm.id


def test_networks_and_vapps_beyond_one_page(site: Site, vdc: OrganizationVdc) -> None:
    for number in range(130):
        site.endpoint.add_network(site.vdc, f"net-{number}", IPv4Interface(f"10.0.{number}.1/24"))
        site.endpoint.add_vapp(site.vdc, f"vapp-{number}")
    last = site.endpoint.add_vapp(site.vdc, "last")
    site.endpoint.add_vm(last, site.machines.add_vm("last-vm", []))
    assert len({n.id for n in vdc.networks()}) == 131
    assert {v.name for v in vdc.vms()} == {"erp-db-01", "last-vm"}


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
def test_hostile_names_find_their_own_vm_only(site: Site, vdc: OrganizationVdc, name: str) -> None:
    mine = site.endpoint.add_vm(site.vapp, site.machines.add_vm(name, []))
    assert vdc.vm_named(name).id == mine.id
    with pytest.raises(NotFound):
        vdc.vm_named(name + "x")


def test_names_are_compared_exactly(site: Site, vdc: OrganizationVdc) -> None:
    for name in ("ERP-DB-01", "erp-db-*", "erp*", "*"):
        with pytest.raises(NotFound):
            vdc.vm_named(name)
    site.endpoint.add_vm(site.vapp, site.machines.add_vm("erp-db-01", []))
    with pytest.raises(BadRequest, match=r"2 VMs.*Rename all but one of them\.$"):
        vdc.vm_named("erp-db-01")


def test_another_tenants_things_do_not_exist(site: Site, vdc: OrganizationVdc) -> None:
    theirs, note, a = site.foreign_vm, Note(text="mine"), attempt()
    never = "00000000-0000-4000-8000-000000000000"
    refused = []
    for vm_id in (theirs.id, never):
        with pytest.raises(NotFound) as error:
            vdc.vm(vm_id)
        refused.append(str(error.value).replace(vm_id, "ID"))
    assert refused[0] == refused[1]
    with pytest.raises(NotFound):
        vdc.vm_named("secret")
    acts: list[Callable[[], object]] = [
        lambda: vdc.power_on(theirs.id, a),
        lambda: vdc.undeploy(theirs.id, a),
        lambda: vdc.reload_from_vcenter(theirs.id, a),
        lambda: vdc.set_nics(theirs.id, [], a),
        lambda: vdc.remembered.read(NOTE, theirs.id),
        lambda: vdc.remembered.write(NOTE, theirs.id, note, a),
        lambda: vdc.remembered.forget(NOTE, theirs.id, a),
        lambda: vdc.remembered.write(replace(NOTE, kind="vapp"), theirs.vapp.id, note, a),
        lambda: vdc.vapp_networks(theirs.vapp.id),
        lambda: vdc.attach_networks(theirs.vapp.id, [], a),
        lambda: vdc.detach_networks(theirs.vapp.id, ["lan"], a),
        lambda: vdc.hold_maintenance(theirs.vapp.id, "o", a),
        lambda: vdc.release_maintenance(theirs.vapp.id, "o", a),
    ]
    for act in acts:
        with pytest.raises(NotFound):
            act()
    assert not site.endpoint.all_tasks()
    assert not theirs.vapp.maintenance


@pytest.mark.parametrize("wrong", ["", "vm-1", "../../admin", "A" * 36, "x' or '1'='1"])
def test_what_is_no_uuid_enters_no_path(site: Site, vdc: OrganizationVdc, wrong: str) -> None:
    with pytest.raises(BadRequest):
        vdc.vm(wrong)
    assert not site.faults.calls
