"""The worker: `python -m worker config.yaml`. One process serves one role for many tenants.

With `--check` it looks at everything that it would need, changes nothing, and says what it found.

The Temporal server is found by Temporal's own environment configuration (`TEMPORAL_ADDRESS`, TLS, API
key, profiles); everything else is in the YAML file.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import BoundedSemaphore

from temporalio.client import Client
from temporalio.runtime import Runtime
from temporalio.service import RPCError
from temporalio.worker import Worker

from activities.provider import test_records
from activities.provider.check_guest import CheckGuest
from activities.provider.configure_proxy_arp import ProviderProxyArp
from activities.provider.confirm_normal import ConfirmNormal
from activities.provider.connect_networks import ConnectNetworks
from activities.provider.inspect_replicas import InspectReplicas
from activities.provider.isolate_replica import IsolateReplica
from activities.provider.mark_replica import MarkReplica
from activities.provider.plan_failover import PlanFailover
from activities.provider.power_appliance import PowerProviderAppliance
from activities.provider.power_replica import PowerReplica
from activities.provider.record_test import RecordTest
from activities.provider.revert_snapshot import RevertSnapshot
from activities.provider.start_vpn_server import VpnServer
from activities.provider.tenant import ProviderTenant
from activities.shared.fence import Fence
from activities.shared.steps import Activities
from activities.tenant_site.check_tenant_site import CheckTenantSite
from activities.tenant_site.configure_proxy_arp import TenantProxyArp
from activities.tenant_site.hold_replication import HoldReplication
from activities.tenant_site.power_appliance import PowerTenantAppliance
from activities.tenant_site.release_replication import ReleaseReplication
from activities.tenant_site.site import Site
from activities.tenant_site.start_vpn_client import VpnClient
from activities.tenant_site.verify_connectivity import VerifyConnectivity
from activities.tenant_site.watch_failover import WatchFailover
from partial_failover.connectors import factories
from partial_failover.contracts.errors import FailoverError, Misconfigured
from partial_failover.contracts.queues import PROVIDER, TENANT_SITE, TENANT_SITE_WATCH
from partial_failover.contracts.version import VERSION
from partial_failover.monitoring import logs
from partial_failover.monitoring.failover_test_metrics import FailoverTestMetrics
from partial_failover.monitoring.health import Health
from partial_failover.monitoring.step_metrics import StepMonitor
from partial_failover.monitoring.tenant_monitor import Tenant, TenantMonitor
from partial_failover.process import lifecycle
from partial_failover.process.worker_group import GRACE, WorkerGroup
from partial_failover.settings import (
    BadSettings,
    ProviderWorkerSettings,
    TenantSiteSettings,
    TenantSiteWorkerSettings,
    WorkerSettings,
    load,
)
from partial_failover.site_check.check import check, table
from partial_failover.temporal.client import client_for, connect
from partial_failover.temporal.interceptors import ErrorInterceptor
from partial_failover.temporal.namespaces import NotProvisioned, require_provisioned
from workflows.check_readiness import CheckReadiness
from workflows.failover_test import FailoverTest
from workflows.list_replicas import ListReplicas
from workflows.lock import ReplicaLock
from workflows.partial_failover import PartialFailover
from workflows.vm_failover_test import VmFailoverTest

log = logging.getLogger("worker")

WORKFLOWS = [PartialFailover, FailoverTest, VmFailoverTest, ListReplicas, CheckReadiness, ReplicaLock]
MOST_WATCHED = 1000
"""Failovers of one tenant that are watched at the same time. They wait, without a thread."""

PROVIDER_STEPS = (
    PlanFailover,
    InspectReplicas,
    MarkReplica,
    RevertSnapshot,
    PowerReplica,
    ConfirmNormal,
    ConnectNetworks,
    PowerProviderAppliance,
    VpnServer,
    ProviderProxyArp,
    IsolateReplica,
    CheckGuest,
    RecordTest,
)
TENANT_SITE_STEPS = (
    CheckTenantSite,
    HoldReplication,
    ReleaseReplication,
    PowerTenantAppliance,
    VpnClient,
    TenantProxyArp,
    VerifyConnectivity,
)


def provider_activities(tenant: ProviderTenant) -> Activities:
    """All steps of the role `provider`, for one tenant."""
    return [step for group in PROVIDER_STEPS for step in group(tenant).activities(PROVIDER)]


def tenant_site_activities(site: Site) -> Activities:
    """All steps of the role `tenant-site`, for one tenant."""
    return [step for group in TENANT_SITE_STEPS for step in group(site).activities(TENANT_SITE)]


def watch_activities(site: Site) -> Activities:
    """The one long look at each failover of a tenant."""
    return WatchFailover(site).activities(TENANT_SITE_WATCH)


class Process:
    """Everything that one process holds: a connection to Temporal, connectors, and a Worker a tenant."""

    def __init__(self, base: Client, threads: int) -> None:
        self.base = base
        self._executor = ThreadPoolExecutor(threads, "step")
        self._workflow_executor = ThreadPoolExecutor(16, "workflow")
        self._threads = threads
        self.steps = StepMonitor()
        self.watched: list[Tenant] = []
        self.workers: list[Worker] = []
        self.close: list[Callable[[], object]] = []

    def provider(self, settings: ProviderWorkerSettings) -> None:
        """Role `provider`: one session to Cloud Director and to each vCenter serves all tenants."""
        cloud = factories.cloud_director(settings.cloud_director)
        vcenters = {v.id: factories.vsphere(v) for v in settings.vcenters}
        turns = {v.id: BoundedSemaphore(v.operations) for v in settings.vcenters}
        self.close += [cloud.close, *(v.close for v in vcenters.values())]
        for tenant in settings.tenants:
            client = self._client(tenant.namespace)
            fence = Fence(client, asyncio.get_running_loop())
            extension = factories.appliance(tenant.appliance, settings.appliance_key)
            vdc = cloud.organization_vdc(tenant.organization, tenant.vdc)
            theirs = ProviderTenant(tenant, vdc, vcenters, extension, fence, turns)
            self._add(client, PROVIDER, provider_activities(theirs), self._threads, WORKFLOWS)
            tunnel = extension.status if extension else None
            records = partial(test_records.replicas, theirs), partial(test_records.kept, theirs)
            self.watched.append(
                Tenant(client, PROVIDER, tunnel, tested=FailoverTestMetrics(client, *records))
            )

    def tenant_site(self, settings: TenantSiteWorkerSettings) -> None:
        """Role `tenant-site`: each tenant has a backup server, a vCenter and maybe an appliance."""
        for tenant in settings.tenants:
            client = self._client(tenant.namespace)
            site = self._site(settings, tenant, Fence(client, asyncio.get_running_loop()))
            self._add(client, TENANT_SITE, tenant_site_activities(site), self._threads)
            self._add(client, TENANT_SITE_WATCH, watch_activities(site), MOST_WATCHED)
            tunnel = site.appliance.status if tenant.appliance else None
            self.watched.append(Tenant(client, TENANT_SITE, tunnel, site.backup.holds))

    def _site(self, settings: TenantSiteWorkerSettings, tenant: TenantSiteSettings, fence: Fence) -> Site:
        backup = factories.backup_server(tenant.backup_server)
        vcenter = factories.vsphere(tenant.vcenter)
        self.close += [vcenter.close, backup.close]
        extension = factories.appliance(tenant.appliance, settings.appliance_key)
        return Site(tenant, backup, vcenter, extension, fence)

    def _client(self, namespace: str) -> Client:
        return client_for(self.base, namespace)

    def _add(
        self, client: Client, queue: str, activities: Activities, at_once: int, workflows: Sequence[type] = ()
    ) -> None:
        self.steps.clients[client.namespace] = client
        self.workers.append(
            Worker(
                client,
                task_queue=queue,
                workflows=workflows,
                activities=activities,
                activity_executor=self._executor if at_once <= self._threads else None,  # all of it async
                workflow_task_executor=self._workflow_executor,
                max_concurrent_activities=at_once,
                max_heartbeat_throttle_interval=timedelta(seconds=5),
                graceful_shutdown_timeout=GRACE,
                build_id=VERSION,
                interceptors=[self.steps, ErrorInterceptor()],
            )
        )


async def serve(settings: WorkerSettings) -> int:
    """Run until SIGTERM or SIGINT, then let running steps come to a place where they can stop.

    Returns the exit code: 1 when a worker failed for good, else 0.
    """
    logs.serves([tenant.namespace for tenant in settings.tenants])
    base = await connect(settings.temporal, settings.metrics_address)
    for tenant in settings.tenants:
        await require_provisioned(base, tenant.namespace)
    process = Process(base, settings.threads)
    if isinstance(settings, ProviderWorkerSettings):
        process.provider(settings)
    else:
        process.tenant_site(settings)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with _watched(process, settings) as health:
        workers = WorkerGroup(process.workers, process.steps)
        names = ", ".join(t.namespace for t in settings.tenants)
        log.info("role %s serves %s", settings.role, names)
        code = await workers.work(stop)
        lifecycle.end_after(lifecycle.ENDS_WITHIN, code)
        if health is not None:
            health.stopping = True
        await workers.stop()
    await lifecycle.close(process.close)
    return code


@asynccontextmanager
async def _watched(process: Process, settings: WorkerSettings) -> AsyncIterator[Health | None]:
    """Health and the tenants' metrics, where an address for them is configured."""
    if settings.health_address is None and settings.metrics_address is None:
        yield None
        return
    meter = process.base.service_client.config.runtime or Runtime.default()
    watch = TenantMonitor(process.watched, meter.metric_meter, outside=settings.metrics_address is not None)
    health = Health(settings.health_address, watch, process.steps) if settings.health_address else None
    task = asyncio.create_task(watch.run())
    try:
        yield health
    finally:
        task.cancel()
        if health is not None:
            health.close()


def main() -> int:
    """Exit code 2: the settings or the namespaces are not in order; 1: something that it needs does not
    answer, and nothing was started, or a worker failed for good. With `--check`, 1: something was found that
    would stand in the way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="YAML file; config.example.yaml explains every setting")
    parser.add_argument("--check", action="store_true", help="look at everything it needs, and end")
    arguments = parser.parse_args()
    logs.configure(logging.ERROR if arguments.check else logging.INFO)
    try:
        settings = load(arguments.config)
        if arguments.check:
            findings = asyncio.run(check(settings))
            sys.stdout.write(table(findings))
            return int(any(not f.good for f in findings))
        return lifecycle.run(serve(settings))
    except (BadSettings, NotProvisioned, Misconfigured) as error:
        return _refused(str(error), 2, arguments.check)
    except (FailoverError, OSError) as error:
        return _refused(str(error), 1, arguments.check)
    except RPCError as error:
        said = f"Temporal answered {error.status.name}: {error.message[:300]}. Check the worker's token"
        return _refused(said, 1, arguments.check)
    except Exception:
        log.exception("ended by an error of its own")
        return 1


def _refused(said: str, code: int, to_a_person: bool) -> int:
    """A service's every line is JSON; a person reads the words."""
    if to_a_person or sys.stderr.isatty():
        sys.stderr.write(f"{said}\n")
    else:
        log.error("%s", said)
    return code


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    # A thread that is held up in a call would keep the interpreter, and the SDK's native threads can crash
    # one that is being torn down; all work is done here.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
