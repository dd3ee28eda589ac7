"""What the tenant reads while a failover runs: state, steps with times, what comes next."""

import asyncio
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

from partial_failover.temporal.search_attributes import REPLICA_STATE
from workflows.calls import call
from workflows.failures import root_cause

with workflow.unsafe.imports_passed_through():
    from partial_failover.contracts.base import Contract
    from partial_failover.contracts.check import CheckResult
    from partial_failover.contracts.replica import ReplicaState
    from partial_failover.contracts.step import Step, StepName, StepRecord
    from partial_failover.contracts.step_data import StepOutcome

In = TypeVar("In", bound=Contract)
Out = TypeVar("Out", bound=Contract)

LINK = re.compile(r":(?=//)|www(?=\.)|@", re.I)
"""Where GitHub's Markdown begins a link by itself; a word joiner behind it, which nobody sees, ends that."""
GAP = "\u00a0" * 3


class Progress:
    """Every step that was run, and the page of it in the Web UI (User Metadata, current details)."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.records: list[StepRecord] = []
        self.state = ReplicaState.NORMAL
        self.warnings: list[str] = []
        self.next = "Preflight runs. Nothing has been touched yet."
        self.connection = ""
        """What is to be said of the connection between production and the replica."""
        self.replica = ""
        """What became of the replica itself, and what to do about it."""

    async def run(self, step: Step[In, Out], data: In, title: str) -> Out:
        """Run a step and write it down."""
        with self._written(step.name, title[:180]) as ended:
            answer = await call(step, data, title[:180])
            if isinstance(answer, StepOutcome):
                word = "done" if answer.changed else "nothing to do"
                ended.append((word, answer.note, answer.attempt))
            if isinstance(answer, CheckResult):
                ended.append((answer.outcome.value, answer.reason, answer.attempt))
            return answer

    @contextmanager
    def _written(self, step: StepName, title: str) -> Iterator[list[tuple[str, str, int]]]:
        place = len(self.records)
        self.records.append(StepRecord(step=step, title=title, started=workflow.now()))
        self.show()
        ended: list[tuple[str, str, int]] = []
        try:
            yield ended
        except (FailureError, asyncio.CancelledError) as error:
            word = "cancelled" if is_cancelled_exception(error) else "failed"
            self._end(place, word, root_cause(error).message)
            raise
        self._end(place, *(ended[0] if ended else ("done", "", 1)))

    def _end(self, place: int, outcome: str, note: str, attempts: int = 1) -> None:
        ended = self.records[place].finished(workflow.now(), outcome, note, attempts)
        self.records[place] = ended
        _log(f"{ended.title}: {outcome}", ended.step)
        self.show()

    def enter(self, state: ReplicaState, next_: str) -> None:
        """The replica's state, and what the tenant can do now."""
        if state is not self.state or not self.records:
            workflow.upsert_search_attributes([REPLICA_STATE.value_set(state.value)])
            _log(f"the replica is {state}")
        self.state, self.next = state, next_
        self.show()

    def warn(self, text: str) -> None:
        """Something the tenant should know, said once; the failover goes on."""
        if text not in self.warnings:
            self.warnings.append(text)
            workflow.logger.warning("%s", text)
        self.show()

    def show(self) -> None:
        """Publish the page. A query of the server, not an event of the history."""
        workflow.set_current_details(self.markdown())

    def markdown(self) -> str:
        """The page itself."""
        rows = [
            (plain(r.title), f"{r.started:%H:%M:%S}", took(r.seconds), r.ended, plain(r.note))
            for r in self.records
        ]
        steps = (
            table(("step", "began (UTC)", "took", "outcome", "what it found or did"), rows) if rows else []
        )
        warned = ["", "**Warnings**", "", *(f"* {plain(w)}" for w in self.warnings)] if self.warnings else []
        connection = [f"**Connection**: {plain(self.connection)}", ""] if self.connection else []
        connection += [f"**Replica**: {plain(self.replica)}", ""] if self.replica else []
        head = [f"### {plain(self.title)}: {self.state}", "", plain(self.next), "", *connection]
        page = [*head, *steps, *warned]
        return "\n".join(page)

    def seconds_since(self, start: datetime) -> float:
        """Seconds from `start` until now, to the millisecond."""
        return round((workflow.now() - start) / timedelta(seconds=1), 3)


def _log(text: str, step: StepName | None = None) -> None:
    """For the operators, once: a replay writes nothing."""
    workflow.logger.info("%s", text, extra={"step": step})


def plain(text: str) -> str:
    """Names and answers of other systems, kept from being read as Markdown or HTML, or made into a link."""
    kept = "".join(c if c.isprintable() else " " for c in text)[:600]
    for mark in "\\`*_[]<>|#~&":
        kept = kept.replace(mark, f"\\{mark}")
    return LINK.sub("\\g<0>\N{WORD JOINER}", kept)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table. The Web UI draws columns without a gap, so each cell brings its own."""
    lines = (head, ["---"] * len(head), *rows)
    return [
        "| " + " | ".join(f"{cell}{GAP}" if cell != "---" else cell for cell in line) + " |" for line in lines
    ]


def took(seconds: float | None) -> str:
    """A duration for people."""
    return "…" if seconds is None else f"{seconds:.1f}\u00a0s"
