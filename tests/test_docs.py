"""The documents say what is so: commands, paths, inputs, Updates and step names."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from partial_failover.contracts.failover_test import FailoverTestRequest
from partial_failover.contracts.replica import ReplicaState
from partial_failover.contracts.request import (
    CheckReadinessRequest,
    ListReplicasRequest,
    PartialFailoverRequest,
    ResumeRequest,
    UndoRequest,
)
from partial_failover.contracts.step import StepName
from partial_failover.temporal.search_attributes import REGISTRY
from workflows.partial_failover import PartialFailover

ROOT = Path(__file__).parent.parent
README, ARCHITECTURE = ROOT / "README.md", ROOT / "docs/architecture.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")])
EXAMPLES = sorted(ROOT.glob("config*.example.yaml"))
INPUTS: dict[str, type[BaseModel]] = {
    "ListReplicas": ListReplicasRequest,
    "CheckReadiness": CheckReadinessRequest,
    "PartialFailover": PartialFailoverRequest,
    "FailoverTest": FailoverTestRequest,
    "undo": UndoRequest,
    "resume": ResumeRequest,
    "retry_compensation": UndoRequest,
    "accept_as_is": UndoRequest,
}


def _named(file: Path) -> str:
    return str(file.relative_to(ROOT))


def _code(document: Path) -> Iterator[str]:
    """What stands in backticks."""
    yield from re.findall(r"`([^`\n]+)`", document.read_text())


def _targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("document", [*DOCUMENTS, *EXAMPLES], ids=_named)
def test_its_make_targets_exist(document: Path) -> None:
    used = set(re.findall(r"(?:`|^    )make ([a-z-]+)", document.read_text(), re.MULTILINE))
    assert used <= _targets()


def test_the_readme_has_the_two_commands() -> None:
    assert {"    make demo", "    make test"} <= set(README.read_text().splitlines())


@pytest.mark.parametrize("document", DOCUMENTS, ids=_named)
def test_its_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", document.read_text())
    assert not [link for link in links if not (document.parent / link).exists()]


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if ROOT / "deploy" not in d.parents], ids=_named)
def test_the_paths_that_it_names_exist(document: Path) -> None:
    """Of this repository (`lab/`, `worker.py`); those in `deploy/` speak of other machines' files."""
    pattern = r"(?:[a-z_]+/)+[a-z_.]*|[a-z_]+\.py"
    paths = [code for code in _code(document) if re.fullmatch(pattern, code)]
    assert not [path for path in paths if not (ROOT / path).exists()]


@pytest.mark.parametrize(
    ("name", "data"),
    re.findall(r"^\| `(\w+)` \| (.+?) \|", README.read_text(), re.MULTILINE),
)
def test_the_inputs_of_the_readme_fit(name: str, data: str) -> None:
    examples = re.findall(r"`(\{.*?\})`", data)
    assert examples
    for example in examples:
        INPUTS[name].model_validate_json(example)


@pytest.mark.parametrize("document", DOCUMENTS, ids=_named)
def test_other_json_that_starts_a_failover_fits(document: Path) -> None:
    for text in re.findall(r'\{"vm":[^`}]*\}', document.read_text()):
        PartialFailoverRequest.model_validate(json.loads(text))


def test_the_readme_has_every_update() -> None:
    defined = {
        value.name
        for value in (getattr(f, "_defn", None) for f in vars(PartialFailover).values())
        if value is not None
    }
    rows = re.findall(r"^\| `(\w+)` \|", README.read_text(), re.MULTILINE)
    assert defined
    assert defined <= set(rows)


def test_queries_of_the_readme_use_registered_attributes() -> None:
    queries = re.findall(r'`(\w+) = "(\w[\w-]*)"`', README.read_text())
    assert queries
    assert {name for name, _ in queries} <= set(REGISTRY)
    assert {value for name, value in queries if name == "ReplicaState"} <= set(ReplicaState)


def test_the_architecture_names_the_steps_of_a_failover() -> None:
    text = ARCHITECTURE.read_text()
    flow = text[text.index("## How a failover flows") : text.index("## Where things live")]
    assert set(
        re.findall(
            r"\b(?:Hold|Mark|Revert|Power|Connect|Start|Configure|Verify|Confirm|Release)"
            r"[A-Z]\w+",
            flow,
        )
    ) <= set(StepName)


def test_the_wheel_holds_the_whole_product() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    rooms = {p.name for p in ROOT.iterdir() if (p / "__init__.py").exists()} - {"lab", "tests", "bench"}
    assert set(wheel["packages"]) == rooms
    assert {p.name for p in ROOT.glob("*.py")} <= set(wheel["force-include"])


@pytest.mark.parametrize("document", [*DOCUMENTS, *EXAMPLES], ids=_named)
def test_no_line_is_too_long_to_read(document: Path) -> None:
    """Tables aside."""
    lines = document.read_text().splitlines()
    assert not [line for line in lines if len(line) > 120 and not line.startswith("|")]
