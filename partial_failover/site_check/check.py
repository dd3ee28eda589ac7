"""`partial-failover worker config.yaml --check`: looks at all that a worker needs, and changes nothing."""

from collections.abc import Awaitable, Callable

from temporalio.client import Client
from temporalio.service import RPCError

from partial_failover.contracts.errors import Misconfigured
from partial_failover.settings import ProviderWorkerSettings, TemporalSettings, WorkerSettings
from partial_failover.site_check.findings import Finding, Findings, table
from partial_failover.site_check.provider import check_provider
from partial_failover.site_check.tenant_site import check_tenant_site
from partial_failover.temporal.client import connect
from partial_failover.temporal.namespaces import NotProvisioned, require_provisioned

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
    await _temporal(findings, settings.temporal, [t.namespace for t in settings.tenants])
    if isinstance(settings, ProviderWorkerSettings):
        await check_provider(findings, settings)
    else:
        await check_tenant_site(findings, settings, prove_hold)
    return findings.all


async def _temporal(findings: Findings, settings: TemporalSettings, namespaces: list[str]) -> None:
    clients: list[Client] = []

    async def reach() -> str:
        client = await connect(settings)
        clients.append(client)
        return f"connected to {client.service_client.config.target_host} as {client.identity}"

    await findings.look("", "Temporal", _in_words(reach))
    for namespace in namespaces:
        if clients:
            await findings.look(namespace, "namespace", _in_words(_provisioned(clients[0], namespace)))
        else:
            findings.skip(namespace, ["namespace"], "Temporal was not reached")


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
