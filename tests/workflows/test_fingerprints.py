"""Notices when a workflow's commands changed, while failovers that began before may still run."""

import inspect
import json
from pathlib import Path

import worker
from tests.fingerprints import FILE, fingerprints

LESSON = """
The commands of {where} changed:
  before: {before}
  now:    {now}
A failover that is under way replays its history against this code and stops if the commands differ.
Keep the old way for it:

    if workflow.patched("what-is-new"):
        ...  # the new way
    else:
        ...  # the old way, until no workflow from before runs any more; then workflow.deprecate_patch(...)

Then add a history of the new way to tests/histories, see that the old ones still replay, and run
    python -m tests.fingerprints
"""


def test_no_command_changed_without_a_patch() -> None:
    kept, now = json.loads(FILE.read_text()), fingerprints()
    for file in kept | now:
        for function in kept.get(file, {}) | now.get(file, {}):
            before, after = kept.get(file, {}).get(function), now.get(file, {}).get(function)
            where = f"{file} {function}"
            assert before == after, LESSON.format(where=where, before=before, now=after)


def test_every_workflow_is_watched() -> None:
    """Or the guard would be vacuous."""
    watched = fingerprints()
    for workflow in worker.WORKFLOWS:
        file = Path(inspect.getfile(workflow)).name
        assert file in watched or workflow.__name__ == "ReplicaLock", (
            f"{workflow.__name__} gives no commands?"
        )
