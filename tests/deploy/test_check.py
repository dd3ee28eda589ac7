"""`--check`: every way in which a configuration can be wrong is named, and nothing is changed."""

import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lab.cloud_director import ALL_RIGHTS
from lab.cloud_director.model import VAppLease
from lab.fabric.provision import worker_key
from lab.lab import Lab
from lab.tls import Authority
from lab.veeam.accounts import Role
from lab.vsphere import User
from tests.deploy.commands import check, configured, lines, run, written
from tests.deploy.watched import Relay


@pytest.mark.parametrize(
    ("worker", "end"),
    [
        ("provider", "22 ok, 2 not looked at"),  # the appliances are off
        ("acme", "9 ok, 1 not looked at"),
        ("initech", "all 9 ok"),
    ],
)
async def test_all_is_well_and_nothing_is_changed(lab: Lab, worker: str, end: str) -> None:
    before, calls = lab.centre.state(), len(lab.centre.faults.calls)
    ran = await check(lab, lab.configs[worker])
    assert ran.code == 0, ran.out + ran.error
    assert "FAILED" not in ran.out and ran.out.rstrip().splitlines()[-1] == end, ran.out
    assert lab.centre.state() == before
    sent = {c.call for c in lab.centre.faults.calls[calls:]}
    assert not any(c.startswith(("PUT", "DELETE /api")) or c.endswith("_Task") for c in sent), sent


def a_wrong_certificate(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    other = str(Authority(folder).ca_file)
    for part in (data["cloud_director"], *data["vcenters"]):
        part["ca_file"] = other


def a_version_that_is_not_served(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    data["cloud_director"]["api_version"] = "35.0"


def a_proof_key_that_is_not_the_published_one(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    file = folder / "proof"
    data["proof_key"] = {"file": str(file), "public": worker_key(file)}


def a_missing_right(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    rights = ALL_RIGHTS - {"vApp: Edit VM Network"}
    token = folder / "token"
    token.write_text(lab.centre.cloud.api_token("half", rights=rights))
    data["cloud_director"]["api_token"] = {"file": str(token)}


def a_missing_privilege(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    power = frozenset({"VirtualMachine.Interact.PowerOn"})
    lab.centre.vcenter.sessions.users["weak@vsphere.local"] = User(lab.centre.password, power)
    data["vcenters"][0]["username"] = "weak@vsphere.local"


def no_right_to_run_programs(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    may = frozenset({"VirtualMachine.State.RevertToSnapshot", "VirtualMachine.GuestOperations.Query"})
    lab.centre.vcenter.sessions.users["tester@vsphere.local"] = User(lab.centre.password, may)
    data["vcenters"][0]["username"] = "tester@vsphere.local"
    del data["tenants"][2]["guest_programs"]


def no_cloud_director(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    data["cloud_director"]["url"] = "https://127.0.0.1:1"


def no_vcenter(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    data["vcenters"][0]["port"] = 1


def another_organization(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    data["tenants"][0]["organization"] = "umbrella"


def a_namespace_that_is_not_provisioned(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    data["tenants"][0]["namespace"] = "forgotten"


def a_suffix_that_no_replica_has(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    data["tenants"][0]["replica_suffix"] = "-dr"


def a_network_without_spare(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    del data["tenants"][0]["appliance"]["spares"]["acme-lan-b"]


def a_network_for_tests_that_is_routed(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    data["tenants"][2]["test_network"] = {"name": "initech-lan"}


ACME_VMS = ("erp-db-01", "erp-web-01", "mail-01")


@pytest.mark.parametrize(
    ("spoil", "where", "message"),
    [
        (a_wrong_certificate, ("(all)", "Cloud Director"), "certificate was not accepted"),
        (a_wrong_certificate, ("(all)", "vCenter 127.0.0.1"), "certificate of vCenter"),
        (a_version_that_is_not_served, ("(all)", "Cloud Director"), "does not serve API version 35.0"),
        (a_proof_key_that_is_not_the_published_one, ("acme", "proof key"), "has another key than these"),
        (a_missing_right, ("(all)", "its rights"), "lacks: vApp: Edit VM Network"),
        (a_missing_privilege, ("acme", "replicas"), "VirtualMachine.State.RevertToSnapshot"),
        *((a_missing_privilege, ("acme", "replicas"), f"On {vm}_replica the vCenter") for vm in ACME_VMS),
        (no_right_to_run_programs, ("acme", "replicas"), "lacks: VirtualMachine.GuestOperations.Execute."),
        (
            a_namespace_that_is_not_provisioned,
            ("forgotten", "namespace"),
            "partial-failover operate provision",
        ),
        (a_suffix_that_no_replica_has, ("acme", "replicas"), "ends in -dr"),
        (a_network_without_spare, ("acme", "networks"), "No spare address is configured on acme-lan-b"),
        (a_network_for_tests_that_is_routed, ("initech", "network for tests"), "not an isolated network"),
    ],
)
async def test_the_provider_is_told_what_is_wrong(
    lab: Lab, tmp_path: Path, spoil: Any, where: tuple[str, str], message: str
) -> None:
    data = configured(lab, "provider")
    spoil(lab, data, tmp_path)
    ran = await check(lab, written(tmp_path, data))
    assert ran.code == 1
    assert lines(ran.out)[where].startswith("FAILED"), ran.out
    assert message in lines(ran.out)[where], ran.out


@pytest.mark.parametrize(
    ("spoil", "where", "found"),
    [
        (no_cloud_director, ("(all)", "vCenter 127.0.0.1"), "ok"),
        (no_cloud_director, ("acme", "replicas"), "not looked at"),
        (no_cloud_director, ("acme", "appliance"), "not looked at"),
        (no_vcenter, ("acme", "organization VDC"), "ok"),
        (
            no_vcenter,
            ("acme", "replicas"),
            "not looked at erp-db-01_replica, erp-web-01_replica, mail-01_rep",
        ),
        (another_organization, ("acme", "networks"), "not looked at"),
        (no_right_to_run_programs, ("initech", "replicas"), "ok"),
    ],
)
async def test_the_rest_is_looked_at_or_it_is_said_that_it_was_not(
    lab: Lab, tmp_path: Path, spoil: Any, where: tuple[str, str], found: str
) -> None:
    data = configured(lab, "provider")
    spoil(lab, data, tmp_path)
    ran = await check(lab, written(tmp_path, data))
    assert lines(ran.out)[where].startswith(found), ran.out


def another_authority(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    data["tenants"][0]["backup_server"]["ca_file"] = str(Authority(folder).ca_file)


def a_newer_revision(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    data["tenants"][0]["backup_server"]["api_version"] = "1.3-rev2"


def a_viewer(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    lab.centre.sites["acme"].backup.add_user("viewer", lab.centre.password, Role.VIEWER)
    data["tenants"][0]["backup_server"]["username"] = "viewer"


def a_wrong_port_group(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    data["tenants"][0]["appliance"]["networks"]["acme-lan-a"]["port_group"] = "LAN Z"


def another_vcenter(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    data["tenants"][0]["vcenter"]["port"] = lab.centre.sites["globex"].vcenter.port


def an_account_that_may_not_switch(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    users = lab.centre.sites["acme"].vcenter.sessions.users
    users["weak@vsphere.local"] = User(lab.centre.password, frozenset({"VirtualMachine.Interact.PowerOn"}))
    data["tenants"][0]["vcenter"]["username"] = "weak@vsphere.local"


@pytest.mark.parametrize(
    ("spoil", "what", "message"),
    [
        (another_vcenter, "original VMs", "sees none of erp-db-01, erp-web-01, mail-01"),
        (an_account_that_may_not_switch, "appliance", "lacks: VirtualMachine.Interact.PowerOff"),
        (another_authority, "backup server", "certificate of the backup server"),
        (a_newer_revision, "backup server", "version"),
        (a_viewer, "backup server", "Veeam Backup Administrator"),
        (a_wrong_port_group, "appliance", "no connected NIC on LAN Z"),
    ],
)
async def test_the_tenant_is_told_what_is_wrong(
    lab: Lab, tmp_path: Path, spoil: Any, what: str, message: str
) -> None:
    data = configured(lab, "acme")
    spoil(lab, data, tmp_path)
    ran = await check(lab, written(tmp_path, data))
    assert ran.code == 1
    assert lines(ran.out)["acme", what].startswith("FAILED"), ran.out
    assert message in lines(ran.out)["acme", what], ran.out


async def test_an_original_that_is_gone_is_doubtful_and_no_failure(lab: Lab) -> None:
    hypervisor = lab.centre.sites["acme"].hypervisor
    moref = next(key for key, vm in hypervisor.vms.items() if vm.name == "mail-01")
    gone = hypervisor.vms.pop(moref)
    try:
        ran = await check(lab, lab.configs["acme"])
    finally:
        hypervisor.vms[moref] = gone
    found = lines(ran.out)["acme", "original VMs"]
    assert ran.code == 0 and found.startswith("warning") and "'mail-01'" in found, ran.out


async def test_c5_a_lease_that_ends_is_warned_of(lab: Lab) -> None:
    vapps = [lab.centre.cloud.vm(name).vapp for name in ("erp-db-01_replica", "acme-network-extension")]
    for vapp in vapps:
        vapp.lease = VAppLease(runtime_s=86400, runtime_ends=datetime(2027, 1, 2, 3, 4, tzinfo=UTC))
    try:
        ran = await check(lab, lab.configs["provider"])
    finally:
        for vapp in vapps:
            vapp.lease = VAppLease()
    for row in ("replicas", "appliance"):
        found = lines(ran.out)["acme", row]
        assert found.startswith("warning") and "2027-01-02 03:04 UTC" in found, ran.out


@pytest.mark.parametrize(("days", "status"), [(10, "warning"), (40, "ok")])
async def test_a_certificate_that_ends_soon_is_warned_of(
    lab: Lab, tmp_path: Path, days: int, status: str
) -> None:
    trust = ssl.create_default_context(cafile=lab.centre.authority.ca_file)
    front = lab.centre.authority.server_context("soon", days)
    data = configured(lab, "acme")
    address = data["tenants"][0]["backup_server"]["url"].removeprefix("https://")
    async with Relay(address, front, trust) as relay:
        data["tenants"][0]["backup_server"]["url"] = f"https://{relay.address}"
        ran = await check(lab, written(tmp_path, data))
    found = lines(ran.out)["acme", "certificate of backup server"]
    assert ran.code == 0 and found.startswith(status) and f"{days - 1} days" in found, ran.out


@pytest.mark.parametrize(
    ("ignores", "code", "row"),
    [(False, 0, "ok"), (True, 1, "FAILED")],
    ids=["a hold that holds", "a job that takes no notice"],
)
async def test_the_command_proves_a_hold_and_leaves_no_exclusion(
    lab: Lab, ignores: bool, code: int, row: str
) -> None:
    replication = lab.centre.sites["acme"].backup.replication
    replication.ignores_exclusions = ignores
    try:
        ran = await run(lab, "worker.py", lab.configs["acme"], "--check", "--prove-hold", "erp-db-01")
    finally:
        replication.ignores_exclusions = False
    found = lines(ran.out)["acme", "proof of hold"]
    assert ran.code == code and found.startswith(row) and "erp-db-01" in found, ran.out
    assert replication.exclusions == {}


async def test_the_command_ends_with_what_it_found(lab: Lab, tmp_path: Path) -> None:
    assert (await run(lab, "worker.py", lab.configs["initech"], "--check")).code == 0
    data = configured(lab, "provider")
    a_namespace_that_is_not_provisioned(lab, data, tmp_path)
    ran = await run(lab, "worker.py", written(tmp_path, data), "--check")
    assert ran.code == 1 and ran.out.endswith("FAILED\n")
    data["cloud_director"]["ca_file"] = "/no/such/ca.pem"
    ran = await run(lab, "worker.py", written(tmp_path, data), "--check")
    assert ran.code == 2 and "\n  cloud_director.ca_file: the file /no/such/ca.pem" in ran.error


async def test_a_temporal_server_that_does_not_answer_is_named_and_the_rest_is_looked_at(lab: Lab) -> None:
    ran = await check(lab, lab.configs["initech"], TEMPORAL_ADDRESS="127.0.0.1:1")
    found = lines(ran.out)
    assert ran.code == 1
    assert found["(all)", "Temporal"].startswith("FAILED")
    assert found["initech", "namespace"].startswith("not looked at")
    assert found["initech", "backup server"].startswith("ok")
