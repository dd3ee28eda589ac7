"""Notices when a workflow's commands changed, while failovers that began before may still run."""

import difflib
import inspect
import json
from functools import cache
from pathlib import Path

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


FLOW = '''
"""A failover."""

class Flow:
    """What happens, in which order."""

    async def run(self, request: Request) -> Report:
        """From the first look to the report."""
        self._progress.enter(State.NORMAL, "Nothing is touched yet")  # the list shows it
        vms = request.vms or await self._all()
        if self._lost:
            return self._report("lost")
        await task_group(self._hold(), self._mark())
        await workflow.wait_condition(lambda: self._listens)
        await self._revert(f"Revert {request.vm}")
        await task_group(*self._sides())
        await task_group(*(self._check(n) for n in range(3)))
        verify = asyncio.create_task(self._verify()) if self._extends else None
        await self._repair(self._hold)
        if workflow.patched("watch"):
            self._watch = asyncio.create_task(self._look())
        while history_length() < MOST:
            await self._look()
        self._watch.cancel()
        await workflow.wait([self._watch])
        ended = await self._child()
        return self._report("ended")

    def _sides(self) -> list[Branch]:
        return [self._check(0)] if self._extends else []

    def _report(self, ended: str) -> Report:
        title = "The report"
        return Report(title, ended)

    async def _revert(self, title: str) -> None:
        if self._adoption is None or self._adoption.revert:
            await self._do(steps.REVERT_SNAPSHOT, Revert(vm=self._vm, note="by a test"), title)

    async def _child(self) -> bool:
        try:
            await workflow.execute_child_workflow(Child.run, static_summary="The lock")
            await self._handle
        except FailureError:
            if self._accepted:
                return False
            raise NotReady("an appliance is missing")
        return True

    async def _hold(self) -> None:
        await self._do(Step.HOLD_REPLICATION, QUEUE, Hold(), "Hold replication")

    async def _mark(self) -> None:
        await self._do(steps.MARK_PROCESSING, Mark(), "Mark the replica")

    async def _all(self) -> list[str]:
        return await self._do(steps.INSPECT_REPLICAS, List(), "Look at all")

    async def _check(self, number: int) -> None:
        await self._do(steps.CHECK_GUEST, Check(number), f"Check {number}")

    async def _verify(self) -> None:
        await self._do(steps.VERIFY_CONNECTIVITY, Verify(), "Verify")

    async def _look(self) -> None:
        step = steps.WATCH_FAILOVER
        await self._do(step, Watch(), "Watch")

    async def _repair(self, again: Callable[[], Awaitable[None]]) -> None:
        try:
            await again()
        except ActivityError as error:
            self._progress.warn(f"It could not be repaired: {error}")

    async def _do(self, step: Step, data: Contract, title: str) -> None:
        await calls.call(step, data, title)
'''
CALLS = """
async def call(step, data, title):
    return await workflow.execute_activity(step.name, data, summary=title)

async def task_group(*branches):
    task = asyncio.gather(*branches)
    await asyncio.shield(task)
"""
PROGRESS = """
class Progress:
    def enter(self, state: State, words: str) -> None:
        self.words = words
        workflow.upsert_search_attributes([STATE.value_set(state)])

    def warn(self, text: str) -> None:
        self.warnings.append(text)
"""
TEXTS = {"flow.py": FLOW, "calls.py": CALLS, "progress.py": PROGRESS}
Change = tuple[str, str]
"""What is written there once, and what instead."""

OF_COMMANDS: dict[str, Change] = {
    "a search attribute through a function that is not async": (
        "        self._watch.cancel()",
        "        self._progress.enter(State.NORMAL); self._watch.cancel()",
    ),
    "a command in a function that gave none": ("title = ", "workflow.upsert_memo({}); title = "),
    "a state that is shown": ("enter(State.NORMAL", "enter(State.FAILOVER"),
    "a step": ("steps.REVERT_SNAPSHOT", "steps.POWER_ON_REPLICA"),
    "a step by its name alone": ("Step.HOLD_REPLICATION", "Step.MARK_PROCESSING"),
    "a step in a variable": ("step = steps.WATCH_FAILOVER", "step = steps.VERIFY_TUNNEL"),
    "a child": ("Child.run", "Other.run"),
    "a patch": ('patched("watch")', 'patched("watch-2")'),
    "a cancellation": ("self._watch.cancel()", "pass"),
    "the order of two steps": (
        "await workflow.wait_condition(lambda: self._listens)\n",
        "await self._mark()\n",
    ),
    "one after the other, not side by side": (
        "await task_group(self._hold(), self._mark())",
        "await self._hold(); await self._mark()",
    ),
    "waited for, not begun": ("asyncio.create_task(self._verify())", "await self._verify()"),
    "what is called through another": ("self._repair(self._hold)", "self._repair(self._verify)"),
}
OF_TIMERS: dict[str, Change] = {
    "a timeout around a wait": ("await again()", "async with asyncio.timeout(60): await again()"),
    "a timeout of a wait": ("wait([self._watch])", "wait([self._watch], timeout=60)"),
    "a timeout of a wait for a condition": ("lambda: self._listens)", "lambda: self._listens, timeout=60)"),
    "a wait with a timer": ("asyncio.shield(task)", "asyncio.wait_for(asyncio.shield(task), 60)"),
    "a sleep": ("    return await workflow", "    await asyncio.sleep(1); return await workflow"),
    "no wait": ("await workflow.wait_condition(lambda: self._listens)", "pass"),
    "no wait for a child": ("await self._handle\n", "pass\n"),
}
OF_CONDITIONS: dict[str, Change] = {
    "around a step": ("if self._adoption is None or self._adoption.revert:", "if True:"),
    "of a wait": ("lambda: self._listens", "lambda: True"),
    "of a repetition": ("history_length() < ", "history_length() > "),
    "of a visit": ("for n in range(3)", "for n in range(3) if n"),
    "of an end before a step": ("if self._lost:", "if not self._lost:"),
    "of an end after a step": ("if self._accepted:", "if self._repaired:"),
    "in an expression": ("self._verify()) if self._extends", "self._verify()) if self._held"),
    "before a call": ("request.vms or await", "await"),
    "of a function that only prepares steps": (
        "[self._check(0)] if self._extends",
        "[self._check(0)] if True",
    ),
    "of what is caught": ("except FailureError:", "except ValueError:"),
    "of how it went": ("return False", "return True"),
}
OF_WORDS: dict[str, Change] = {
    "a title": ('title = "The report"', 'title = "It"'),
    "a title among arguments": ('"Mark the replica"', '"Mark it"'),
    "a title with a name in it": ('f"Revert {request.vm}"', 'f"Go back with {request.vm}"'),
    "a summary": ('static_summary="The lock"', 'static_summary="A lock"'),
    "data that is handed over": ('note="by a test"', "note=self._note"),
    "a docstring": ('"""From the first look to the report."""', '"""All of it."""'),
    "no docstring": ('        """From the first look to the report."""\n', ""),
    "a comment": ("  # the list shows it", "  # so that it is seen"),
    "what the page says": ('"Nothing is touched yet"', '"It begins"'),
    "what the report says": ('"ended"', '"over"'),
    "what a failure says": ("an appliance is missing", "there is no appliance"),
    "a warning": ("It could not be repaired: ", "Not repaired: "),
}


def changed(change: Change) -> dict[str, str]:
    """The texts with this change."""
    before, after = change
    assert sum(text.count(before) for text in TEXTS.values()) == 1, f"not there, or not once: {before}"
    return {file: text.replace(before, after) for file, text in TEXTS.items()}


def named(changes: dict[str, Change]) -> pytest.MarkDecorator:
    """Each under its own words."""
    return pytest.mark.parametrize("change", list(changes.values()), ids=list(changes))


@named(OF_COMMANDS | OF_TIMERS | OF_CONDITIONS)
def test_a_change_is_noticed(change: Change) -> None:
    assert fingerprints(changed(change)) != fingerprints(TEXTS)


@named(OF_WORDS)
def test_other_words_are_no_change(change: Change) -> None:
    assert fingerprints(changed(change)) == fingerprints(TEXTS)
