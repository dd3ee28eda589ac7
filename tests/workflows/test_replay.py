"""Histories that were recorded replay with the workflows as they are now.

The end-to-end tests record them: `RECORD_HISTORIES=1 pytest tests/e2e`. A change that breaks a history needs
`workflow.patched` (CONTRIBUTING.md says when, and when it goes).
"""

import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from partial_failover.temporal.converter import data_converter
from worker import WORKFLOWS

FILES = sorted((Path(__file__).resolve().parent.parent / "histories").glob("*.json"))
KINDS = {
    "failover-and-undo",
    "nsx-edge",
    "compensated",
    "cancelled",
    "refused",
    "failed-and-repaired",
    "list-replicas",
    "check-readiness",
    "replica-lock",
    "failover-test",
    "vm-failover-test",
    "adopted",
}
LARGEST = 300_000
"""Bytes."""


def test_there_is_a_history_of_each_kind() -> None:
    assert {file.stem for file in FILES} >= KINDS
    assert max(file.stat().st_size for file in FILES) < LARGEST


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_it_replays(file: Path) -> None:
    events = json.loads(file.read_text())["events"]
    own_id = events[0]["workflowExecutionStartedEventAttributes"]["workflowId"]
    history = WorkflowHistory.from_json(own_id, file.read_text())
    replayer = Replayer(workflows=WORKFLOWS, data_converter=data_converter)
    await replayer.replay_workflow(history)
