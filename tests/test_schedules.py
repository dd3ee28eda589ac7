"""The schedules' file: what is refused, with the field's name, before anything is sent."""

import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.client import ScheduleActionStartWorkflow, ScheduleOverlapPolicy

from partial_failover.cli.schedules import load
from partial_failover.temporal.schedules import BadSchedules, schedule_of

MANUAL = Path(__file__).parent.parent / "docs" / "failover-tests.md"
GOOD = """
namespace: acme
schedules:
  erp-nightly:
    cron: ["0 3 * * *"]
    period: 1d
    time_zone: Europe/Berlin
    jitter: 1h
    note: the ERP's database
    test:
      vms: [erp-db-01]
      checks: [heartbeat, {check: tcp, port: 5432, timeout: 2m}]
      deadline: 20m
      rpo: 24h
  site-weekly:
    every: 7d
    test: {parallel: 3}
"""


def written(folder: Path, text: str) -> Path:
    """The file."""
    file = folder / "schedules.yaml"
    file.write_text(text)
    return file


def test_a_good_file(tmp_path: Path) -> None:
    found = load(written(tmp_path, GOOD))
    nightly = found.schedules["erp-nightly"]
    schedule = schedule_of("erp-nightly", nightly)
    assert schedule.policy.overlap is ScheduleOverlapPolicy.SKIP and schedule.policy.pause_on_failure
    assert schedule.spec.jitter == timedelta(hours=1) and schedule.spec.time_zone_name == "Europe/Berlin"
    assert isinstance(schedule.action, ScheduleActionStartWorkflow)
    assert (schedule.action.workflow, schedule.action.id) == ("FailoverTest", "failover-test-erp-nightly")
    assert nightly.request.period == timedelta(days=1, hours=1, minutes=20)
    assert found.schedules["site-weekly"].request.period == timedelta(days=7, minutes=60)


def test_the_file_of_the_manual_loads(tmp_path: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", MANUAL.read_text(), re.DOTALL)
    (block,) = [b for b in blocks if b.startswith("namespace:")]
    assert set(load(written(tmp_path, block)).schedules) == {"erp-nightly", "site-weekly"}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("every: 7d", "every: 1s", "site-weekly.every"),
        ("every: 7d", "jitter: 1h", "exactly one of every and cron"),
        ("    period: 1d\n", "", "cron needs period"),
        ("vms: [erp-db-01]", "vm: erp-db-01", "erp-nightly.test.vm"),
        ("port: 5432", "port: 0", "port"),
        ("  erp-nightly:", "  ../erp:", "schedules"),
        ("namespace: acme", "name: acme", "namespace"),
        ("schedules:", "schedules: [", "is not YAML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in GOOD
    with pytest.raises(BadSchedules) as caught:
        load(written(tmp_path, GOOD.replace(old, new, 1)))
    assert says in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"namespace: caf\xe9")
    with pytest.raises(BadSchedules, match="UTF-8"):
        load(tmp_path / "latin.yaml")
    with pytest.raises(BadSchedules, match="cannot be read"):
        load(tmp_path / "none.yaml")


@pytest.mark.parametrize("program", ["schedules", "report"])
def test_a_server_that_does_not_answer_is_named(tmp_path: Path, program: str) -> None:
    words = {"schedules": [str(written(tmp_path, GOOD))], "report": ["--namespace", "acme", "any"]}[program]
    done = subprocess.run(
        [sys.executable, "-m", "partial_failover", program, *words],
        cwd=MANUAL.parent.parent,
        env={**os.environ, "TEMPORAL_ADDRESS": "127.0.0.1:1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and "Temporal at 127.0.0.1:1 " in done.stderr
    assert "Traceback" not in done.stderr
