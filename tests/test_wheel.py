"""The wheel is the whole product: what the README says of it works where this repository is not."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.examples import PROVIDER, ROOT, example, variables


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked as `pip install` does it; what it depends on is there already."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
    [wheel] = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site-packages")
    return folder / "site-packages"


def run(installed: Path, folder: Path, *words: str | Path) -> "subprocess.CompletedProcess[str]":
    """`python -m …`, with the wheel alone."""
    environment = {**os.environ, **dict.fromkeys(variables(PROVIDER), "secret")}
    return subprocess.run(
        [sys.executable, "-m", *map(str, words)],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Whoever installs the wheel has the example from it."""
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(example(PROVIDER, tmp_path)))
    return file


def test_the_worker_is_in_it(installed: Path, config: Path) -> None:
    config.write_text(config.read_text().replace("port: 443", "port: many"))
    ran = run(installed, config.parent, "worker", config)
    assert ran.returncode == 2
    assert "vcenters.0.port: " in ran.stderr


def test_the_gateway_can_be_rendered(installed: Path, config: Path) -> None:
    ran = run(installed, config.parent, "operate", "gateway", config)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "listen tenant-acme" in ran.stdout


@pytest.mark.parametrize("folder", ["appliance", "deploy/appliance", "deploy/gateway"])
def test_what_appliances_and_gateway_are_made_of_is_in_it(installed: Path, folder: str) -> None:
    there, here = ({f.name for f in (root / folder).iterdir() if f.is_file()} for root in (installed, ROOT))
    assert there == here


def test_the_examples_are_in_it_and_nothing_of_the_lab(installed: Path) -> None:
    [shared] = installed.glob("*.data/data/share/partial-failover")
    assert {f.name for f in shared.iterdir()} == {f.name for f in ROOT.glob("config*.example.yaml")}
    assert not {"lab", "tests"} & {f.name for f in installed.iterdir()}
