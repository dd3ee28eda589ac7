"""The lab's Cloud Director is as strict as the real one, asked in raw HTTP."""

import re
import socket
import time
from ipaddress import IPv4Interface

import httpx
import pytest

from lab.cloud_director import ALL_RIGHTS
from lab.cloud_director.model import Principal
from lab.cloud_director.tasks import Reach
from lab.injected_faults import FaultKind, FaultRule
from tests.lab.cloud_director.bodies import metadata
from tests.lab.cloud_director.site import HEAD, JSON, Site, idle


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
    for path in (f"/api/vdc/{site.vdc.id}", f"/api/org/{site.vdc.org.id}"):
        assert site.provider.get(path).status_code == site.tenant.get(path).status_code == 200
        assert site.provider.get(path, headers=access).status_code == 403
    assert site.tenant.get("/api/org/").text.count("<Org ") == 1


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
    site.faults.add(FaultRule("cloud-director", "POST powerOn", FaultKind.TASK_HANG, seconds=30))
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


@pytest.mark.parametrize(
    ("reach", "statuses"), [("vm", (202, 202)), ("vapp", (400, 202)), ("neighbours", (400, 400))]
)
def test_a_running_task_of_a_vm_reaches_as_far_as_is_played(
    site: Site, reach: Reach, statuses: tuple[int, int]
) -> None:
    tasks = site.endpoint.tasks
    other = site.endpoint.add_vm(site.vapp, site.machines.add_vm("other", []))
    tasks.reach = reach
    site.faults.add(FaultRule("cloud-director", "POST powerOn", FaultKind.TASK_HANG, seconds=30))
    running = site.provider.post(f"{site.vm_path}/power/action/powerOn").headers["Location"]
    seen = []
    for path in (f"{site.vapp_path}/metadata", f"/api/vApp/{other.ref}/metadata"):
        answer = site.provider.post(path, content=metadata("GENERAL", "READWRITE"))
        assert answer.status_code == 202 or f"entity.vApp:{site.vapp.id} is busy" in answer.text
        seen.append(answer.status_code)
        tasks.wait_idle(but=1)
    assert tuple(seen) == statuses and len(tasks.refused) == statuses.count(400)
    site.provider.post(f"{running}/action/cancel")
    tasks.wait_idle()


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
    def plan(kind: FaultKind, seconds: float = 0.0) -> None:
        site.faults.add(FaultRule("cloud-director", "POST powerOn", kind, seconds=seconds))

    path = f"{site.vm_path}/power/action/powerOn"
    plan(FaultKind.REFUSE)
    refused = site.provider.post(path)
    assert (refused.status_code, refused.headers["Content-Type"]) == (503, "text/html")
    plan(FaultKind.BUSY)
    assert "BUSY_ENTITY" in site.provider.post(path).text
    plan(FaultKind.DROP_BEFORE)
    with pytest.raises(httpx.TransportError):
        site.provider.post(path)
    assert not site.endpoint.all_tasks()
    plan(FaultKind.DROP_AFTER)
    with pytest.raises(httpx.TransportError):
        site.provider.post(path)
    site.endpoint.tasks.wait_idle()
    assert site.power() == "poweredOn"
    plan(FaultKind.DELAY, 0.3)
    began = time.monotonic()
    assert site.provider.post(path).status_code == 400
    assert time.monotonic() - began >= 0.3
    plan(FaultKind.EXPIRE_SESSION)
    assert site.provider.post(path).status_code == 401
    assert [c.call for c in site.faults.calls if c.call == "POST powerOn"] == ["POST powerOn"] * 6
    assert site.faults.calls[0].user == "somebody@System"
