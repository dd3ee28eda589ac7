"""Every file in `deploy/` is looked at by the tool that will read it."""

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from lab.lab import Lab
from lab.tenants import TENANTS
from partial_failover.cli import gateway
from partial_failover.process import lifecycle
from partial_failover.settings import BadSettings, ProviderWorkerSettings, load
from tests.deploy.commands import configured, output_of, tool, written
from tests.deploy.gate import Gate, rendered

REPOSITORY = Path(__file__).parents[2]
DEPLOY = REPOSITORY / "deploy"
KUBERNETES = DEPLOY / "worker" / "kubernetes"


def manifests() -> list[Path]:
    kustomization = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    return [KUBERNETES / name for name in kustomization["resources"]]


@pytest.mark.parametrize("file", manifests(), ids=lambda file: str(file.stem))
def test_manifests_fit_the_schemas_of_kubernetes(file: Path) -> None:
    for document in yaml.safe_load_all(file.read_text()):
        kubernetes_validate.validate(document, "1.34", strict=True)


def test_no_manifest_is_left_out() -> None:
    there = {file.name for file in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}
    assert there == {file.name for file in manifests()}


def test_the_worker_is_not_root_and_cannot_write() -> None:
    deployment = yaml.safe_load((KUBERNETES / "deployment.yaml").read_text())
    pod = deployment["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not any("value" in e and "token" in e["name"].lower() for e in container["env"])


def test_units_are_as_systemd_wants_them(tmp_path: Path) -> None:
    units = [*(DEPLOY / "worker" / "systemd").glob("*.service"), *(DEPLOY / "appliance").glob("*.service")]
    for unit in units:
        text = unit.read_text().replace("/opt/partial-failover/.venv/bin/python", "/usr/bin/python3")
        (tmp_path / unit.name).write_text(text)
    assert output_of(tool("systemd-analyze"), "verify", *(tmp_path / u.name for u in units)) == ""


def test_a_worker_that_is_told_to_stop_is_not_killed_before_it_has_ended() -> None:
    unit = (DEPLOY / "worker" / "systemd" / "partial-failover-tenant-site.service").read_text()
    deployment = yaml.safe_load((KUBERNETES / "deployment.yaml").read_text())
    granted = {int(s) for s in re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)}
    assert granted == {deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]}
    assert min(granted) > lifecycle.ENDS_WITHIN


def test_the_containerfile_passes_its_linter() -> None:
    assert output_of(tool("hadolint"), DEPLOY / "worker" / "Containerfile") == ""


def copied() -> set[str]:
    """What the Containerfile takes from this repository."""
    text = (DEPLOY / "worker" / "Containerfile").read_text()
    lines = [words.split()[:-1] for words in re.findall(r"^COPY (?!--)(.*)$", text, re.MULTILINE)]
    return {source for sources in lines for source in sources}


def test_the_containerfile_installs_the_wheel_and_what_it_needs() -> None:
    assert copied() == {"requirements/product.txt", "dist/*.whl"}
    assert (REPOSITORY / "requirements/product.txt").exists()
    assert "hatchling build -t wheel\n" in (REPOSITORY / "Makefile").read_text(), "which writes to dist/"


def test_nothing_else_is_sent_to_who_builds_the_image() -> None:
    lines = (REPOSITORY / ".containerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule.removeprefix("!") for rule in rules[1:]} == copied()


def test_the_container_starts_the_worker_as_the_unit_does() -> None:
    containerfile = (DEPLOY / "worker" / "Containerfile").read_text()
    unit = (DEPLOY / "worker" / "systemd" / "partial-failover-tenant-site.service").read_text()
    assert 'ENTRYPOINT ["python", "-m", "worker"]\n' in containerfile
    assert "/bin/python -m worker ${WORKER_CONFIG}\n" in unit


def test_the_gateway_is_as_haproxy_wants_it_and_has_a_port_for_each_tenant(lab: Lab, tmp_path: Path) -> None:
    settings = load(lab.configs["provider"])
    assert isinstance(settings, ProviderWorkerSettings)
    file = tmp_path / "haproxy.cfg"
    file.write_text(gateway.render(gateway.relays(settings)))
    output_of(tool("haproxy"), "-c", "-f", file)
    for tenant in (t for t in TENANTS if t.extension == "appliance"):
        assert f"listen tenant-{tenant.name}\n    bind :{6180 + tenant.number}\n" in file.read_text()
        assert f"server appliance 10.99.0.{10 + tenant.number}:6180 check" in file.read_text()


def test_a_gate_is_as_haproxy_wants_it(gate: Gate, tmp_path: Path) -> None:
    data = configured(gate.lab, "provider") | {"gate": {"frontend": {"host": "127.0.0.1"}}}
    text = rendered(written(tmp_path, data)).replace("/etc/haproxy/gate", str(gate.folder))
    file = tmp_path / "haproxy.cfg"
    file.write_text(text)
    assert output_of(tool("haproxy"), "-c", "-f", file).strip() == "Configuration file is valid"
    assert "client.pem" not in text and "verifyhost 127.0.0.1" in text
    assert "bind :7233 ssl" in text and "bind :7234 ssl crt gate.pem verify required" in text
    for tenant in TENANTS:
        assert f"acl tenant ssl_c_s_dn(CN) -m str -- {tenant.name}\n" in text


def test_without_its_settings_no_gate_is_made(lab: Lab) -> None:
    with pytest.raises(BadSettings, match="gate is not set"):
        rendered(lab.configs["provider"])


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
    with pytest.raises(BadSettings):
        settings = load(written(tmp_path, data))
        assert isinstance(settings, ProviderWorkerSettings)
        gateway.relays(settings)
