"""Notices when a workflow's commands changed, while failovers that began before may still run."""

import difflib
import inspect
import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import worker
from tests.fingerprints import FILE, Fingerprints, fingerprints, sources

LESSON = """
The commands of {where} changed, or what decides about them:
{difference}
A failover that is under way replays its history against this code and stops if the commands differ.
If they can differ, keep the old way for it:

    if workflow.patched("what-is-new"):
        ...  # the new way
    else:
        ...  # the old way, until no workflow from before runs any more; then workflow.deprecate_patch(...)

Then add a history of the new way to tests/histories, see that the old ones still replay, and run
    python -m tests.fingerprints
"""


@cache
def now() -> Fingerprints:
    """Of the source as it is."""
    return fingerprints(sources())


def test_no_command_changed_without_a_patch() -> None:
    kept = json.loads(FILE.read_text())
    for file in kept | now():
        old, new = kept.get(file, {}), now().get(file, {})
        for function in old | new:
            before, after = old.get(function, []), new.get(function, [])
            difference = "\n".join(difflib.ndiff(before, after))
            assert before == after, LESSON.format(where=f"{file} {function}", difference=difference)


def test_every_workflow_is_watched() -> None:
    """Or the guard would be vacuous."""
    for workflow in worker.WORKFLOWS:
        file = Path(inspect.getfile(workflow)).name
        assert f"{workflow.__name__}.run" in now()[file]


class Change(NamedTuple):
    """Of the text of one file of `workflows`."""

    file: str
    before: str
    after: str

    def made(self) -> dict[str, str]:
        """All texts, with this change."""
        texts = sources()
        assert texts[self.file].count(self.before) == 1, f"not there, or not once: {self.before}"
        return {**texts, self.file: texts[self.file].replace(self.before, self.after)}


CLAIMED = "def _claimed(claim: Claim) -> str:\n"
STAY = "        verify = asyncio.create_task("
OF_COMMANDS = {
    "a search attribute through a function that is not async": Change(
        "partial_failover.py", STAY, f'        self._journal.enter(ReplicaState.PROCESSING, "again")\n{STAY}'
    ),
    "a command in a function that gave none": Change(
        "watch.py", CLAIMED, f"{CLAIMED}    workflow.upsert_memo({{}})\n"
    ),
    "a state that is shown": Change(
        "partial_failover.py", "enter(ReplicaState.FAILOVER, ", "enter(ReplicaState.NORMAL, "
    ),
    "a step": Change("failover.py", "_do(Step.REVERT_SNAPSHOT,", "_do(Step.POWER_ON_REPLICA,"),
    "a child": Change("failover_test.py", "VmFailoverTest.run,", "ReplicaLock.run,"),
    "a patch": Change("partial_failover.py", 'patched("watch-failover")', 'patched("watch-failover-2")'),
    "a cancellation": Change("partial_failover.py", "self._watch.cancel()", "pass"),
    "the order of two steps": Change(
        "failover.py",
        "await workflow.wait_condition(lambda: self._server_listens)\n",
        "await self._announce_at_tenant(data)\n",
    ),
    "one after the other, not side by side": Change(
        "failover.py",
        "await together(self.hold(), self._mark_processing())",
        "await self.hold(); await self._mark_processing()",
    ),
    "waited for, not begun": Change(
        "partial_failover.py", "asyncio.create_task(failover.verify())", "await failover.verify()"
    ),
    "what is called through another": Change(
        "watch.py", "self._repair(self._failover.hold)", "self._repair(self._failover.verify)"
    ),
}
OF_TIMERS = {
    "a timeout around a wait": Change(
        "steps.py",
        "        await workflow.wait(tasks, return_when",
        "        async with asyncio.timeout(60): await workflow.wait(tasks, return_when",
    ),
    "a timeout of a wait": Change(
        "partial_failover.py", "workflow.wait([self._watch])", "workflow.wait([self._watch], timeout=60)"
    ),
    "a timeout of a wait for a condition": Change(
        "lock.py", "(lambda: self._released)", "(lambda: self._released, timeout=60)"
    ),
    "a wait with a timer": Change(
        "steps.py", "await asyncio.shield(task)", "await asyncio.wait_for(asyncio.shield(task), 60)"
    ),
    "a sleep": Change(
        "walk.py", "return await visit(item)", "await asyncio.sleep(1); return await visit(item)"
    ),
    "no wait": Change("failover.py", "await workflow.wait_condition(lambda: self._server_listens)", "pass"),
    "no wait for a child": Change("lock.py", "await self._handle\n", "pass\n"),
}
OF_CONDITIONS = {
    "around a step": Change("failover.py", "if adoption is None or adoption.revert:", "if True:"),
    "of a wait": Change("partial_failover.py", "lambda: self._undo is not None", "lambda: True"),
    "of a repetition": Change("watch.py", "history_length() < ", "history_length() > "),
    "of a visit": Change(
        "guest_checks.py", "in enumerate(self._checks)))", "in enumerate(self._checks) if n))"
    ),
    "of an end before a step": Change("undo.py", "if self._off is None:", "if self._off is not None:"),
    "of an end after a step": Change("taking_back.py", "if self._accepted_as_is:", "if self._repaired:"),
    "in an expression": Change(
        "partial_failover.py", "verify()) if failover.site.appliance", "verify()) if failover.plan.adoption"
    ),
    "before a call": Change("failover_test.py", "self._request.vms or await", "await"),
    "of a function that only prepares steps": Change(
        "failover.py", "[self._provider_side()] if self.plan.side", "[self._provider_side()] if self.site"
    ),
    "of what is caught": Change("lock.py", "except FailureError:", "except ValueError:"),
    "of how it went": Change(
        "vm_failover_test.py", "                return False\n", "                return True\n"
    ),
}
OF_WORDS = {
    "a title": Change(
        "failover.py", 'title = "Power on the provider\'s appliance"', 'title = "Switch it on"'
    ),
    "a title among arguments": Change("undo.py", '"Begin to undo"', '"The undo begins"'),
    "a summary": Change("partial_failover.py", '"Undo by itself, as requested"', '"As requested"'),
    "a docstring": Change("partial_failover.py", '"""From preflight to the report."""', '"""All of it."""'),
    "no docstring": Change("watch.py", '        """Until it is cancelled."""\n', ""),
    "a comment": Change("watch.py", "# A hold that is still not there is news", "# It is news"),
    "what the page says": Change("taking_back.py", '"The replica goes back to Normal."', '"It goes back."'),
    "what the report says": Change("partial_failover.py", '"undone by the tenant"', '"undone"'),
    "what a failure says": Change("preflight.py", "needs an input", "has no input"),
    "a warning": Change("watch.py", '"It could not be repaired: ', '"Not repaired: '),
}


def named(changes: dict[str, Change]) -> pytest.MarkDecorator:
    """Each under its own words."""
    return pytest.mark.parametrize("change", list(changes.values()), ids=list(changes))


@named(OF_COMMANDS | OF_TIMERS | OF_CONDITIONS)
def test_a_change_is_noticed(change: Change) -> None:
    assert fingerprints(change.made()) != now()


@named(OF_WORDS)
def test_other_words_are_no_change(change: Change) -> None:
    assert fingerprints(change.made()) == now()
