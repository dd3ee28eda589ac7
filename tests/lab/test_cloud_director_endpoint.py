"""The lab's Cloud Director is as strict as the real one, asked in raw HTTP."""

import re
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

import httpx
import pytest

from contracts.network import AllocationMode
from lab.cloud_director import ALL_RIGHTS, CloudDirectorEndpoint, NicSpec
from lab.cloud_director.model import SYSTEM, MetadataValue, Principal, VApp, Vdc, Vm
from lab.faults import Faults, Kind, Rule
from lab.hypervisor import Hypervisor
from lab.tls import Authority

XML = "application/*+xml;version=37.0"
JSON = "application/json;version=37.0"
HEAD = 'xmlns="http://www.vmware.com/vcloud/v1.5" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"'


@dataclass
class Site:
    """One tenant with one VM, and the two ways to look at it."""

    endpoint: CloudDirectorEndpoint
    machines: Hypervisor
    faults: Faults
    vdc: Vdc
    vapp: VApp
    vm: Vm
    provider: httpx.Client
    tenant: httpx.Client

    @property
    def vm_path(self) -> str:
        return f"/api/vApp/{self.vm.ref}"

    @property
    def vapp_path(self) -> str:
        return f"/api/vApp/{self.vapp.ref}"

    def power(self) -> str:
        return self.vm.machine.power

    def deployed(self) -> bool:
        return self.vm.deployed


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def site(authority: Authority) -> Iterator[Site]:
    machines, faults = Hypervisor("provider"), Faults()
    endpoint = CloudDirectorEndpoint(machines, faults, authority.server_context("vcd"))
    vdc = endpoint.add_vdc(endpoint.add_org("acme"), "acme-dr")
    endpoint.add_network(vdc, "lan", IPv4Interface("192.168.10.1/24"))
    vapp = endpoint.add_vapp(vdc, "replicas")
    vm = endpoint.add_vm(
        vapp,
        machines.add_vm("erp", ["lan"]),
        [NicSpec("lan", AllocationMode.MANUAL, IPv4Address("192.168.10.21"))],
    )
    endpoint.start()
    trust = ssl.create_default_context(cafile=str(authority.ca_file))
    with (
        httpx.Client(base_url=endpoint.url, verify=trust, timeout=5) as provider,
        httpx.Client(base_url=endpoint.url, verify=trust, timeout=5) as tenant,
    ):
        for client, org in ((provider, SYSTEM), (tenant, "acme")):
            token = endpoint.log_in(Principal("somebody", org, ALL_RIGHTS))
            client.headers.update({"Authorization": f"Bearer {token}", "Accept": XML})
        yield Site(endpoint, machines, faults, vdc, vapp, vm, provider, tenant)
    endpoint.close()


def idle(site: Site, answer: httpx.Response) -> str:
    """How the task that an answer started has ended."""
    assert answer.status_code == 202, answer.text
    site.endpoint.tasks.wait_idle()
    found = re.search(r' status="(\w+)"', site.provider.get(answer.headers["Location"]).text)
    assert found
    return found[1]


def nic_section(*connections: str, primary: int = 0) -> str:
    return (
        f"<NetworkConnectionSection {HEAD}><ovf:Info>x</ovf:Info>"
        f"<PrimaryNetworkConnectionIndex>{primary}</PrimaryNetworkConnectionIndex>"
        f"{''.join(connections)}</NetworkConnectionSection>"
    )


def connection(index: int = 0, network: str = "lan", mode: str = "POOL", extra: str = "") -> str:
    return (
        f'<NetworkConnection network="{network}"><NetworkConnectionIndex>{index}</NetworkConnectionIndex>'
        f"<IsConnected>true</IsConnected><IpAddressAllocationMode>{mode}</IpAddressAllocationMode>{extra}"
        f"</NetworkConnection>"
    )


def test_versions_need_no_login_and_others_are_refused_by_name(site: Site) -> None:
    nothing = {"Authorization": "", "Accept": ""}
    shown = site.provider.get("/api/versions", headers=nothing).text
    assert '<VersionInfo deprecated="true"><Version>36.3</Version>' in shown
    refused = site.provider.get(site.vm_path, headers={"Accept": "application/*+xml;version=35.2"})
    assert refused.status_code == 406
    assert "37.0" in refused.text
    assert site.provider.get(site.vm_path, headers={"Accept": "*/*"}).status_code == 406


def test_a_session_that_is_wrong_or_over_is_401_without_a_body(site: Site) -> None:
    wrong = site.provider.get(site.vm_path, headers={"Authorization": "Bearer jwt.forged"})
    assert (wrong.status_code, wrong.content) == (401, b"")
    assert site.provider.get("/api/session").status_code == 200
    site.endpoint.expire_sessions()
    assert site.provider.get("/api/session").status_code == 401


def test_api_tokens_are_for_their_own_realm(site: Site) -> None:
    token = site.endpoint.api_token("joe", "acme")
    form = {"grant_type": "refresh_token", "refresh_token": token}
    head = {"Accept": JSON}
    assert site.tenant.post("/oauth/provider/token", data=form, headers=head).status_code == 400
    granted = site.tenant.post("/oauth/tenant/acme/token", data=form, headers=head)
    access = {"Authorization": f"Bearer {granted.json()['access_token']}"}
    assert 'org="acme"' in site.tenant.get("/api/session", headers=access).text
    ended = site.tenant.delete("/cloudapi/1.0.0/sessions/current", headers={**access, **head})
    assert ended.status_code == 204
    assert site.tenant.get("/api/session", headers=access).status_code == 401


def test_what_is_not_there_and_what_is_anothers_is_403_alike(site: Site) -> None:
    stranger = Principal("eve", "evil", ALL_RIGHTS)
    access = {"Authorization": f"Bearer {site.endpoint.log_in(stranger)}"}
    theirs = site.provider.get(site.vm_path, headers=access)
    never = site.provider.get("/api/vApp/vm-00000000-0000-4000-8000-000000000000")
    assert theirs.status_code == never.status_code == 403
    assert "ACCESS_TO_RESOURCE_IS_FORBIDDEN" in theirs.text
    assert site.provider.get("/api/nothing").status_code == 404


def test_a_request_id_is_given_and_begins_with_the_clients(site: Site) -> None:
    answer = site.provider.get(site.vm_path, headers={"X-VMWARE-VCLOUD-CLIENT-REQUEST-ID": "mine"})
    assert answer.headers["X-VMWARE-VCLOUD-REQUEST-ID"].startswith("mine-")


def test_a_tenant_sees_no_moref(site: Site) -> None:
    assert site.vm.machine.moref in site.provider.get(site.vm_path).text
    assert "VCloudExtension" not in site.tenant.get(site.vm_path).text
    vcenter = f"/api/admin/extension/vimServer/{site.endpoint.vcenter_id}"
    assert site.tenant.get(vcenter).status_code == 403
    assert site.tenant.get("/api/query?type=adminVM&format=records").status_code == 400


def test_links_and_writes_are_gone_while_busy(site: Site) -> None:
    assert "power:powerOn" in site.provider.get(site.vm_path).text
    site.faults.add(Rule("cloud-director", "POST powerOn", Kind.TASK_HANG, seconds=30))
    task = site.provider.post(f"{site.vm_path}/power/action/powerOn").headers["Location"]
    shown = site.provider.get(site.vm_path).text
    assert "power:powerOn" not in shown
    assert "<Tasks>" in shown
    for path in (f"{site.vm_path}/action/reloadFromVc", f"{site.vm_path}/power/action/powerOn"):
        refused = site.provider.post(path)
        assert refused.status_code == 400
        assert "BUSY_ENTITY" in refused.text
        assert "is busy completing an operation" in refused.text
    assert site.provider.post(f"{task}/action/cancel").status_code == 204
    site.endpoint.tasks.wait_idle()
    assert 'status="canceled"' in site.provider.get(task).text
    assert site.power() == "poweredOff"


def test_power_follows_the_state_machine(site: Site) -> None:
    assert idle(site, site.provider.post(f"{site.vm_path}/power/action/powerOn")) == "success"
    assert site.power() == "poweredOn"
    assert site.provider.post(f"{site.vm_path}/power/action/powerOn").status_code == 400
    assert idle(site, site.provider.post(f"{site.vm_path}/power/action/powerOff")) == "success"
    assert site.deployed()
    body = (
        f"<UndeployVAppParams {HEAD}><UndeployPowerAction>powerOff</UndeployPowerAction></UndeployVAppParams>"
    )
    assert idle(site, site.provider.post(f"{site.vm_path}/action/undeploy", content=body)) == "success"
    assert not site.deployed()
    assert site.provider.post(f"{site.vm_path}/action/undeploy", content=body).status_code == 400


def test_what_happens_in_vcenter_is_not_seen_until_a_reload(site: Site) -> None:
    site.machines.power_on(site.vm.machine)
    assert ' status="8"' in site.provider.get(site.vm_path).text
    assert site.tenant.post(f"{site.vm_path}/action/reloadFromVc").status_code == 403
    assert idle(site, site.provider.post(f"{site.vm_path}/action/reloadFromVc")) == "success"
    assert ' status="4"' in site.provider.get(site.vm_path).text


def test_power_on_wires_the_vm_as_cloud_director_has_it(site: Site) -> None:
    site.machines.plug(site.vm.machine, 0, None)
    assert idle(site, site.provider.post(f"{site.vm_path}/power/action/powerOn")) == "success"
    assert site.vm.machine.nics[0].network == "lan"


def test_a_snapshot_of_cloud_director_destroys_the_chain(site: Site) -> None:
    for number in range(3):
        site.machines.snapshot(site.vm.machine, f"Restore Point {number}")
    assert idle(site, site.tenant.post(f"{site.vm_path}/action/createSnapshot")) == "success"
    assert [s.name for s in site.vm.machine.snapshots] == ["user-snapshot"]


def test_in_maintenance_mode_a_tenant_changes_nothing(site: Site) -> None:
    assert site.tenant.post(f"{site.vapp_path}/action/enterMaintenanceMode").status_code == 403
    assert site.provider.post(f"{site.vapp_path}/action/enterMaintenanceMode").status_code == 204
    assert "<InMaintenanceMode>true" in site.provider.get(site.vapp_path).text
    assert "power:powerOn" not in site.tenant.get(site.vm_path).text
    for action in ("power/action/powerOn", "action/createSnapshot"):
        assert site.tenant.post(f"{site.vm_path}/{action}").status_code == 403
    assert idle(site, site.provider.post(f"{site.vm_path}/power/action/powerOn")) == "success"


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

    lan = config("lan", site.vapp.networks[0].id)
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


def metadata(domain: str, visibility: str, key: str = "k") -> str:
    return (
        f'<Metadata {HEAD} xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><MetadataEntry>'
        f'<Domain visibility="{visibility}">{domain}</Domain><Key>{key}</Key>'
        f'<TypedValue xsi:type="MetadataStringValue"><Value>v</Value></TypedValue></MetadataEntry></Metadata>'
    )


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


@pytest.mark.parametrize(
    ("expression", "status", "found"),
    [
        ("name==erp", 200, 1),
        ("name==e*", 200, 1),
        ("name==x", 200, 0),
        ("name==erp;isVAppTemplate==true", 200, 0),
        ("name==a\\,b", 200, 1),
        ("name==a,b", 400, 0),
        ("nosuch==x", 400, 0),
        ("erp", 400, 0),
    ],
)
def test_query_filters(site: Site, expression: str, status: int, found: int) -> None:
    site.endpoint.add_vm(site.vapp, site.machines.add_vm("a,b", []))
    asked = {"type": "adminVM", "format": "records", "filter": expression}
    answer = site.provider.get("/api/query", params=asked)
    assert answer.status_code == status
    assert answer.text.count("<AdminVMRecord") == found


def test_query_pages_are_linked(site: Site) -> None:
    for number in range(5):
        site.endpoint.add_vapp(site.vdc, f"vapp-{number}")
    asked = {"type": "adminVApp", "pageSize": "4", "filter": "name==*"}
    first = site.provider.get("/api/query", params=asked)
    assert first.text.count("<AdminVAppRecord") == 4
    following = re.search(r'rel="nextPage" href="([^"]+)"', first.text)
    assert following
    second = site.provider.get(following[1].replace("&amp;", "&"))
    assert second.text.count("<AdminVAppRecord") == 2
    assert "nextPage" not in second.text


def test_networks_of_tenants_may_share_a_name(site: Site) -> None:
    other = site.endpoint.add_vdc(site.endpoint.add_org("other"), "other-dr")
    network = site.endpoint.add_network(other, "lan", IPv4Interface("192.168.10.1/24"))
    assert network.port_group == "other-lan"
    assert {"lan", "other-lan"} <= site.machines.networks
    asked = {"filter": f"(ownerRef.id==urn:vcloud:vdc:{other.id};_context==includeAccessible)"}
    path, head = "/cloudapi/1.0.0/orgVdcNetworks", {"Accept": JSON}
    assert site.provider.get(path, params=asked, headers=head).json()["resultTotal"] == 1
    assert site.tenant.get(path, params=asked, headers=head).json()["resultTotal"] == 0


def test_a_silent_client_holds_up_nobody(site: Site) -> None:
    with socket.create_connection(("127.0.0.1", site.endpoint.port)):
        began = time.monotonic()
        assert site.provider.get(site.vm_path).status_code == 200
        assert time.monotonic() - began < 2


def test_faults_of_calls(site: Site) -> None:
    def plan(kind: Kind, seconds: float = 0.0) -> None:
        site.faults.add(Rule("cloud-director", "POST powerOn", kind, seconds=seconds))

    path = f"{site.vm_path}/power/action/powerOn"
    plan(Kind.REFUSE)
    refused = site.provider.post(path)
    assert (refused.status_code, refused.headers["Content-Type"]) == (503, "text/html")
    plan(Kind.BUSY)
    assert "BUSY_ENTITY" in site.provider.post(path).text
    plan(Kind.DROP_BEFORE)
    with pytest.raises(httpx.TransportError):
        site.provider.post(path)
    assert not site.endpoint.all_tasks()
    plan(Kind.DROP_AFTER)
    with pytest.raises(httpx.TransportError):
        site.provider.post(path)
    site.endpoint.tasks.wait_idle()
    assert site.power() == "poweredOn"
    plan(Kind.DELAY, 0.3)
    began = time.monotonic()
    assert site.provider.post(path).status_code == 400
    assert time.monotonic() - began >= 0.3
    plan(Kind.EXPIRE_SESSION)
    assert site.provider.post(path).status_code == 401
    assert [c.call for c in site.faults.calls if c.call == "POST powerOn"] == ["POST powerOn"] * 6
    assert site.faults.calls[0].user == "somebody@System"
