"""Worker settings: the examples load and are whole; what is wrong is refused with its path."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from partial_failover import settings
from partial_failover.contracts.schedule import TestSchedule
from partial_failover.settings import ProviderWorkerSettings, TenantSiteWorkerSettings, WorkerSettings, load
from tests.examples import PROVIDER, TENANT_SITE, Config, example, variables

EXAMPLES = {PROVIDER: ProviderWorkerSettings, TENANT_SITE: TenantSiteWorkerSettings}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (name for file in EXAMPLES for name in variables(file)):
        monkeypatch.setenv(variable, f"secret of {variable}")


def loaded(data: Config, folder: Path) -> WorkerSettings:
    file = folder / "worker.yaml"
    file.write_text(yaml.safe_dump(data))
    return load(file)


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
def test_an_example_loads(file: Path, tmp_path: Path) -> None:
    assert isinstance(loaded(example(file, tmp_path), tmp_path), EXAMPLES[file])


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda f: f.name)
def test_an_example_sets_every_setting(file: Path, tmp_path: Path) -> None:
    given: dict[type[BaseModel], set[str]] = {}
    for model in models(loaded(example(file, tmp_path), tmp_path)):
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
    for kind in map(vars(settings).get, settings.__all__)
    if isinstance(kind, type) and issubclass(kind, BaseModel)
    for name in kind.model_fields
} | {"host", "port"}  # of the cloud gateway, a contract


def test_secrets_are_read_from_file_and_environment(tmp_path: Path) -> None:
    provider = loaded(example(PROVIDER, tmp_path), tmp_path)
    assert isinstance(provider, ProviderWorkerSettings)
    assert provider.cloud_director.api_token.read() == "secret of cloud-director-token"
    assert provider.vcenters[0].password.read() == "secret of PROVIDER_VCENTER_PASSWORD"
