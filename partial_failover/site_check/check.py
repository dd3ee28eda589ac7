"""`partial-failover worker config.yaml --check`: looks at all that a worker needs, and changes nothing."""

from collections.abc import Awaitable, Callable

from temporalio.client import Client
from temporalio.service import RPCError

from partial_failover.contracts.errors import Misconfigured
from partial_failover.settings import ProviderWorkerSettings, WorkerSettings
from partial_failover.site_check.findings import Doubtful, Finding, Findings, table
from partial_failover.site_check.provider import check_provider
from partial_failover.site_check.tenant_site import check_tenant_site
from partial_failover.temporal.client import connect
from partial_failover.temporal.namespaces import (
    COMMAND,
    NotProvisioned,
    proof_key_of,
    require_provisioned,
)

__all__ = ["check", "table"]


async def check(settings: WorkerSettings, prove_hold: str = "") -> list[Finding]:
    """For every tenant of the configuration: Temporal, and all systems that the role uses. `prove_hold`: a VM
    on which a hold is tried for real; raises `Misconfigured` where that cannot be meant."""
    if prove_hold and (isinstance(settings, ProviderWorkerSettings) or len(settings.tenants) > 1):
        raise Misconfigured(
            "A hold is proven at one tenant's site",
            left="Nothing was looked at",
            do="Give the file of a tenant-site worker with that one tenant",
        )
    findings = Findings()
    await _temporal(findings, settings)
    if isinstance(settings, ProviderWorkerSettings):
        await check_provider(findings, settings)
    else:
        await check_tenant_site(findings, settings, prove_hold)
    return findings.all


async def _temporal(findings: Findings, settings: WorkerSettings) -> None:
    clients: list[Client] = []

    async def reach() -> str:
        client = await connect(settings.temporal)
        clients.append(client)
        return f"connected to {client.service_client.config.target_host} as {client.identity}"

    await findings.look("", "Temporal", _in_words(reach))
    known = _known_keys(settings)
    for namespace in (t.namespace for t in settings.tenants):
        if clients:
            await findings.look(namespace, "namespace", _in_words(_provisioned(clients[0], namespace)))
            await findings.look(namespace, "proof key", _in_words(_key_fits(clients[0], namespace, known)))
        else:
            findings.skip(namespace, ["namespace", "proof key"], "Temporal was not reached")


def _known_keys(settings: WorkerSettings) -> tuple[str, ...]:
    if isinstance(settings, ProviderWorkerSettings):
        return (settings.proof_key.public,)
    return settings.proof_keys


def _key_fits(client: Client, namespace: str, known: tuple[str, ...]) -> Callable[[], Awaitable[str]]:
    """What the provider signs with must be believed at the tenant's site, or undo releases no replication."""

    async def ask() -> str:
        published = await proof_key_of(client, namespace)
        if published is None:
            raise Doubtful(f"The provider's is not published in the namespace; {COMMAND} does it")
        if published not in known:
            raise RuntimeError(
                f"The namespace has another key than these settings: {published}. Where that is the "
                f"provider's new one, add it under proof_keys; where the settings are right, {COMMAND} "
                "publishes it"
            )
        return "the one that the provider signs with"

    return ask


def _provisioned(client: Client, namespace: str) -> Callable[[], Awaitable[str]]:
    async def ask() -> str:
        await require_provisioned(client, namespace)
        return "provisioned"

    return ask


def _in_words(ask: Callable[[], Awaitable[str]]) -> Callable[[], Awaitable[str]]:
    """Temporal's own errors as sentences."""

    async def asked() -> str:
        try:
            return await ask()
        except NotProvisioned as error:
            raise RuntimeError(str(error)) from error
        except RPCError as error:
            raise RuntimeError(f"Temporal answered {error.status.name}: {error.message[:300]}") from error

    return asked
