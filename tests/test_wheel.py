"""The wheel is the whole product: what the README says of it works where this repository is not."""

import os
import re
import subprocess
import sys
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest
import yaml

from tests.examples import PROVIDER, ROOT, example, variables
from tests.waiting import PATIENCE


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked as `pip install` does it; what it depends on is there already."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-W", "error", "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=PATIENCE)
    [wheel] = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site-packages")
    return folder / "site-packages"


def test_it_takes_no_other_names_at_the_top_of_site_packages(installed: Path) -> None:
    names = {f.name for f in installed.iterdir() if f.suffix not in (".data", ".dist-info")}
    assert names == {"partial_failover", "workflows", "activities", "worker.py", "appliance"}


def test_it_brings_one_command(installed: Path, tmp_path: Path) -> None:
    [metadata] = installed.glob("*.dist-info")
    assert [(c.name, c.value) for c in PathDistribution(metadata).entry_points] == [
        ("partial-failover", "partial_failover.cli.main:main")
    ]
    ran = run(installed, tmp_path, "partial_failover", "--help")
    assert ran.returncode == 0
    assert set(re.findall(r"^  (\w+)  ", ran.stdout, re.MULTILINE)) == {
        "operate",
        "schedules",
        "report",
        "worker",
    }


def run(installed: Path, folder: Path, *words: str | Path) -> "subprocess.CompletedProcess[str]":
    """`python -m …`, with the wheel alone."""
    environment = {**os.environ, **dict.fromkeys(variables(PROVIDER), "secret")}
    return subprocess.run(
        [sys.executable, "-m", *map(str, words)],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Whoever installs the wheel has the example from it."""
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(example(PROVIDER, tmp_path)))
    return file


@pytest.mark.parametrize("command", [("worker",), ("partial_failover", "worker")], ids=" ".join)
def test_the_worker_is_in_it(installed: Path, config: Path, command: tuple[str, ...]) -> None:
    config.write_text(config.read_text().replace("port: 443", "port: many"))
    ran = run(installed, config.parent, *command, config)
    assert ran.returncode == 2
    assert "vcenters.0.port: " in ran.stderr


@pytest.mark.parametrize(
    ("name", "has"), [("gateway", "listen tenant-acme"), ("gate", "frontend people")], ids=["gateway", "gate"]
)
def test_gateway_and_gate_can_be_rendered(installed: Path, config: Path, name: str, has: str) -> None:
    ran = run(installed, config.parent, "partial_failover", "operate", name, config)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert has in ran.stdout


@pytest.mark.parametrize(
    "folder",
    ["appliance", *(f"partial_failover/deploy/{name}" for name in ("appliance", "gateway", "temporal/gate"))],
)
def test_what_is_rendered_is_made_of_what_is_in_it(installed: Path, folder: str) -> None:
    there, here = ({f.name for f in (root / folder).iterdir() if f.is_file()} for root in (installed, ROOT))
    assert there == here


def test_the_examples_are_in_it_and_nothing_that_operators_have_of_their_own(installed: Path) -> None:
    deploy = installed / "partial_failover" / "deploy"
    assert {f.name for f in deploy.iterdir()} == {"appliance", "gateway", "temporal"}
    assert {f.name for f in (deploy / "temporal").iterdir()} == {"gate"}
    [shared] = installed.glob("*.data/data/share/partial-failover")
    assert {f.name for f in shared.iterdir()} == {f.name for f in ROOT.glob("config*.example.yaml")}
