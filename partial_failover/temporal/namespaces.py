"""Tenants' namespaces as the product needs them, on any Temporal server.

Run again and again it changes nothing; after an upgrade of the product it adds what is new. It never
deletes a namespace, a search attribute or a schedule.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.namespace.v1 import NamespaceConfig, UpdateNamespaceInfo
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    DescribeNamespaceResponse,
    RegisterNamespaceRequest,
    UpdateNamespaceRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from partial_failover.contracts.schedule import TestSchedule
from partial_failover.settings import ProviderWorkerSettings
from partial_failover.temporal.client import client_for
from partial_failover.temporal.schedules import put_all
from partial_failover.temporal.search_attributes import REGISTRY

PROOF_KEY = "partial-failover-proof-key"
"""In a namespace's data, which whoever uses it can read and only operators can write."""
COMMAND = "partial-failover operate provision"
SEEN_WITHIN = 30.0
"""Seconds until every node of a Temporal cluster knows a new namespace (it caches them; default 2 s)."""


class NotProvisioned(Exception):
    """A namespace is not ready for the product; the text says what is missing and which command adds it."""


class WrongType(Exception):
    """A search attribute is there with another type; Temporal cannot change that."""


@dataclass(frozen=True)
class Wanted:
    """A tenant's namespace. `retention`: how long ended workflows can be looked up."""

    name: str
    description: str
    retention: timedelta
    proof_key: str | None = None
    """Published in the namespace, for the tenant's worker to compare with what it believes."""
    schedules: Mapping[str, TestSchedule] = field(default_factory=dict)


def wanted(settings: ProviderWorkerSettings) -> tuple[Wanted, ...]:
    """One namespace for each tenant of the configuration."""
    return tuple(
        Wanted(
            name=t.namespace,
            description=f"Partial failover of {t.organization}, {t.vdc}",
            retention=settings.retention,
            proof_key=settings.proof_key.public,
            schedules=t.schedules,
        )
        for t in settings.tenants
    )


async def provision(client: Client, namespaces: Sequence[Wanted], dry_run: bool = False) -> list[str]:
    """Create and update them; what was changed, or with `dry_run` would be, in sentences."""
    changes: list[str] = []
    for namespace in namespaces:
        changes += await _namespace(client, namespace, dry_run)
        changes += await _search_attributes(client, namespace.name, dry_run)
        own = client_for(client, namespace.name)
        changes += await put_all(own, namespace.schedules, dry_run)
    return changes


async def missing(client: Client, namespace: str) -> list[str]:
    """What a namespace lacks; empty when the product can run in it. Changes nothing."""
    known = await _known(client, namespace)
    if known is None:
        return ["the namespace itself"]
    return sorted(f"search attribute {name}" for name in set(REGISTRY) - set(known))


async def require_provisioned(client: Client, namespace: str) -> None:
    """Raises `NotProvisioned`: a workflow that sets an unknown search attribute hangs without a word."""
    lacks = await missing(client, namespace)
    if lacks:
        raise NotProvisioned(
            f"Namespace {namespace} is not provisioned: it lacks {', '.join(lacks)}. "
            f"Run {COMMAND} with the provider's configuration file"
        )


async def proof_key_of(client: Client, namespace: str) -> str | None:
    """The provider's public key, as it was published there; None where it was not."""
    existing = await _describe(client, namespace)
    return existing.namespace_info.data.get(PROOF_KEY) if existing else None


async def _namespace(client: Client, wanted: Wanted, dry_run: bool) -> list[str]:
    existing = await _describe(client, wanted.name)
    retention = Duration()
    retention.FromTimedelta(wanted.retention)
    data = {PROOF_KEY: wanted.proof_key} if wanted.proof_key else {}
    if existing is None:
        if not dry_run:
            request = RegisterNamespaceRequest(
                namespace=wanted.name,
                description=wanted.description,
                workflow_execution_retention_period=retention,
                data=data,
            )
            await client.workflow_service.register_namespace(request, retry=True)
            await _until_known(client, wanted.name)
        return [f"{wanted.name}: namespace created, retention {wanted.retention.days} days"]
    changes = []
    if existing.namespace_info.description != wanted.description:
        changes.append(f'{wanted.name}: description set to "{wanted.description}"')
    if existing.config.workflow_execution_retention_ttl.ToTimedelta() != wanted.retention:
        changes.append(f"{wanted.name}: retention set to {wanted.retention.days} days")
    if data and existing.namespace_info.data.get(PROOF_KEY) != wanted.proof_key:
        changes.append(f"{wanted.name}: the provider's proof key published")
    if changes and not dry_run:
        update = UpdateNamespaceRequest(
            namespace=wanted.name,
            update_info=UpdateNamespaceInfo(description=wanted.description, data=data),
            config=NamespaceConfig(workflow_execution_retention_ttl=retention),
        )
        await client.workflow_service.update_namespace(update, retry=True)
    return changes


async def _search_attributes(client: Client, namespace: str, dry_run: bool) -> list[str]:
    known = await _known(client, namespace) or {}
    types = {name: IndexedValueType.Value(_constant(kind)) for name, kind in REGISTRY.items()}
    for name in set(types) & set(known):
        if known[name] != types[name]:
            raise WrongType(
                f"Namespace {namespace} has the search attribute {name} with another type than "
                f"{REGISTRY[name]}. Temporal cannot change that: give the tenant another namespace"
            )
    new = {name: kind for name, kind in types.items() if name not in known}
    if new and not dry_run:
        request = AddSearchAttributesRequest(namespace=namespace, search_attributes=new)
        await client.operator_service.add_search_attributes(request, retry=True)
        await _until_known(client, namespace, set(new))
    return [f"{namespace}: search attribute {name} added" for name in sorted(new)]


async def _describe(client: Client, namespace: str) -> DescribeNamespaceResponse | None:
    try:
        return await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=namespace))
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise


async def _known(client: Client, namespace: str) -> dict[str, int] | None:
    """Search attributes with their types; None where there is no such namespace."""
    try:
        answer = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=namespace)
        )
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
    return dict(answer.custom_attributes)


async def _until_known(client: Client, namespace: str, names: set[str] | None = None) -> None:
    end = monotonic() + SEEN_WITHIN
    while True:
        known = await _known(client, namespace)
        if known is not None and (names or set()) <= set(known):
            return
        if monotonic() > end:
            raise TimeoutError(f"Namespace {namespace} was changed, but the server does not show it yet")
        await asyncio.sleep(0.2)


def _constant(kind: str) -> str:
    """ "KeywordList" to "INDEXED_VALUE_TYPE_KEYWORD_LIST"."""
    words = "".join(f"_{c}" if c.isupper() else c for c in kind).upper()
    return f"INDEXED_VALUE_TYPE{words}"
