"""Worker settings: the examples load and are whole; what is wrong is refused with its path."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any  # Any: what YAML holds

import pytest
import yaml
from pydantic import BaseModel

import settings
from contracts.schedule import TestSchedule
from settings import BadSettings, ProviderWorkerSettings, TenantSiteWorkerSettings, WorkerSettings, load

ROOT = Path(__file__).parent.parent
EXAMPLES = {
    ROOT / "config.example.yaml": ProviderWorkerSettings,
    ROOT / "config.tenant-site.example.yaml": TenantSiteWorkerSettings,
}
PROVIDER, TENANT_SITE = EXAMPLES
Config = dict[str, Any]
Break = Callable[[Config], object]


@pytest.fixture(autouse=True)
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A secret for each name that the examples give."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    for file in EXAMPLES:
        for name in re.findall(r"file: /etc/partial-failover/secrets/(\S+)", file.read_text()):
            (folder / name).write_text(f"secret of {name}\n")
        for variable in re.findall(r"env: (\S+)", file.read_text()):
            monkeypatch.setenv(variable, f"secret of {variable}")
    return folder


def example(file: Path, secrets: Path) -> Config:
    """An example's contents, with the secrets of this machine."""
    text = file.read_text().replace("/etc/partial-failover/secrets", str(secrets))
    data: Config = yaml.safe_load(text)
    return data


def loaded(data: object, folder: Path) -> WorkerSettings:
    file = folder / "worker.yaml"
    file.write_text(yaml.safe_dump(data))
    return load(file)


def refused(data: object, folder: Path) -> str:
    with pytest.raises(BadSettings) as caught:
        loaded(data, folder)
    return str(caught.value)


def models(value: object) -> Iterator[BaseModel]:
    """All settings objects inside. A scheduled test is a contract: docs/failover-tests.md explains it."""
    if isinstance(value, BaseModel) and not isinstance(value, TestSchedule):
        yield value
        for name in type(value).model_fields:
            yield from models(getattr(value, name))
    elif isinstance(value, dict | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from models(part)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda f: f.name)
def test_an_example_loads(file: Path, secrets: Path, tmp_path: Path) -> None:
    assert isinstance(loaded(example(file, secrets), tmp_path), EXAMPLES[file])


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda f: f.name)
def test_an_example_sets_every_setting(file: Path, secrets: Path, tmp_path: Path) -> None:
    given: dict[type[BaseModel], set[str]] = {}
    for model in models(loaded(example(file, secrets), tmp_path)):
        given.setdefault(type(model), set()).update(model.model_fields_set)
    lacking = {kind.__name__: set(kind.model_fields) - names for kind, names in given.items()}
    assert not {name: fields for name, fields in lacking.items() if fields}


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda f: f.name)
def test_an_example_explains_every_setting(file: Path) -> None:
    """With a comment behind it, or above it, where it is met first. Names of files and hosts need none."""
    lines, met = file.read_text().splitlines(), {"role", "file", "env", "tenants", "host", "username"}
    for above, line in zip(["", *lines], lines, strict=False):
        match = re.match(r"[ -]*([a-z_]+):(?: |$)", line)
        if match is None or match[1] in met or match[1] not in SETTINGS:
            continue
        met.add(match[1])
        assert " #" in line or above.strip().startswith("#") or _is_section(line, lines), line
    assert met <= SETTINGS


def _is_section(line: str, lines: list[str]) -> bool:
    """A key at the margin whose parts are explained."""
    following = lines[lines.index(line) + 1]
    return not line.startswith(" ") and line.endswith(":") and " #" in following


SETTINGS = {
    name
    for kind in vars(settings).values()
    if isinstance(kind, type) and issubclass(kind, BaseModel) and kind.__module__ == "settings"
    for name in kind.model_fields
} | {"host", "port"}  # of the cloud gateway, a contract


def test_secrets_are_read_from_file_and_environment(secrets: Path, tmp_path: Path) -> None:
    provider = loaded(example(PROVIDER, secrets), tmp_path)
    assert isinstance(provider, ProviderWorkerSettings)
    assert provider.cloud_director.api_token.read() == "secret of cloud-director-token"
    assert provider.vcenters[0].password.read() == "secret of PROVIDER_VCENTER_PASSWORD"


def _set(path: str, value: object) -> Break:
    """Sets one setting, by its path with dots."""

    def change(data: Config) -> None:
        *way, last = path.split(".")
        place: Any = data
        for part in way:
            place = place[int(part) if part.isdigit() else part]
        place[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "path", "says"),
    [
        (_set("colour", "red"), "colour", "Extra inputs are not permitted"),
        (_set("tenants.0.appliance.colour", "red"), "tenants.0.appliance.colour", "Extra inputs"),
        (_set("cloud_director.url", "http://vcd.example"), "cloud_director.url", "https"),
        (_set("cloud_director.api_token", "s3cret"), "cloud_director.api_token", "dictionary"),
        (_set("vcenters.0.password", {"value": "s3cret"}), "vcenters.0.password.value", "Extra inputs"),
        (_set("vcenters.0.password", {}), "vcenters.0.password", "exactly one of file and env"),
        (_set("vcenters.0.password", {"env": "NOT_SET"}), "vcenters.0.password", "NOT_SET is not set"),
        (_set("vcenters.0.password", {"file": "/no/such"}), "vcenters.0.password", "/no/such cannot be read"),
        (_set("vcenters", []), "vcenters", "at least 1"),
        (
            _set("tenants.0.appliance.spares.acme-lan-a", "here"),
            "tenants.0.appliance.spares.acme-lan-a",
            "IPv4",
        ),
        (_set("tenants.0.appliance.host_key", "ssh-rsa AAAA"), "tenants.0.appliance.host_key", "pattern"),
        (_set("tenants.0.extension", "magic"), "tenants.0.extension", "'appliance'"),
        (_set("tenants.2.appliance", None), "", ""),
        (_set("tenants.0.gateway", None), "tenants.0", "an appliance needs gateway"),
        (_set("tenants.0.extension", "ipsec"), "tenants.0", 'extension is not "appliance"'),
        (_set("tenants.1.namespace", "acme"), "file", "namespace given to two tenants: acme"),
        (_set("appliance_key", None), "file", "appliance_key is needed"),
        (_set("threads", 1), "threads", "greater than or equal to 2"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_a_wrong_setting_is_named_with_its_path(
    change: Break, path: str, says: str, secrets: Path, tmp_path: Path
) -> None:
    data = example(PROVIDER, secrets)
    change(data)
    if not path:  # a setting that may be left out may also be null
        loaded(data, tmp_path)
        return
    text = refused(data, tmp_path)
    assert f"\n  {path}: " in text
    assert says in text
    assert "s3cret" not in text


def test_every_problem_is_named_at_once(secrets: Path, tmp_path: Path) -> None:
    data = example(TENANT_SITE, secrets)
    del data["tenants"][0]["backup_server"]["url"]
    data["tenants"][0]["vcenter"]["port"] = "many"
    data["tenants"][0]["drain_patience"] = "a while"
    text = refused(data, tmp_path)
    for path in ("backup_server.url", "vcenter.port", "drain_patience"):
        assert f"\n  tenants.0.{path}: " in text


@pytest.mark.parametrize(
    ("data", "says"),
    [(None, "file: "), ([1], "file: "), ({}, "role"), ({"role": "boss"}, "'provider', 'tenant-site'")],
    ids=["empty", "a list", "no role", "unknown role"],
)
def test_a_file_without_a_role_is_refused(data: object, says: str, tmp_path: Path) -> None:
    assert says in refused(data, tmp_path)


def test_a_file_that_is_no_yaml_or_absent_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("role: [")
    with pytest.raises(BadSettings, match="is not YAML"):
        load(tmp_path / "bad.yaml")
    with pytest.raises(BadSettings, match="cannot be read"):
        load(tmp_path / "absent.yaml")
