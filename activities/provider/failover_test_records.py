"""The last failover tests of a replica, in its SYSTEM metadata: they outlive Temporal's retention."""

from activities.provider.tenant import ProviderTenant
from partial_failover.connectors.cloud_director.metadata_store import TESTS
from partial_failover.contracts.failover_test import KeptTests, TestRecords
from partial_failover.contracts.replica import CloudVm


def read(tenant: ProviderTenant, vm: CloudVm) -> TestRecords:
    """What is known of the last tests. Records that cannot be read count as none: they are evidence only."""
    return tenant.vdc.remembered.read(TESTS, vm.id) or TestRecords()


def replicas(tenant: ProviderTenant) -> list[CloudVm]:
    """All of a tenant's."""
    return [vm for vm in tenant.vdc.vms() if tenant.is_replica(vm)]


def kept(tenant: ProviderTenant, vm: CloudVm) -> KeptTests:
    """What one of them keeps."""
    return KeptTests(vm=tenant.original_of(vm), replica=vm.name, records=read(tenant, vm))
