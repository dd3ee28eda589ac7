"""The worker: `partial-failover worker config.yaml`. One process serves one role for many tenants.

With `--check` it looks at everything that it would need, changes nothing, and says what it found.

The Temporal server is found by Temporal's own environment configuration (`TEMPORAL_ADDRESS`, TLS, API
key, profiles); everything else is in the YAML file.
"""

import argparse
import asyncio
from functools import partial
from pathlib import Path

from activities.provider import failover_test_records
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
from activities.provider.tenant import ProviderTenant, VCenter
from activities.provider.watch_replica import WatchReplica
from activities.shared.fence import Fence
from activities.shared.proof import ProofKey
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
from partial_failover import factories
from partial_failover.contracts.queues import PROVIDER, PROVIDER_WATCH, TENANT_SITE, TENANT_SITE_WATCH
from partial_failover.monitoring.failover_test_metrics import FailoverTestMetrics
from partial_failover.monitoring.tenant_monitor import Tenant
from partial_failover.process import lifecycle
from partial_failover.process.process import Process
from partial_failover.process.run import run
from partial_failover.settings import (
    ProviderWorkerSettings,
    TenantSiteWorkerSettings,
    WorkerSettings,
)
from workflows.check_readiness import CheckReadiness
from workflows.failover_test import FailoverTest
from workflows.list_replicas import ListReplicas
from workflows.lock import ReplicaLock
from workflows.partial_failover import PartialFailover
from workflows.vm_failover_test import VmFailoverTest

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


def provider_watch_activities(tenant: ProviderTenant) -> Activities:
    """The one long look at each replica of a tenant that is in Failover."""
    return WatchReplica(tenant).activities(PROVIDER_WATCH)


def watch_activities(site: Site) -> Activities:
    """The one long look at each failover of a tenant."""
    return WatchFailover(site).activities(TENANT_SITE_WATCH)


def compose(process: Process, settings: WorkerSettings) -> None:
    """What a process of that role serves."""
    if isinstance(settings, ProviderWorkerSettings):
        provider(process, settings)
    else:
        tenant_site(process, settings)


def provider(process: Process, settings: ProviderWorkerSettings) -> None:
    """One session to Cloud Director and to each vCenter serves all tenants."""
    cloud = factories.cloud_director(settings.cloud_director)
    vcenters = {
        v.id: VCenter(factories.vsphere(v), process.operations(v.operations)) for v in settings.vcenters
    }
    process.close += [cloud.close, *(v.connector.close for v in vcenters.values())]
    proof_key = ProofKey(settings.proof_key.file, settings.proof_key.public)
    for tenant in settings.tenants:
        client = process.client(tenant.namespace)
        fence = Fence(client, asyncio.get_running_loop())
        extension = factories.appliance(tenant.appliance, settings.appliance_key)
        vdc = cloud.organization_vdc(tenant.organization, tenant.vdc)
        theirs = ProviderTenant(tenant, vdc, vcenters, extension, fence, proof_key)
        process.add(client, PROVIDER, provider_activities(theirs), WORKFLOWS)
        process.add(client, PROVIDER_WATCH, provider_watch_activities(theirs), waiting=MOST_WATCHED)
        tunnel = extension.status if extension else None
        records = partial(failover_test_records.replicas, theirs), partial(failover_test_records.kept, theirs)
        metrics = FailoverTestMetrics(client, *records)
        process.tenants.append(Tenant(client, PROVIDER, tunnel, test_metrics=metrics))


def tenant_site(process: Process, settings: TenantSiteWorkerSettings) -> None:
    """Each tenant has a backup server, a vCenter and maybe an appliance."""
    for tenant in settings.tenants:
        client = process.client(tenant.namespace)
        backup = factories.backup_server(tenant.backup_server)
        vcenter = factories.vsphere(tenant.vcenter)
        process.close += [vcenter.close, backup.close]
        extension = factories.appliance(tenant.appliance, settings.appliance_key)
        fence = Fence(client, asyncio.get_running_loop())
        site = Site(tenant, backup, vcenter, extension, fence, settings.proof_keys)
        process.add(client, TENANT_SITE, tenant_site_activities(site))
        process.add(client, TENANT_SITE_WATCH, watch_activities(site), waiting=MOST_WATCHED)
        tunnel = extension.status if extension else None
        process.tenants.append(Tenant(client, TENANT_SITE, tunnel, backup.holds))


def main() -> int:
    """The exit code, as `partial_failover.process.run` says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path, help="YAML file; config.example.yaml explains every setting")
    parser.add_argument("--check", action="store_true", help="look at everything it needs, and end")
    prove = (
        "with --check: exclude this VM, run its replication job, see whether it is left out, and undo that"
    )
    parser.add_argument("--prove-hold", metavar="VM", default="", help=prove)
    arguments = parser.parse_args()
    if arguments.prove_hold and not arguments.check:
        parser.error("--prove-hold goes with --check")
    return run(arguments.config, arguments.check, compose, arguments.prove_hold)


if __name__ == "__main__":
    lifecycle.end(main())
