"""What an operator gives to Temporal's own chart."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
REFUSED = {
    "cassandra",
    "elasticsearch",
    "grafana",
    "mysql",
    "postgresql",
    "prometheus",
    "schema.createDatabase",
    "schema.setup",
    "schema.update",
    "server.config.persistence.default",
    "server.config.persistence.visibility",
    "server.internalFrontend",
}
"""Keys with which the chart's line 1 ends in an error, or that it renamed: its template of deprecations
and its notes on upgrading."""


def values() -> dict[str, Any]:
    found = yaml.safe_load((DEPLOY / "temporal" / "values.yaml").read_text())
    assert isinstance(found, dict)
    return found


def paths(data: dict[str, Any], before: str = "") -> Iterator[str]:
    """Every key with the keys above it."""
    for key, value in data.items():
        yield before + key
        if isinstance(value, dict):
            yield from paths(value, f"{before}{key}.")


def test_the_chart_can_be_rendered_with_the_values() -> None:
    assert not set(paths(values())) & REFUSED


def test_the_chart_is_pinned() -> None:
    assert "--version 1." in (DEPLOY / "temporal" / "values.yaml").read_text()


def test_only_tokens_for_temporal_are_let_in_and_databases_are_verified() -> None:
    config = values()["server"]["config"]
    assert config["authorization"]["authorizer"] == config["authorization"]["claimMapper"] == "default"
    assert config["authorization"]["audience"]
    for store in config["persistence"]["datastores"].values():
        assert store["sql"]["tls"]["enableHostVerification"] and "password" not in store["sql"]
