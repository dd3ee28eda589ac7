"""The page of evidence: whole, self-contained, and deaf to whatever names and answers hold."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from lxml import html

from partial_failover.contracts.check import CheckOutcome, CheckResult
from partial_failover.contracts.duration_text import duration_text
from partial_failover.contracts.failover_test import (
    FailoverTestReport,
    Target,
    TestNetwork,
    TestRecord,
    TestRecords,
    TestResult,
    VmTestReport,
    against,
)
from partial_failover.contracts.replica import ReplicaState, RestorePoint
from partial_failover.contracts.step import StepName, StepRecord
from partial_failover.contracts.version import VERSION
from partial_failover.reports import page

BEGAN = datetime(2026, 11, 22, 3, tzinfo=UTC)
HOSTILE = '</td></svg><script>alert(1)</script><img src=x onerror="y"> & "q" \x00\x07 ü ]]>'


def steps(text: str) -> tuple[StepRecord, ...]:
    """One done and two failed, each a second after the one before."""
    outcomes = (
        (StepName.HOLD_REPLICATION, "done"),
        (StepName.REVERT_SNAPSHOT, "failed"),
        (StepName.CHECK_GUEST, "fail"),
    )
    return tuple(
        StepRecord(
            step=step,
            title=f"{step} {text}",
            started=BEGAN + timedelta(seconds=n),
            seconds=1.5,
            outcome=outcome,
            note=text,
        )
        for n, (step, outcome) in enumerate(outcomes)
    )


def vm_report(text: str) -> VmTestReport:
    """Failed, with a text in every place that another system or a person can fill."""
    return VmTestReport(
        vm=text,
        replica=text,
        result=TestResult.FAILED,
        said=text,
        workflow_id=text,
        run_id="run",
        version=VERSION,
        network=TestNetwork.ISOLATED,
        isolation=text,
        started=BEGAN,
        ended=BEGAN + timedelta(seconds=10),
        state=ReplicaState.NORMAL,
        restore_point=RestorePoint(id="snapshot-1", number=1, name=text, created=BEGAN - timedelta(days=2)),
        rpo=against(172800, timedelta(days=1)),
        rto=Target(measured_s=None, target_s=60),
        checks=(CheckResult(what=text, outcome=CheckOutcome.FAIL, reason=text, after_s=3),),
        steps=steps(text),
        warnings=(text,),
        left_over=(text,),
    )


def report(text: str = "plain") -> FailoverTestReport:
    """A test of one VM."""
    return FailoverTestReport(
        result=TestResult.FAILED,
        said=text,
        workflow_id=text,
        run_id="run",
        version=VERSION,
        started=BEGAN,
        ended=BEGAN + timedelta(seconds=10),
        vms=(vm_report(text),),
    )


def parsed(text: str = "plain") -> Any:  # Any: lxml's results of XPath have many types
    """The page as a browser reads it."""
    return html.fromstring(page(report(text)))


def test_everything_that_an_auditor_asks_is_on_it() -> None:
    shown = parsed().text_content()
    for text in ("2026-11-22 03:00:00 UTC", "snapshot-1", "2 d, target 1 d: missed", VERSION, "run"):
        assert text in shown
    assert "not measured, target 1 min: not measured" in shown


def test_each_step_is_a_bar_where_it_belongs() -> None:
    bars = parsed().xpath("//rect")
    places = [(float(b.get("x")), float(b.get("width"))) for b in bars]
    assert len(bars) == 3
    assert places[1][0] - places[0][0] == pytest.approx(places[0][1] / 1.5, abs=0.2)
    assert [b.get("fill") for b in bars] == ["#2e7d32", "#c62828", "#c62828"]


def test_nothing_is_said_of_what_nobody_knows() -> None:
    """A test that was ended from outside has told nothing of its replica."""
    lost = vm_report("plain").model_copy(
        update={"run_id": "", "restore_point": None, "isolation": "", "steps": (), "checks": ()}
    )
    shown = page(report().model_copy(update={"vms": (lost,)}))
    assert "it was not powered on" not in shown and "none was used" not in shown
    assert shown.count(">not known<") == 2


def test_a_time_that_was_not_asked_for_is_not_missing() -> None:
    assert "not asked for" in parsed().text_content()
    passed = CheckResult(what="guest heartbeat", outcome=CheckOutcome.PASS, reason="green", after_s=3)
    asked = vm_report("plain").model_copy(update={"checks": (passed,), "time_to_heartbeat_s": 7.0})
    shown = page(report().model_copy(update={"vms": (asked,)}))
    assert "7.0 s" in shown and "not asked for" not in shown


def test_a_long_test_is_drawn_over_minutes_and_tells_of_attempts() -> None:
    long = vm_report("plain")
    step = long.steps[0].model_copy(update={"seconds": 1500.0, "attempts": 2, "title": "x" * 200})
    long = long.model_copy(update={"steps": (step,), "ended": BEGAN + timedelta(minutes=40)})
    drawn = page(report().model_copy(update={"vms": (long,)}))
    texts = [element.text or "" for element in html.fromstring(drawn).iter("text")]
    assert {"0.0 min", "40.0 min", "25 min"} <= set(texts)
    assert max(len(text) for text in texts) <= 46
    assert "done, attempt 2" in drawn


@pytest.mark.parametrize(
    ("seconds", "says"),
    [(0.04, "0 s"), (1, "1 s"), (2.5, "2.5 s"), (59.4, "59 s"), (60, "1 min"), (3725, "1 h 2 min")],
)
def test_durations_are_words(seconds: float, says: str) -> None:
    assert duration_text(timedelta(seconds=seconds)) == says


def test_hostile_texts_stay_texts() -> None:
    quiet, loud = parsed(), parsed(HOSTILE)
    assert [e.tag for e in loud.iter()] == [e.tag for e in quiet.iter()]
    assert '</td></svg><script>alert(1)</script><img src=x onerror="y">' in loud.text_content()


def test_it_loads_nothing_from_elsewhere() -> None:
    document = parsed(HOSTILE)
    assert not document.xpath("//script | //link | //img | //iframe | //@src | //@href")
    assert not [a for e in document.iter() for a in e.attrib if a.startswith("on")]
    (policy,) = document.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    assert policy.startswith("default-src 'none'")


def test_the_version_is_that_of_the_project() -> None:
    project = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text()
    assert re.search(r'^version = "(.+)"$', project, re.M)[1] == VERSION  # type: ignore[index]


def test_records_stay_small_and_a_repeated_one_is_kept_once() -> None:
    records = TestRecords()
    for day in range(9):
        record = TestRecord(
            at=BEGAN + timedelta(days=day, microseconds=123456),
            result=TestResult.SKIPPED,
            said="ü" * 80,
            workflow_id="w" * 80,
            period_s=99999999,
        )
        records = records.with_new(record).with_new(record)
    assert [r.at.day for r in records.tests] == [30, 29, 28]
    assert len(records.model_dump_json(exclude_defaults=True)) < 1000
