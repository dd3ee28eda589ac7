"""The files of a tenant-site worker under systemd fit each other: units, settings, connection."""

import re
from pathlib import Path

import pytest
from temporalio.envconfig import ClientConfig
from temporalio.service import TLSConfig

from lab.lab import Lab
from partial_failover.settings import BadSettings, TenantSiteWorkerSettings, load
from tests.deploy.commands import REPOSITORY, check, configured, output_of, run, tool, written
from tests.examples import FOLDER as PLACE
from tests.examples import example, provide

FOLDER = REPOSITORY / "deploy" / "worker" / "systemd"
UNITS = {name: FOLDER / f"partial-failover-{name}.service" for name in ("tenant-site", "check")}
OWN = {"Type", "ExecStart", "Restart", "RestartSec", "KillMode", "TimeoutStopSec"}
"""What a service and a look at what it needs differ in."""


def service(unit: Path) -> list[tuple[str, str]]:
    """The settings of the section [Service], in order."""
    section = unit.read_text().split("[Service]\n")[1].split("\n[")[0]
    return [(key, value) for key, value in re.findall(r"^([A-Za-z]+)=(.*)$", section, re.MULTILINE)]


def credentials(unit: Path) -> dict[str, Path]:
    pairs = (value.split(":") for key, value in service(unit) if key == "LoadCredential")
    return {name: Path(file) for name, file in pairs}


def environment(unit: Path) -> dict[str, str]:
    """What a unit sets, by its lines and by its file, which lies beside it here."""
    [file] = [value for key, value in service(unit) if key == "EnvironmentFile"]
    lines = (FOLDER / Path(file).name).read_text().splitlines()
    lines += [value for key, value in service(unit) if key == "Environment"]
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.fixture
def handed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The credentials as systemd lays them out for a unit; with the connection file of `deploy/`."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    for name in credentials(UNITS["tenant-site"]):
        provide(folder / name)
    (folder / "temporal.toml").write_text((FOLDER.parent / "temporal.toml").read_text())
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return folder


def placed(folder: Path, file: str = "config.yaml") -> Path:
    """The settings beside the units, with every file of theirs in its place."""
    return written(folder, example(FOLDER / file, folder))


def test_the_check_runs_as_the_worker_does() -> None:
    alike = [[pair for pair in service(unit) if pair[0] not in OWN] for unit in UNITS.values()]
    assert alike[0] == alike[1]
    commands = {name: dict(service(unit))["ExecStart"] for name, unit in UNITS.items()}
    assert commands["check"] == commands["tenant-site"] + " --check"


def test_the_settings_use_the_credentials_that_are_handed_over_and_no_other(
    handed_over: Path, tmp_path: Path
) -> None:
    settings = load(placed(tmp_path))
    assert isinstance(settings, TenantSiteWorkerSettings)
    [tenant] = settings.tenants
    used = {settings.appliance_key, tenant.vcenter.password.file, tenant.backup_server.password.file}
    assert {file.name for file in used if file} | {"temporal.toml"} == set(credentials(UNITS["tenant-site"]))
    assert all(file and file.parent == handed_over for file in used)


def test_without_a_credential_the_settings_are_refused(handed_over: Path, tmp_path: Path) -> None:
    (handed_over / "backup-password").unlink()
    with pytest.raises(BadSettings, match=r"backup_server.password.*backup-password cannot be read"):
        load(placed(tmp_path))


def test_temporal_reads_the_connection_file_as_the_unit_gives_it(
    handed_over: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = environment(UNITS["tenant-site"])
    settings = load(placed(tmp_path, Path(given["WORKER_CONFIG"]).name))
    authority = Path(PLACE) / "ca.pem"
    assert str(authority) in (FOLDER / "config.yaml").read_text()
    secret = {file.parent for file in credentials(UNITS["tenant-site"]).values()}
    assert authority.parent not in secret, "root's alone, and the unit runs as nobody in particular"
    file = Path(given["TEMPORAL_CONFIG_FILE"].replace("%d", str(handed_over)))
    here = tmp_path / "temporal-ca.pem"
    here.write_text("certificates")
    assert f'server_ca_cert_path = "{authority}"' in file.read_text()
    file.write_text(file.read_text().replace(str(authority), str(here)))
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(file))
    found = ClientConfig.load_client_connect_config(profile=settings.temporal.profile)
    assert found.get("target_host") == "temporal.example:7233" and found.get("api_key")
    tls = found.get("tls")
    assert isinstance(tls, TLSConfig)
    assert (tls.server_root_ca_cert, tls.domain) == (b"certificates", "temporal.example")


def test_with_the_certificate_of_the_gate_the_connection_file_is_whole(
    handed_over: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lines that are comments, as an operator puts them into force."""
    file, authority = handed_over / "temporal.toml", "/etc/partial-failover/ca.pem"
    before, _, pair = file.read_text().replace(authority, str(file)).partition("# client_cert_data")
    file.write_text(before + re.sub("^# ", "", f"# client_cert_data{pair}", flags=re.MULTILINE))
    monkeypatch.setenv("TEMPORAL_CONFIG_FILE", str(file))
    tls = ClientConfig.load_client_connect_config(profile="default").get("tls")
    assert isinstance(tls, TLSConfig) and tls.client_cert and tls.client_private_key
    assert b"what is in acme-worker.pem" in tls.client_cert
    assert b"what is in acme-worker.key" in tls.client_private_key


async def test_an_authority_that_cannot_be_read_is_named(
    handed_over: Path, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = handed_over / "temporal.toml"
    file.write_text(file.read_text().replace("/etc/partial-failover/ca.pem", "/nowhere/ca.pem"))
    found = await check(
        lab, lab.configs["initech"], TEMPORAL_CONFIG_FILE=str(file), TEMPORAL_PROFILE="default"
    )
    assert found.code == 1 and "/nowhere/ca.pem cannot be read" in found.out


async def test_the_check_finds_everything_by_its_credentials(lab: Lab, tmp_path: Path) -> None:
    data = configured(lab, "acme")
    folder = tmp_path / "credentials"
    folder.mkdir()

    def hand_over(file: str, name: str) -> str:
        (folder / name).write_bytes(Path(file).read_bytes())
        (folder / name).chmod(0o600)
        return name

    [tenant] = data["tenants"]
    data["appliance_key"] = hand_over(data["appliance_key"], "appliance-key")
    for part, name in (("backup_server", "backup-password"), ("vcenter", "vcenter-password")):
        tenant[part]["password"] = {"file": hand_over(tenant[part]["password"]["file"], name)}
    config = written(tmp_path, data)
    assert (await run(lab, "worker.py", config, "--check")).code == 2
    found = await run(lab, "worker.py", config, "--check", CREDENTIALS_DIRECTORY=str(folder))
    assert found.code == 0, found.out + found.error


def test_the_units_are_hardened() -> None:
    for unit in UNITS.values():
        shown = output_of(tool("systemd-analyze"), "security", "--offline=true", "--threshold=20", unit)
        assert "OK" in shown.splitlines()[-1]
