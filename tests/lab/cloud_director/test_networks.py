"""Networks beyond the plain ones: of VDC groups, of a vApp alone, and those of stand-alone VMs."""

from ipaddress import IPv4Address, IPv4Interface

from lab.cloud_director import NicSpec
from partial_failover.contracts.network import AllocationMode
from tests.lab.cloud_director.bodies import connection, nic_section
from tests.lab.cloud_director.site import HEAD, JSON, Site, idle

NAT = IPv4Interface("192.168.77.1/24")


def listed(site: Site, owner: str, rest: str = ";_context==includeAccessible") -> dict[str, str]:
    """Names of the networks, with the ids of their owners."""
    answer = site.tenant.get(
        "/cloudapi/1.0.0/orgVdcNetworks",
        params={"filter": f"(ownerRef.id==urn:vcloud:{owner}{rest})"},
        headers={"Accept": JSON},
    )
    return {value["name"]: value["ownerRef"]["id"] for value in answer.json()["values"]}


def test_a_vdc_groups_network_is_there_for_each_of_its_vdcs(site: Site) -> None:
    world = site.endpoint.world
    second = site.endpoint.add_vdc(site.vdc.org, "acme-second")
    shared = site.endpoint.add_network(second, "shared", IPv4Interface("10.7.0.1/24"))
    group = world.share(shared, "acme-group", [site.vdc])
    own = f"urn:vcloud:vdc:{site.vdc.id}"
    theirs = f"urn:vcloud:vdcGroup:{group.id}"
    assert listed(site, f"vdc:{site.vdc.id}") == {"lan": own, "shared": theirs}
    assert listed(site, f"vdc:{second.id}") == {"shared": theirs}
    assert listed(site, f"vdc:{site.vdc.id}", rest="") == {"lan": own}
    assert listed(site, f"vdcGroup:{group.id}", rest="") == {"shared": theirs}


def test_an_address_of_a_vdc_group_is_given_once_in_all_its_vdcs(site: Site) -> None:
    second = site.endpoint.add_vdc(site.vdc.org, "acme-second")
    site.endpoint.world.share(site.endpoint.world.network_of(site.vdc, "lan"), "acme-group", [second])
    machine = site.machines.add_vm("elsewhere", [])
    other = site.endpoint.add_vm(site.endpoint.add_vapp(second, "there"), machine, [NicSpec("lan")])
    taken = connection(mode="MANUAL").replace(
        "<IsConnected>", f"<IpAddress>{site.vm.nics[0].address}</IpAddress><IsConnected>"
    )
    path = f"/api/vApp/{other.ref}/networkConnectionSection/"
    assert idle(site, site.provider.put(path, content=nic_section(taken))) == "error"


def test_a_routed_network_of_the_vapp_is_written_back_and_not_made_up(site: Site) -> None:
    lan = site.endpoint.world.network_of(site.vdc, "lan")
    behind = site.endpoint.world.add_vapp_network(site.vapp, "behind", NAT, lan)
    path = f"{site.vapp_path}/networkConfigSection/"
    shown = site.provider.get(path).text
    assert f'<ParentNetwork href="{site.endpoint.url}/api/admin/network/{lan.id}" name="lan"/>' in shown
    assert shown.count("<FenceMode>natRouted</FenceMode>") == 1
    assert idle(site, site.provider.put(path, content=shown)) == "success"
    assert site.vapp.networks == [lan, behind]
    wrong = shown.replace('networkName="behind"', 'networkName="other"')
    assert site.provider.put(path, content=wrong).status_code == 400
    bridged = shown.replace("natRouted", "bridged")
    assert site.provider.put(path, content=bridged).status_code == 400
    twice = shown.replace('networkName="behind"', 'networkName="lan"')
    assert site.provider.put(path, content=twice).status_code == 400


def test_a_stand_alone_vm_names_networks_and_its_vapp_gets_them(site: Site) -> None:
    site.endpoint.add_network(site.vdc, "second", IPv4Interface("10.0.0.1/24"))
    machine = site.machines.add_vm("alone", ["lan"])
    spec = NicSpec("lan", AllocationMode.MANUAL, IPv4Address("192.168.10.30"))
    vm = site.endpoint.add_standalone_vm(site.vdc, machine, [spec])
    path = f"/api/vApp/{vm.ref}/networkConnectionSection/"
    second = nic_section(connection(network="second"))
    assert idle(site, site.provider.put(path, content=second)) == "success"
    assert [n.name for n in vm.vapp.networks] == ["second"]
    assert site.provider.put(path, content=nic_section(connection(network="no"))).status_code == 400
    own = f"/api/vApp/{vm.vapp.ref}/networkConfigSection/"
    empty = f"<NetworkConfigSection {HEAD}><ovf:Info>x</ovf:Info></NetworkConfigSection>"
    assert site.provider.put(own, content=empty).status_code == 400
