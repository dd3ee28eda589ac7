"""What is wrong with a worker's settings is refused at start: all of it at once, each with its path."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any  # Any: what YAML holds

import asyncssh
import pytest
import yaml

from partial_failover.settings import BadSettings, load
from tests.examples import PROVIDER, TENANT_SITE, Config, example, variables

Break = Callable[[Config], object]
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKDp3rG9vUSz9kT1JVWbOXzZ0W9WjFZ2jTq6kVJ0aXnM"
NIL = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files in the working folder in which something is wrong, for settings to name."""
    monkeypatch.chdir(tmp_path)
    for variable in variables(PROVIDER) + variables(TENANT_SITE):
        monkeypatch.setenv(variable, "secret")
    monkeypatch.setenv("BLANK", "  ")
    for name, content in {
        "blank": b" \n",
        "two-lines": b"s3cret\ns3cret\n",
        "binary": b"s3cret\xff\n",
        "garbage": b"s3cret",
    }.items():
        Path(name).write_bytes(content)
    Path("folder").mkdir()
    asyncssh.generate_private_key("ssh-ed25519").write_private_key("other")
    asyncssh.generate_private_key("ssh-ed25519").write_private_key("locked", "pkcs8-pem", "s3cret")


def refused(data: object) -> list[str]:
    """The lines of the refusal, but for the first, which names the file."""
    file = Path("worker.yaml")
    file.write_text(yaml.safe_dump(data))
    with pytest.raises(BadSettings) as caught:
        load(file)
    assert "s3cret" not in str(caught.value)
    first, *lines = str(caught.value).splitlines()
    assert first == "worker.yaml:"
    return [line.removeprefix("  ") for line in lines]


def put(path: str, value: object) -> Break:
    """Sets one setting, by its path with dots."""

    def change(data: Config) -> None:
        *way, last = path.split(".")
        place: Any = data
        for part in way:
            place = place[int(part)] if isinstance(place, list) else place[part]
        place[last] = value

    return change


def put_all(*changes: Break) -> Break:
    return lambda data: [change(data) for change in changes]


def again(path: str) -> Break:
    """Adds the first entry of a list once more."""

    def change(data: Config) -> None:
        data[path].append(copy.deepcopy(data[path][0]))

    return change


OF_ONE_VALUE = [
    ("colour", "red", "Extra inputs are not permitted"),
    ("tenants.0.appliance.colour", "red", "Extra inputs"),
    ("cloud_director.url", "http://vcd.example", "https"),
    ("cloud_director.url", "https://", "https://host"),
    ("cloud_director.url", "https://vcd.example/api", "nothing more"),
    ("cloud_director.url", "https://user@vcd.example", "nothing more"),
    ("cloud_director.url", "https://vcd.example:99999", "port"),
    ("cloud_director.url", "https://vcd example", "host name"),
    ("cloud_director.api_version", "latest", "pattern"),
    ("cloud_director.ca_file", "nowhere", "nowhere cannot be read"),
    ("cloud_director.ca_file", "garbage", "no certificate"),
    ("cloud_director.api_token", "s3cret", "dictionary"),
    ("vcenters.0.password.value", "s3cret", "Extra inputs"),
    ("vcenters.0.password", {}, "exactly one of file and env"),
    ("vcenters.0.password", {"env": "NOT_SET"}, "NOT_SET is not set"),
    ("vcenters.0.password", {"env": "BLANK"}, "BLANK is not set"),
    ("vcenters.0.password", {"file": "nowhere"}, "nowhere cannot be read"),
    ("vcenters.0.password", {"file": "folder"}, "folder cannot be read"),
    ("vcenters.0.password", {"file": "blank"}, "blank is empty"),
    ("vcenters.0.password", {"file": "two-lines"}, "several lines"),
    ("vcenters.0.password", {"file": "binary"}, "UTF-8"),
    ("vcenters", [], "at least 1"),
    ("vcenters.0.id", "first", "pattern"),
    ("vcenters.0.host", "", "host name"),
    ("vcenters.0.host", "::1::", "permitted"),
    ("vcenters.0.port", 99999, "less than or equal to 65535"),
    ("vcenters.0.username", " ", "empty"),
    ("vcenters.0.ca_file", "nowhere", "nowhere cannot be read"),
    ("vcenters.0.ca_file", "folder", "folder cannot be read"),
    ("vcenters.0.ca_file", "blank", "no certificate"),
    ("vcenters.0.api_version", "vim.version.v99", "vim.version.v8_0_3_0"),
    ("vcenters.0.api_version", "eam.version.version1", "vim.version.v8_0_3_0"),
    ("proof_key", None, "dictionary"),
    ("proof_key.file", "locked", "without passphrase"),
    ("proof_key.public", "ssh-ed25519 AAAA", "public key"),
    ("proof_key", {"file": "other", "public": OTHER_KEY}, "not the public half"),
    ("appliance_key", "nowhere", "nowhere cannot be read"),
    ("appliance_key", "garbage", "no private SSH key"),
    ("appliance_key", "locked", "without passphrase"),
    ("tenants.0.namespace", "", "empty"),
    ("tenants.0.namespace", "acme\n  bind :1", "control characters"),
    ("tenants.0.gateway.port", 0, "greater than or equal to 1"),
    ("tenants.0.gateway.host", "a b;c", "host name"),
    ("tenants.0.gateway.host", "10.99.0.300", "IPv4"),
    ("tenants.0.peer_fingerprint", "nonsense", "pattern"),
    ("tenants.0.appliance.spares.acme-lan-a", "here", "IPv4"),
    ("tenants.0.appliance.host_key", "ssh-rsa AAAA", "pattern"),
    ("tenants.0.appliance.host_key", "ssh-ed25519 AAAA", "public key"),
    ("tenants.0.extension", "magic", "'appliance'"),
    ("metrics_address", "127.0.0.1:99999", "port"),
    ("metrics_address", "localhost:9464", "IP address"),
    ("health_address", ":9465", "IP address"),
    ("gate.frontend.host", "a b;c", "host name"),
    ("gate.server_name", "temporal.example ssl verify none", "host name"),
    ("gate.people_port", 0, "greater than or equal to 1"),
    ("threads", 1, "greater than or equal to 2"),
]


@pytest.mark.parametrize(("path", "value", "says"), OF_ONE_VALUE, ids=lambda v: str(v)[:40])
def test_a_wrong_value_is_one_problem(path: str, value: object, says: str, tmp_path: Path) -> None:
    data = example(PROVIDER, tmp_path)
    put(path, value)(data)
    [line] = refused(data)
    assert line.startswith(f"{path}: ")
    assert says in line


@pytest.mark.parametrize(
    ("change", "path", "says"),
    [
        (lambda d: d["vcenters"][0].pop("id"), "vcenters.0.id", "Field required"),
        (again("vcenters"), "vcenters.1.id", "is also in vcenters.0"),
        (put("tenants.0.gateway", None), "tenants.0.gateway", 'needed with extension "appliance"'),
        (put("tenants.0.appliance", None), "tenants.0.peer_fingerprint", "is needed"),
        (put("tenants.0.extension", "ipsec"), "tenants.0.appliance", 'extension is not "appliance"'),
        (put("tenants.2.extension", "appliance"), "tenants.2.gateway", "is needed"),
        (put("tenants.1.namespace", "acme"), "tenants.1.namespace", "acme is also in tenants.0"),
        (
            put_all(put("tenants.1.organization", "acme"), put("tenants.1.vdc", "acme-vdc")),
            "tenants.1.vdc",
            "acme:acme-vdc is also in tenants.0",
        ),
        (put("tenants.1.appliance.host", "10.99.0.11"), "tenants.1.appliance.port", "is also in tenants.0"),
        (put("tenants.1.gateway.port", 6181), "tenants.1.gateway.port", "is also in tenants.0"),
        (put("appliance_key", None), "appliance_key", "is needed: tenants.0.appliance is set"),
        (put("gate.workers_port", 7233), "gate.workers_port", "is also people_port"),
        (put("health_address", "127.0.0.1:9464"), "health_address", "is also metrics_address"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_what_does_not_fit_together_is_named(change: Break, path: str, says: str, tmp_path: Path) -> None:
    data = example(PROVIDER, tmp_path)
    change(data)
    found = [line for line in refused(data) if line.startswith(f"{path}: ")]
    assert len(found) == 1
    assert says in found[0]


def test_what_may_be_left_out_may_be_null(tmp_path: Path) -> None:
    data = example(PROVIDER, tmp_path)
    put_all(put("tenants.2.appliance", None), put("cloud_director.ca_file", None))(data)
    Path("worker.yaml").write_text(yaml.safe_dump(data))
    load(Path("worker.yaml"))


def test_a_tenant_site_is_looked_at_too(tmp_path: Path) -> None:
    data = example(TENANT_SITE, tmp_path)
    put_all(
        put("appliance_key", None),
        put("tenants.0.vcenter.id", NIL),
        put("tenants.0.vcenter.port", "many"),
        put("tenants.0.drain_patience", "a while"),
        put("tenants.0.backup_server", {"url": "https://vbr.example:0/api"}),
        again("tenants"),
    )(data)
    assert [line.partition(": ")[0] for line in refused(data)] == [
        "tenants.0.backup_server.url",
        "tenants.0.backup_server.username",
        "tenants.0.backup_server.password",
        "tenants.0.vcenter.port",
        "tenants.0.vcenter.id",
        "tenants.0.drain_patience",
        "tenants.1.backup_server.url",
        "tenants.1.backup_server.username",
        "tenants.1.backup_server.password",
        "tenants.1.vcenter.port",
        "tenants.1.vcenter.id",
        "tenants.1.drain_patience",
        "tenants.1.namespace",
        "tenants.1.appliance.port",
        "appliance_key",
    ]


def test_a_contradiction_is_said_beside_a_wrong_value_and_nothing_that_only_follows(tmp_path: Path) -> None:
    data = example(PROVIDER, tmp_path)
    put_all(put("vcenters.0.port", 0), put("tenants.1.namespace", "acme"), put("tenants.0.gateway", None))(
        data
    )
    assert [line.partition(": ")[0] for line in refused(data)] == [
        "vcenters.0.port",
        "tenants.1.namespace",
        "tenants.0.gateway",
    ]


@pytest.mark.parametrize(
    ("data", "says"),
    [(None, "file: "), ([1], "file: "), ({}, "role"), ({"role": "boss"}, "'provider', 'tenant-site'")],
    ids=["empty", "a list", "no role", "unknown role"],
)
def test_a_file_without_a_role_is_refused(data: object, says: str) -> None:
    [line] = refused(data)
    assert says in line


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"role: [", "is not YAML"),
        (b"role: caf\xe9", "UTF-8"),
        (b"role: provider\ntenants: []\nrole: provider\n", "role is set twice"),
        (None, "cannot be read"),
    ],
    ids=["no YAML", "no UTF-8", "a key twice", "no file"],
)
def test_what_is_no_yaml_file_is_refused(content: bytes | None, says: str) -> None:
    file = Path("bad.yaml")
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(BadSettings, match=says):
        load(file)
