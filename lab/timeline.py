"""A live timeline of failovers, read from their Temporal histories as anybody with a client could.

On a terminal the steps that run are at the bottom, and go up when they end; elsewhere each beginning and
each end is a plain line. Times are seconds since the first workflow of the timeline began.
"""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any  # Any: handles of any workflow, attributes of any event, JSON values

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import WorkflowHandle
from temporalio.service import RPCError

from partial_failover.temporal.search_attributes import REPLICA_STATE

COLOURS = {"done": "green", "failed": "bold red", "timed out": "bold red", "cancelled": "yellow"}


@dataclass
class Step:
    """An activity that runs, or did."""

    type: str
    title: str
    began: datetime
    attempt: int = 1


@dataclass
class Track:
    """What the history of one failover has said so far."""

    vm: str
    state: str = ""
    running: dict[int, Step] = field(default_factory=dict)
    """By number of the event that scheduled the step."""
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The latest result of each type of step."""
    ended: str | None = None
    """How the workflow ended, in a word or a sentence."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set with every event of the history."""


class Timeline:
    """`with Timeline() as timeline:`, then `follow` what shall be seen."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self.tracks: list[Track] = []
        self._began: datetime | None = None
        self._live = Live(
            console=self.console, get_renderable=self._running, refresh_per_second=8, transient=True
        )

    def __enter__(self) -> "Timeline":
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def say(self, text: str, style: str = "") -> None:
        """A line of the story."""
        self._print(Text(text, style))

    @contextlib.contextmanager
    def follow(self, handle: WorkflowHandle[Any, Any], vm: str) -> Iterator[Track]:
        """Show the workflow's history as it grows, until the block ends."""
        track = Track(vm)
        self.tracks.append(track)
        reading = asyncio.create_task(self._read(handle, track))
        try:
            yield track
        finally:
            reading.cancel()

    async def _read(self, handle: WorkflowHandle[Any, Any], track: Track) -> None:
        try:
            async for event in handle.fetch_history_events(wait_new_event=True):
                self._take(track, event)
                track.changed.set()
        except RPCError as error:
            track.ended = f"its history cannot be read ({error})"
            track.changed.set()

    def _take(self, track: Track, event: HistoryEvent) -> None:
        at = event.event_time.ToDatetime(UTC)
        self._began = self._began or at
        kind = (event.WhichOneof("attributes") or "").removesuffix("_event_attributes")
        data: Any = getattr(event, f"{kind}_event_attributes", None)
        match kind:
            case "activity_task_scheduled":
                title = json.loads(event.user_metadata.summary.data or b'""')
                step = Step(data.activity_type.name, title or data.activity_type.name, at)
                track.running[event.event_id] = step
                if not self.console.is_terminal:
                    self._line(track, at, "begins", step.title)
            case "activity_task_started":
                track.running[data.scheduled_event_id].attempt = data.attempt
            case "activity_task_completed":
                answer = _value(data.result.payloads)
                track.answers[track.running[data.scheduled_event_id].type] = answer
                self._end(track, data.scheduled_event_id, at, "done", str(answer.get("note", "")))
            case "activity_task_failed":
                self._end(track, data.scheduled_event_id, at, "failed", _leaf(data.failure))
            case "activity_task_timed_out":
                self._end(track, data.scheduled_event_id, at, "timed out", _leaf(data.failure))
            case "activity_task_canceled":
                self._end(track, data.scheduled_event_id, at, "cancelled", "")
            case _:
                self._take_other(track, kind, data, at)

    def _take_other(self, track: Track, kind: str, data: Any, at: datetime) -> None:
        """What is of the workflow itself, not of one of its steps."""
        match kind:
            case "upsert_workflow_search_attributes":
                state = data.search_attributes.indexed_fields.get(REPLICA_STATE.name)
                if state is not None:
                    track.state = json.loads(state.data)
                    self._line(track, at, "state", track.state, "bold cyan")
            case "workflow_execution_update_accepted":
                self._line(track, at, "update", data.accepted_request.input.name, "bold")
            case "workflow_execution_failed":
                track.ended = _leaf(data.failure)
                self._line(track, at, "failed", track.ended, COLOURS["failed"])
            case (
                "workflow_execution_completed"
                | "workflow_execution_canceled"
                | ("workflow_execution_terminated" | "workflow_execution_timed_out")
            ):
                track.ended = kind.removeprefix("workflow_execution_").replace("_", " ")
                self._line(track, at, "workflow", track.ended, "bold")

    def _end(self, track: Track, number: int, at: datetime, outcome: str, note: str) -> None:
        step = track.running.pop(number)
        tries = f", attempt {step.attempt}" if step.attempt > 1 else ""
        took = f"{(at - step.began) / timedelta(seconds=1):.1f} s{tries}"
        self._line(track, at, outcome, f"{step.title} ({took})", note=note)

    def _line(
        self, track: Track, at: datetime, word: str, text: str, style: str = "", note: str = ""
    ) -> None:
        vm = f"{track.vm:<10} " if len(self.tracks) > 1 else ""
        line = Text.assemble(
            (f"{self._since(at):7.1f} s  ", "dim"),
            (f"{word:<9} ", COLOURS.get(word, "dim")),
            (vm, "magenta"),
            (text, style),
            (f": {note}" if note else "", "dim"),
        )
        self._print(line)

    def _print(self, line: Text) -> None:
        """A terminal wraps between words; in a file a line stays a line."""
        self.console.print(line, soft_wrap=not self.console.is_terminal)

    def _since(self, at: datetime) -> float:
        return (at - (self._began or at)) / timedelta(seconds=1)

    def _running(self) -> RenderableType:
        """The steps that run now; called by the thread that draws."""
        grid = Table.grid(padding=(0, 1))
        now = datetime.now(UTC)
        for track in list(self.tracks):
            for step in list(track.running.values()):
                took = f"{(now - step.began) / timedelta(seconds=1):7.1f} s"
                vm = track.vm if len(self.tracks) > 1 else ""
                grid.add_row(Text(took, "dim"), Spinner("dots"), Text(vm, "magenta"), Text(step.title))
        return grid


def _value(payloads: list[Payload]) -> dict[str, Any]:
    """What a step answered; all answers are JSON objects."""
    value = json.loads(payloads[0].data) if payloads else None
    return value if isinstance(value, dict) else {}


def _leaf(failure: Failure) -> str:
    """The text of the cause, without the wrappers around it."""
    while failure.HasField("cause"):
        failure = failure.cause
    return failure.message
