"""The manual's commands are those of the programs: options, paths and names that they give exist."""

import re
import shlex
import subprocess
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml
from typer.core import TyperGroup

from partial_failover.cli.main import app
from partial_failover.settings import ProviderWorkerSettings, load
from tests.deploy.commands import REPOSITORY, output_of, tool
from tests.waiting import PATIENCE

MANUAL = (REPOSITORY / "docs" / "operations.md").read_text()
OVERLAY = REPOSITORY / "deploy" / "worker" / "overlay"


def commands() -> list[str]:
    """Of all blocks, lines that go on joined; and those within sentences that have options."""
    blocks = re.sub(r"\\\n\s*", "", "\n".join(re.findall(r"```sh\n(.*?)```", MANUAL, re.DOTALL)))
    lines = [line.strip() for line in blocks.splitlines() if line.strip()]
    return lines + re.findall(r"`((?:partial-failover|temporal) [^`\n]+)`", MANUAL)


def of(program: str) -> list[str]:
    found = [c.split(" > ")[0] for c in commands() if re.search(rf"(^|[A-Z]=\S+ ){program} ", c)]
    assert found, program
    return found


@pytest.mark.parametrize("command", of("partial-failover"))
def test_the_product_understands_it(command: str) -> None:
    words = shlex.split(command.split("partial-failover ", 1)[1])
    if not {"…", "<file>"} & set(words):
        parse(typer.main.get_command(app), words)


def parse(command: Any, words: list[str]) -> None:
    """Any: typer's type of commands is not public. Raises what is wrong with the words."""
    while isinstance(command, TyperGroup):
        command = command.get_command(typer.Context(command), words.pop(0))
    command.make_context(command.name, words)


@pytest.mark.parametrize("command", of("temporal"))
def test_the_temporal_command_understands_it_and_is_told_the_namespace(command: str) -> None:
    words = shlex.split(command)
    if not any(word.startswith("--") for word in words):
        return
    assert "--namespace" in words
    argv = [tool("temporal"), *words[1:], "--address", "127.0.0.1:1"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert "Nothing is listening at 127.0.0.1:1" in done.stderr, done.stderr


@pytest.mark.parametrize("path", sorted(set(re.findall(r"(?<![\w/])deploy/[\w./-]+[\w/]", MANUAL))))
def test_what_it_names_of_deploy_is_there(path: str) -> None:
    assert (REPOSITORY / path).exists()


def test_the_overlay_is_whole() -> None:
    built = list(yaml.safe_load_all(output_of(tool("kubectl"), "kustomize", OVERLAY)))
    for document in built:
        kubernetes_validate.validate(document, "1.34", strict=True)
    made: dict[str, Any] = {document["kind"]: document for document in built}
    settings = made["ConfigMap"]
    assert settings["data"] == {n: (OVERLAY / n).read_text() for n in ("config.yaml", "ca.pem")}
    pod = made["Deployment"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["image"] == "registry.example/partial-failover:0.2.0"
    mounted = {v["name"]: v for v in pod["volumes"]}
    assert mounted["config"]["configMap"]["name"] == settings["metadata"]["name"]
    assert "10.0.0.0/8" not in yaml.safe_dump(made["NetworkPolicy"]), "the wide range is replaced"


def test_the_secrets_that_it_makes_are_those_that_the_settings_name() -> None:
    [command] = [c for c in commands() if "generic worker-secrets" in c]
    given = set(re.findall(r"--from-file=(\S+)", command))
    text = (OVERLAY / "config.yaml").read_text()
    assert given - {"temporal.toml"} == set(re.findall(r"/etc/partial-failover/secrets/(\S+)", text))
    assert isinstance(load(OVERLAY / "config.yaml", without_files=True), ProviderWorkerSettings)


def test_the_secrets_that_it_makes_are_those_that_temporal_is_given() -> None:
    made = set(re.findall(r"kubectl -n temporal create secret generic (\S+)", "\n".join(commands())))
    values = (REPOSITORY / "deploy" / "temporal" / "values.yaml").read_text()
    named = re.findall(r"(?:secretName|existingSecret|additionalEnvSecretName): (\S+)", values)
    assert made == set(named)


def test_what_it_has_operators_make_here_is_never_committed() -> None:
    made = {name.rsplit("=", 1)[-1] for c in commands() for name in re.findall(r"--from-file=(\S+)", c)}
    made |= {
        "provider.yaml",
        "tenant-site.yaml",
        "pair.key",
        "haproxy.cfg",
        "gate.cfg",
        "appliance-key.pub",
        "ca.pem",
    }
    made |= set(re.findall(r"--into (\S+)", MANUAL)) | set(re.findall(r"-(?:key)?out (\S+)", MANUAL))
    ignored = output_of(
        "git", "check-ignore", "--no-index", *(f"{name}/" if "seed" in name else name for name in made)
    )
    assert {name.rstrip("/") for name in ignored.split()} == made
