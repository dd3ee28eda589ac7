"""What must fit together in the file.

It is looked at as YAML gave it and not as models: those exist only when every single value is right, and
then a contradiction would be said only after all else is repaired.
"""

from collections.abc import Iterator, Mapping
from typing import Any  # Any: what YAML holds

from partial_failover.contracts.plan import Extension

Problem = tuple[str, str]
"""Path, and what is wrong there."""
Part = tuple[str, Mapping[str, Any]]
"""Path, and the settings there."""


def contradictions(data: Any) -> list[Problem]:
    """Everything in the file that does not fit to something else in it."""
    if not isinstance(data, dict):
        return []
    tenants = _entries(data, "tenants")
    appliances = _each(tenants, "appliance")
    problems = [
        *_twice(tenants, "namespace", why="each tenant has its own"),
        *_twice(appliances, "host", "port", why="each tenant has its own", port=22),
        *_key(data, appliances),
        *_one_address(data),
        *_one_port(data),
    ]
    if data.get("role") == "provider":
        problems += [
            *_twice(tenants, "organization", "vdc", why="a replica would be failed over in two namespaces"),
            *_twice(_each(tenants, "gateway"), "host", "port", why="each tenant has a port of its own"),
            *_twice(_entries(data, "vcenters"), "id", why="each vCenter has its own"),
            *(problem for tenant in tenants for problem in _extension(*tenant)),
        ]
    return problems


def _extension(path: str, tenant: Mapping[str, Any]) -> Iterator[Problem]:
    """Which of the settings of appliances belong together."""
    extension = tenant.get("extension", Extension.NONE)
    appliance, gateway = tenant.get("appliance"), tenant.get("gateway")
    if extension == Extension.APPLIANCE:
        if gateway is None:
            yield f"{path}.gateway", 'is needed with extension "appliance": the tenant\'s end dials it'
        if appliance is None and tenant.get("peer_fingerprint") is None:
            yield (
                f"{path}.peer_fingerprint",
                "is needed where the provider has no appliance: it says whom the tenant's end trusts",
            )
    elif extension in list(Extension) and appliance is not None:
        yield f"{path}.appliance", 'is set, but extension is not "appliance"'


def _key(data: Mapping[str, Any], appliances: list[Part]) -> Iterator[Problem]:
    if appliances and data.get("appliance_key") is None:
        yield "appliance_key", f"is needed: {appliances[0][0]} is set"


def _one_address(data: Mapping[str, Any]) -> Iterator[Problem]:
    if data.get("health_address") is not None and data["health_address"] == data.get("metrics_address"):
        yield "health_address", "is also metrics_address"


def _one_port(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Of the gate: people and workers are told apart by it."""
    gate = data.get("gate")
    if isinstance(gate, dict) and gate.get("people_port", 7233) == gate.get("workers_port", 7234):
        yield "gate.workers_port", "is also people_port"


def _twice(parts: list[Part], *names: str, why: str, **defaults: object) -> Iterator[Problem]:
    """Parts that have the same values under these names. What is missing is said elsewhere."""
    first: dict[tuple[str, ...], str] = {}
    for path, part in parts:
        values = [part.get(name, defaults.get(name)) for name in names]
        if None in values:
            continue
        key = tuple(map(str, values))
        if key in first:
            yield f"{path}.{names[-1]}", f"{':'.join(key)} is also in {first[key]}; {why}"
        first.setdefault(key, path)


def _entries(data: Mapping[str, Any], name: str) -> list[Part]:
    listed = data.get(name)
    values = listed if isinstance(listed, list) else []
    return [(f"{name}.{n}", value) for n, value in enumerate(values) if isinstance(value, dict)]


def _each(parts: list[Part], name: str) -> list[Part]:
    return [(f"{path}.{name}", part[name]) for path, part in parts if isinstance(part.get(name), dict)]
