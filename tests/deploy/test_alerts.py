"""Alert rules and the dashboard, by Prometheus' own tool: they parse, fire when they should, count once."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.commands import output_of, tool
from tests.deploy.monitoring_files import FOLDER, alerts, dashboard, panels

PODS = ("a", "b", "t")
"""Two of the provider's worker and the tenant's: each shows the same gauges."""


def test_alert_rules_hold_and_fire_when_they_should() -> None:
    output_of(tool("promtool"), "check", "rules", "alerts.yaml", folder=FOLDER)
    output_of(tool("promtool"), "test", "rules", "alerts.test.yaml", folder=FOLDER)


def test_every_alert_is_shown_to_fire_and_to_be_silent() -> None:
    shown: dict[bool, set[str]] = {True: set(), False: set()}
    for test in yaml.safe_load((FOLDER / "alerts.test.yaml").read_text())["tests"]:
        for case in test["alert_rule_test"]:
            shown[bool(case["exp_alerts"])].add(case["alertname"])
    assert shown[True] == shown[False] == set(alerts())


def test_everything_that_the_dashboard_asks_for_can_be_read(tmp_path: Path) -> None:
    rules = [{"record": f"panel_{n}", "expr": expression} for n, (_, expression) in enumerate(panels())]
    assert len(rules) >= len(dashboard()["panels"])
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in output_of(tool("promtool"), "check", "rules", file)


def gauge(name: str, value: int, **labels: str) -> list[dict[str, str]]:
    """The same of each process."""
    shown = ",".join(f'{k}="{v}"' for k, v in labels.items())
    return [
        {"series": f'{name}{{namespace="acme",{shown},pod="{pod}"}}', "values": f"{value}x90"} for pod in PODS
    ]


def first(name: str, **labels: str) -> dict[str, str]:
    """A counter of one process that is first seen after an hour, and is 1 then."""
    shown = ",".join(f'{k}="{v}"' for k, v in labels.items())
    return {"series": f'{name}{{namespace="acme",{shown},pod="b"}}', "values": "_x59 1x30"}


ONE_OF_EACH = [
    *gauge("failover_replicas", 1, state="Failover", kind="failover"),
    *gauge("failover_replicas", 0, state="Failover", kind="test"),
    *gauge("failover_replicas", 1, state="Processing", kind="failover"),
    *gauge("failover_replicas", 1, state="FailedFailover", kind="test"),
    *gauge("failover_tunnel_connected", 1, side="provider"),
    *gauge("failover_tunnel_wanted", 1, side="provider"),
    *gauge("failover_exclusions", 1, job="x"),
    *gauge("failover_held_seconds", 1, vm="db", state="Failover", kind="failover"),
    *gauge("failover_pollers", 1, task_queue="provider", kind="activity"),
    first("failover_ended_total", outcome="undone", state="Normal"),
    first("failover_step_failures_total", activity_type="Revert", error_type="Busy", retried="true"),
    first("failover_tests_total", vm="db", result="failed"),
]
ONCE = [
    "In Failover",
    "Under way",
    "FailedFailover",
    "Tunnels up / wanted",
    "Excluded from replication",
    "VMs held, for how long",
    "Worker processes that poll",
    "Failovers ended (24 h)",
    "Attempts that failed, by step and error (1 h)",
    "Failover tests by result (30 d)",
]


@pytest.mark.parametrize("title", ONCE)
def test_what_three_processes_show_is_counted_once_and_the_first_of_all_is_counted(
    tmp_path: Path, title: str
) -> None:
    expressions = [expression for panel, expression in panels() if panel == title]
    assert expressions
    one: list[dict[str, Any]] = [
        {"expr": f"sum({expression})", "eval_time": "62m", "exp_samples": [{"labels": "{}", "value": 1}]}
        for expression in expressions
    ]
    test = {"interval": "1m", "input_series": ONE_OF_EACH, "promql_expr_test": one}
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [], "tests": [test]}))
    output_of(tool("promtool"), "test", "rules", file)


@pytest.mark.parametrize("title", ["Time to power-on (24 h)", "Time to reachable (24 h)"])
def test_the_first_failover_of_a_process_has_its_times(tmp_path: Path, title: str) -> None:
    [half, _] = [expression for panel, expression in panels() if panel == title]
    name = "failover_" + title.removesuffix(" (24 h)").lower().replace(" ", "_").replace("-", "_") + "_bucket"
    buckets = [first(name, le=le) for le in ("10", "+Inf")]
    asked = {"expr": half, "eval_time": "62m", "exp_samples": [{"labels": "{}", "value": 5}]}
    test = {"interval": "1m", "input_series": buckets, "promql_expr_test": [asked]}
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [], "tests": [test]}))
    output_of(tool("promtool"), "test", "rules", file)
