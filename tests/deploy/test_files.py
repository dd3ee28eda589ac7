"""Every file in `deploy/` is looked at by the tool that will read it."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

import serving
from contracts.appliance import ApplianceRole
from lab.lab import Lab
from lab.tenants import TENANTS
from operate import cloud_init, gateway
from operate.cloud_init import NewAppliance
from settings import BadSettings, ProviderWorkerSettings, load
from tests.deploy.commands import configured, written

REPOSITORY = Path(__file__).parents[2]
DEPLOY = REPOSITORY / "deploy"
KUBERNETES = DEPLOY / "worker" / "kubernetes"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def tool(name: str) -> str:
    """A program, or a skip that says what is missing."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def said(*argv: str | Path, folder: Path = REPOSITORY, stdin: str = "") -> str:
    """What a command printed; it must end well."""
    done = subprocess.run(
        [*map(str, argv)], cwd=folder, capture_output=True, text=True, input=stdin, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def manifests() -> list[Path]:
    kustomization = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    return [KUBERNETES / name for name in kustomization["resources"]]


@pytest.mark.parametrize("file", manifests(), ids=lambda file: str(file.stem))
def test_manifests_fit_the_schemas_of_kubernetes(file: Path) -> None:
    for document in yaml.safe_load_all(file.read_text()):
        kubernetes_validate.validate(document, "1.34", strict=True)


def test_no_manifest_is_left_out() -> None:
    there = {file.name for file in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml", "config.yaml"}
    assert there == {file.name for file in manifests()}


def test_kustomize_builds_them() -> None:
    built = list(yaml.safe_load_all(said(tool("kubectl"), "kustomize", KUBERNETES)))
    deployment = next(d for d in built if d["kind"] == "Deployment")
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"].startswith("registry.example/")


def test_the_worker_is_not_root_and_cannot_write() -> None:
    deployment = yaml.safe_load((KUBERNETES / "deployment.yaml").read_text())
    pod = deployment["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not any("value" in e and "token" in e["name"].lower() for e in container["env"])


def test_the_example_configuration_in_the_manifests_loads(tmp_path: Path) -> None:
    text = (KUBERNETES / "config.yaml").read_text()
    secrets = "/etc/partial-failover/secrets"
    for name in set(re.findall(rf"{secrets}/(\S+)", text)):
        (tmp_path / name).write_text("secret")
    file = tmp_path / "config.yaml"
    file.write_text(text.replace(secrets, str(tmp_path)))
    assert isinstance(load(file), ProviderWorkerSettings)


def test_units_are_as_systemd_wants_them(tmp_path: Path) -> None:
    units = [*(DEPLOY / "worker" / "systemd").glob("*.service"), *(DEPLOY / "appliance").glob("*.service")]
    for unit in units:
        text = unit.read_text().replace("/opt/partial-failover/.venv/bin/python", "/usr/bin/python3")
        (tmp_path / unit.name).write_text(text)
    assert said(tool("systemd-analyze"), "verify", *(tmp_path / u.name for u in units)) == ""


def test_the_tenant_site_unit_is_hardened() -> None:
    unit = DEPLOY / "worker" / "systemd" / "partial-failover-tenant-site.service"
    shown = said(tool("systemd-analyze"), "security", "--offline=true", "--threshold=20", unit)
    assert "OK" in shown.splitlines()[-1]


def test_a_worker_that_is_told_to_stop_is_not_killed_before_it_has_ended() -> None:
    unit = (DEPLOY / "worker" / "systemd" / "partial-failover-tenant-site.service").read_text()
    deployment = yaml.safe_load((KUBERNETES / "deployment.yaml").read_text())
    granted = {int(s) for s in re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)}
    assert granted == {deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]}
    assert min(granted) > serving.ENDS_WITHIN


def test_the_containerfile_passes_its_linter() -> None:
    assert said(tool("hadolint"), DEPLOY / "worker" / "Containerfile") == ""


def test_the_containerfile_copies_what_exists() -> None:
    text = (DEPLOY / "worker" / "Containerfile").read_text()
    copied = [words.split()[:-1] for words in re.findall(r"^COPY (?!--)(.*)$", text, re.MULTILINE)]
    for source in (source for sources in copied for source in sources):
        assert (REPOSITORY / source).exists(), source
    imported = {file.parent.name for file in REPOSITORY.glob("*/__init__.py")} - {"lab", "tests"}
    imported |= {file.name for file in REPOSITORY.glob("*.py")}
    assert imported <= {source for sources in copied for source in sources}


def test_alert_rules_hold_and_fire_when_they_should() -> None:
    rules = DEPLOY / "monitoring"
    said(tool("promtool"), "check", "rules", "alerts.yaml", folder=rules)
    said(tool("promtool"), "test", "rules", "alerts.test.yaml", folder=rules)


def test_alerts_and_dashboard_speak_of_metrics_that_exist() -> None:
    sources = [*REPOSITORY.glob("monitoring/*.py"), *REPOSITORY.glob("workflows/*.py")]
    sources += REPOSITORY.glob("activities/*.py")
    made = set(re.findall(r'"(failover_[a-z_]+)"', "".join(f.read_text() for f in sources)))
    dashboard = (DEPLOY / "monitoring" / "dashboard.json").read_text()
    assert json.loads(dashboard)["panels"]
    for text in (dashboard, (DEPLOY / "monitoring" / "alerts.yaml").read_text()):
        used = set(re.findall(r"\bfailover_[a-z_]+(?=[\[{)} ])", text))
        assert used
        assert {re.sub(r"_(total|bucket)$", "", name) for name in used} <= made


def test_the_gateway_is_as_haproxy_wants_it_and_has_a_port_for_each_tenant(lab: Lab, tmp_path: Path) -> None:
    settings = load(lab.configs["provider"])
    assert isinstance(settings, ProviderWorkerSettings)
    file = tmp_path / "haproxy.cfg"
    file.write_text(gateway.render(gateway.relays(settings)))
    said(tool("haproxy"), "-c", "-f", file)
    for tenant in (t for t in TENANTS if t.extension == "appliance"):
        assert f"listen tenant-{tenant.name}\n    bind :{6180 + tenant.number}\n" in file.read_text()
        assert f"server appliance 10.99.0.{10 + tenant.number}:6180 check" in file.read_text()


def one_port_for_two(data: dict[str, Any]) -> None:
    data["tenants"][1]["gateway"]["port"] = data["tenants"][0]["gateway"]["port"]


def a_name_that_ends_the_section(data: dict[str, Any]) -> None:
    data["tenants"][0]["namespace"] = "acme\n    bind :1"


def no_address(data: dict[str, Any]) -> None:
    del data["tenants"][0]["appliance"]["vpn_address"]
    data["tenants"][0]["appliance"]["host"] = "appliance.example"


@pytest.mark.parametrize("spoil", [one_port_for_two, a_name_that_ends_the_section, no_address])
def test_a_gateway_that_cannot_be_is_refused(lab: Lab, tmp_path: Path, spoil: Any) -> None:
    data = configured(lab, "provider")
    spoil(data)
    settings = load(written(tmp_path, data))
    assert isinstance(settings, ProviderWorkerSettings)
    with pytest.raises(BadSettings):
        gateway.relays(settings)


def new_appliance(role: ApplianceRole) -> NewAppliance:
    return NewAppliance(
        role,
        "ssh-ed25519 AAAA worker",
        "-----BEGIN OpenVPN Static key V1-----\n",
        [IPv4Address("10.99.0.100")],
        [IPv4Address("10.99.0.1")] if role is ApplianceRole.PROVIDER else (),
    )


@pytest.mark.parametrize("role", ApplianceRole)
def test_an_appliance_is_as_cloud_init_wants_it(tmp_path: Path, role: ApplianceRole) -> None:
    file = tmp_path / "user-data"
    file.write_text(cloud_init.user_data(new_appliance(role)))
    assert "Valid cloud-config" in said(tool("cloud-init"), "schema", "--config-file", file)
    assert file.stat().st_size < 60_000, "platforms take user data of 64 kB"


def test_an_appliance_gets_every_file_of_the_program_and_keeps_its_secrets() -> None:
    files = {
        Path(f["path"]): f
        for f in yaml.safe_load(cloud_init.user_data(new_appliance(ApplianceRole.PROVIDER)))["write_files"]
    }
    program = {f.name for f in (REPOSITORY / "appliance").glob("*.py")}
    assert program == {p.name for p in files if p.parent.name == "appliance"}
    given = {f.name for f in (DEPLOY / "appliance").iterdir()} - {"README.md", "cloud-init.yaml"}
    assert given == set(cloud_init.PLACES)
    state = cloud_init.STATE
    assert files[state / "tls-crypt.key"]["permissions"] == "0600"
    assert files[state / "ssh" / "authorized_keys"]["content"].startswith('restrict,from="10.99.0.100" ssh-')


def test_values_and_connection_files_can_be_read() -> None:
    values = yaml.safe_load((DEPLOY / "temporal" / "values.yaml").read_text())
    assert values["server"]["config"]["authorization"]["authorizer"] == "default"
    for store in values["server"]["config"]["persistence"]["datastores"].values():
        assert store["sql"]["tls"]["enableHostVerification"] and "password" not in store["sql"]
    profile = tomllib.loads((DEPLOY / "worker" / "temporal.toml").read_text())["profile"]["default"]
    assert set(profile) == {"address", "api_key", "tls"}
