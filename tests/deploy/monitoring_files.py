"""What `deploy/monitoring/` holds, as the tests look at it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any  # Any: what JSON and YAML hold

import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "monitoring"
ANY_TENANT, ANY_INTERVAL = ".*", "5m"


def alerts() -> dict[str, str]:
    """Expressions by the alert's name."""
    [group] = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    return {rule["alert"]: rule["expr"] for rule in group["rules"]}


def dashboard() -> dict[str, Any]:
    """As Grafana reads it."""
    found: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())
    return found


def panels() -> Iterator[tuple[str, str]]:
    """Title and expression of everything that the dashboard asks for, with its variables filled in."""
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            expression = target["expr"].replace("$tenant", ANY_TENANT)
            yield panel["title"], expression.replace("$__rate_interval", ANY_INTERVAL)
