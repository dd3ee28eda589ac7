"""`worker.py --check`: every way in which a configuration can be wrong is named, and nothing is changed."""

from pathlib import Path
from typing import Any

import pytest

from lab.cloud_director import ALL_RIGHTS
from lab.lab import Lab
from lab.tls import Authority
from lab.veeam.accounts import Role
from lab.vsphere import User
from tests.deploy.commands import check, configured, run, written


def lines(out: str) -> dict[tuple[str, str], str]:
    """Tenant and what was looked at, to what was found, on one line."""
    found: dict[tuple[str, str], str] = {}
    key = ("", "")
    start = out.index("FOUND") if "FOUND" in out else 0
    for line in out.splitlines()[1:]:
        if not line:
            break
        cells = [c.strip() for c in line[:start].split("  ") if c.strip()]
        if cells:
            key = (cells[0], cells[1])
            found[key] = cells[2]
        found[key] += " " + line[start:].strip()
    return found


@pytest.mark.parametrize("worker", ["provider", "acme", "initech"])
async def test_all_is_well_and_nothing_is_changed(lab: Lab, worker: str) -> None:
    before, calls = lab.centre.state(), len(lab.centre.faults.calls)
    ran = await check(lab, lab.configs[worker])
    assert ran.code == 0, ran.out + ran.error
    assert "FAILED" not in ran.out and ran.out.rstrip().splitlines()[-1].startswith("all ")
    assert lab.centre.state() == before
    sent = {c.call for c in lab.centre.faults.calls[calls:]}
    assert not any(c.startswith(("PUT", "DELETE /api")) or c.endswith("_Task") for c in sent), sent


def a_wrong_certificate(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    other = str(Authority(folder).ca_file)
    for part in (data["cloud_director"], *data["vcenters"]):
        part["ca_file"] = other


def a_version_that_is_not_served(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    data["cloud_director"]["api_version"] = "35.0"


def a_missing_right(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    rights = ALL_RIGHTS - {"vApp: Edit VM Network"}
    token = folder / "token"
    token.write_text(lab.centre.cloud.api_token("half", rights=rights))
    data["cloud_director"]["api_token"] = {"file": str(token)}


def a_missing_privilege(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    power = frozenset({"VirtualMachine.Interact.PowerOn"})
    lab.centre.vcenter.sessions.users["weak@vsphere.local"] = User(lab.centre.password, power)
    data["vcenters"][0]["username"] = "weak@vsphere.local"


def a_namespace_that_is_not_provisioned(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    data["tenants"][0]["namespace"] = "forgotten"


def a_suffix_that_no_replica_has(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    data["tenants"][0]["replica_suffix"] = "-dr"


def a_network_without_spare(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    del data["tenants"][0]["appliance"]["spares"]["acme-lan-b"]


@pytest.mark.parametrize(
    ("spoil", "where", "said"),
    [
        (a_wrong_certificate, ("(all)", "Cloud Director"), "certificate was not accepted"),
        (a_wrong_certificate, ("(all)", "vCenter 127.0.0.1"), "certificate of vCenter"),
        (a_version_that_is_not_served, ("(all)", "Cloud Director"), "does not serve API version 35.0"),
        (a_missing_right, ("(all)", "its rights"), "lacks: vApp: Edit VM Network"),
        (a_missing_privilege, ("acme", "replicas"), "VirtualMachine.State.RevertToSnapshot"),
        (a_namespace_that_is_not_provisioned, ("forgotten", "namespace"), "python -m operate provision"),
        (a_suffix_that_no_replica_has, ("acme", "replicas"), "ends in -dr"),
        (a_network_without_spare, ("acme", "networks"), "No spare address is configured on acme-lan-b"),
    ],
)
async def test_the_provider_is_told_what_is_wrong(
    lab: Lab, tmp_path: Path, spoil: Any, where: tuple[str, str], said: str
) -> None:
    data = configured(lab, "provider")
    spoil(lab, data, tmp_path)
    ran = await check(lab, written(tmp_path, data))
    assert ran.code == 1
    assert lines(ran.out)[where].startswith("FAILED"), ran.out
    assert said in lines(ran.out)[where], ran.out


def another_authority(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    data["tenants"][0]["backup_server"]["ca_file"] = str(Authority(folder).ca_file)


def a_newer_revision(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    data["tenants"][0]["backup_server"]["api_version"] = "1.3-rev2"


def a_viewer(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    lab.centre.sites["acme"].backup.add_user("viewer", lab.centre.password, Role.VIEWER)
    data["tenants"][0]["backup_server"]["username"] = "viewer"


def a_wrong_port_group(lab: Lab, data: dict[str, Any], folder: Path) -> None:
    data["tenants"][0]["appliance"]["networks"]["acme-lan-a"]["port_group"] = "LAN Z"


@pytest.mark.parametrize(
    ("spoil", "what", "said"),
    [
        (another_authority, "backup server", "certificate of the backup server"),
        (a_newer_revision, "backup server", "version"),
        (a_viewer, "backup server", "Veeam Backup Administrator"),
        (a_wrong_port_group, "appliance", "no connected NIC on LAN Z"),
    ],
)
async def test_the_tenant_is_told_what_is_wrong(
    lab: Lab, tmp_path: Path, spoil: Any, what: str, said: str
) -> None:
    data = configured(lab, "acme")
    spoil(lab, data, tmp_path)
    ran = await check(lab, written(tmp_path, data))
    assert ran.code == 1
    assert lines(ran.out)["acme", what].startswith("FAILED"), ran.out
    assert said in lines(ran.out)["acme", what], ran.out


async def test_the_command_ends_with_what_it_found(lab: Lab, tmp_path: Path) -> None:
    assert (await run(lab, "worker.py", lab.configs["initech"], "--check")).code == 0
    data = configured(lab, "provider")
    a_namespace_that_is_not_provisioned(lab, data, tmp_path)
    ran = await run(lab, "worker.py", written(tmp_path, data), "--check")
    assert ran.code == 1 and ran.out.endswith("FAILED\n")


async def test_a_temporal_server_that_does_not_answer_is_named_and_the_rest_is_looked_at(lab: Lab) -> None:
    ran = await check(lab, lab.configs["initech"], TEMPORAL_ADDRESS="127.0.0.1:1")
    found = lines(ran.out)
    assert ran.code == 1
    assert found["(all)", "Temporal"].startswith("FAILED")
    assert found["initech", "backup server"].startswith("ok")
