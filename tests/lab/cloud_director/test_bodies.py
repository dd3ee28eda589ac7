"""What is sent to the lab's Cloud Director is read as strictly as by the real one."""

import re
from ipaddress import IPv4Address, IPv4Interface

import pytest

from lab.cloud_director import NicSpec
from lab.cloud_director.model import MetadataValue
from partial_failover.contracts.network import AllocationMode
from tests.lab.cloud_director.bodies import connection, metadata, nic_section
from tests.lab.cloud_director.site import HEAD, JSON, XML, Site, idle


@pytest.mark.parametrize(
    "media", ["", "application/xml", "application/vnd.vmware.vcloud.vm+xml", "text/xml; charset=utf-8"]
)
def test_a_body_of_another_media_type_is_415(site: Site, media: str) -> None:
    path = f"{site.vm_path}/networkConnectionSection/"
    refused = site.provider.put(path, content=nic_section(connection()), headers={"Content-Type": media})
    assert refused.status_code == 415
    assert 'majorErrorCode="415"' in refused.text
    kind = "application/vnd.VMware.vcloud.networkConnectionSection+xml;version=37.0"
    right = site.provider.put(path, content=nic_section(connection()), headers={"Content-Type": kind})
    assert idle(site, right) == "success"


def metadata_of(kind: str, value: str) -> str:
    return (
        f'<Metadata {HEAD} xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><MetadataEntry><Key>k</Key>'
        f'<TypedValue xsi:type="{kind}"><Value>{value}</Value></TypedValue></MetadataEntry></Metadata>'
    )


@pytest.mark.parametrize(
    ("kind", "length", "status"),
    [
        ("MetadataStringValue", 4096, 202),
        ("MetadataStringValue", 100_000, 400),
        ("MetadataPoemValue", 1, 400),
        ("", 1, 400),
    ],
)
def test_metadata_has_a_known_type_and_an_end(site: Site, kind: str, length: int, status: int) -> None:
    answer = site.provider.post(f"{site.vm_path}/metadata", content=metadata_of(kind, "x" * length))
    assert answer.status_code == status


def test_a_power_on_takes_no_body(site: Site) -> None:
    answer = site.provider.post(
        f"{site.vm_path}/power/action/powerOn", content="<a/>", headers={"Content-Type": "text/xml"}
    )
    assert answer.status_code == 400 and site.power() == "poweredOff"


@pytest.mark.parametrize("version", ["36.3", "37.0", "38.1"])
def test_an_answer_has_the_version_that_was_asked_for(site: Site, version: str) -> None:
    for kind, path in ((XML, site.vm_path), (JSON, "/cloudapi/1.0.0/sessions/current")):
        answer = site.provider.get(path, headers={"Accept": kind.replace("37.0", version)})
        assert re.findall(r"version=(.*)", answer.headers["Content-Type"]) == [version]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (nic_section(connection(extra="<IpAddress>192.168.10.9</IpAddress>")), "IpAddress"),
        (nic_section(connection(network="nowhere")), "not in the vApp"),
        (nic_section(connection(), connection()), "different"),
        (nic_section(connection(index=10), primary=10), "0 to 9"),
        (nic_section(*(connection(index=i) for i in range(11))), "more than 10"),
        (nic_section(connection(), primary=3), "primary"),
        (nic_section(connection(mode="MANUAL")), "MANUAL"),
        (nic_section(connection(mode="SOMEHOW")), "SOMEHOW"),
        (nic_section(connection(network="none")), "none"),
        (nic_section(connection()).replace("<ovf:Info>x</ovf:Info>", ""), "Info"),
        ("<NetworkConnectionSection/>", "Unexpected element"),
        ("<NetworkConnectionSection", "Bad request"),
        ('<!DOCTYPE x [<!ENTITY y "z">]><x>&y;</x>', "DOCTYPE"),
    ],
)
def test_nic_sections_that_the_xsd_forbids_are_refused(site: Site, body: str, said: str) -> None:
    refused = site.provider.put(f"{site.vm_path}/networkConnectionSection/", content=body)
    assert refused.status_code == 400
    assert said in refused.text


def test_addresses_are_given_out_and_not_twice(site: Site) -> None:
    path = f"{site.vm_path}/networkConnectionSection/"
    other = site.endpoint.add_vm(
        site.vapp,
        site.machines.add_vm("other", []),
        [NicSpec("lan", AllocationMode.MANUAL, IPv4Address("192.168.10.2"))],
    )
    assert idle(site, site.provider.put(path, content=nic_section(connection()))) == "success"
    assert site.vm.nics[0].address == IPv4Address("192.168.10.3")
    taken = connection(mode="MANUAL").replace(
        "<IsConnected>", "<IpAddress>192.168.10.2</IpAddress><IsConnected>"
    )
    assert other.nics[0].address == IPv4Address("192.168.10.2")
    assert idle(site, site.provider.put(path, content=nic_section(taken))) == "error"


def test_vapp_networks_are_replaced_whole(site: Site) -> None:
    second = site.endpoint.add_network(site.vdc, "second", IPv4Interface("10.0.0.1/24"))
    path = f"{site.vapp_path}/networkConfigSection/"

    def config(name: str, network_id: str) -> str:
        return (
            f'<NetworkConfig networkName="{name}"><Configuration>'
            f'<ParentNetwork href="{site.endpoint.url}/api/admin/network/{network_id}"/>'
            f"<FenceMode>bridged</FenceMode></Configuration></NetworkConfig>"
        )

    def section(*configs: str) -> str:
        return f"<NetworkConfigSection {HEAD}><ovf:Info>x</ovf:Info>{''.join(configs)}</NetworkConfigSection>"

    lan = config("lan", site.endpoint.world.network_of(site.vdc, "lan").id)
    for wrong in (
        section(),
        section(config("second", second.id)),
        section(lan, config("second", "00000000-0000-4000-8000-000000000000")),
        section(lan, config("other-name", second.id)),
        section(lan.replace("<FenceMode>bridged</FenceMode>", "")),
    ):
        assert site.provider.put(path, content=wrong).status_code == 400
    right = section(lan, config("second", second.id))
    assert idle(site, site.provider.put(path, content=right)) == "success"
    assert [n.name for n in site.vapp.networks] == ["lan", "second"]


def test_metadata_has_domains(site: Site) -> None:
    path = f"{site.vm_path}/metadata"
    assert site.tenant.post(path, content=metadata("SYSTEM", "PRIVATE")).status_code == 403
    assert site.provider.post(path, content=metadata("GENERAL", "PRIVATE")).status_code == 400
    assert site.provider.post(path, content=metadata("SYSTEM", "READWRITE")).status_code == 400
    assert idle(site, site.provider.post(path, content=metadata("SYSTEM", "PRIVATE", "hidden"))) == "success"
    assert idle(site, site.provider.post(path, content=metadata("SYSTEM", "READONLY", "shown"))) == "success"
    assert idle(site, site.tenant.post(path, content=metadata("GENERAL", "READWRITE", "own"))) == "success"
    seen = site.tenant.get(path).text
    assert "hidden" not in seen
    assert "shown" in seen
    assert "own" in seen
    assert site.tenant.delete(f"{path}/SYSTEM/shown").status_code == 403
    assert site.provider.delete(f"{path}/hidden").status_code == 403
    assert idle(site, site.provider.delete(f"{path}/SYSTEM/hidden?force=False&recursive=False")) == "success"
    assert site.vm.metadata == {
        ("SYSTEM", "shown"): MetadataValue("v", "READONLY"),
        ("GENERAL", "own"): MetadataValue("v", "READWRITE"),
    }
