"""Histories that were recorded replay with the workflows as they are now.

They are recorded by the end-to-end tests with RECORD_HISTORIES=1. A change that breaks one needs
`workflow.patched`; before the first release, recording them anew will do.
"""

import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from worker import WORKFLOWS
from workflows.converter import data_converter

HISTORIES = Path(__file__).resolve().parent.parent / "histories"
KINDS = {
    "failover-and-undo",
    "nsx-edge",
    "compensated",
    "cancelled",
    "refused",
    "failed-and-mended",
    "list-replicas",
    "check-readiness",
    "check-readiness-one-by-one",
    "replica-lock",
    "failover-test",
    "vm-failover-test",
}
LARGEST = 300_000
"""Bytes."""


def test_there_is_a_history_of_each_kind() -> None:
    files = {file.stem: file for file in HISTORIES.glob("*.json")}
    assert set(files) >= KINDS
    assert max(file.stat().st_size for file in files.values()) < LARGEST


@pytest.mark.parametrize("file", sorted(HISTORIES.glob("*.json")), ids=lambda file: file.stem)
async def test_it_replays(file: Path) -> None:
    events = json.loads(file.read_text())["events"]
    own_id = events[0]["workflowExecutionStartedEventAttributes"]["workflowId"]
    history = WorkflowHistory.from_json(own_id, file.read_text())
    replayer = Replayer(workflows=WORKFLOWS, data_converter=data_converter)
    await replayer.replay_workflow(history)
