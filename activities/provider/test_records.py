"""The last failover tests of a replica, in its SYSTEM metadata: they outlive Temporal's retention."""

import logging
from dataclasses import dataclass

from pydantic import ValidationError

from activities.provider.tenant import ProviderTenant
from partial_failover.contracts.failover_test import TestRecords
from partial_failover.contracts.replica import CloudVm

KEY = "partial-failover.tests"
log = logging.getLogger(__name__)


def read(tenant: ProviderTenant, vm: CloudVm) -> TestRecords:
    """What is known of the last tests. Records that cannot be read count as none: they are evidence only."""
    text = tenant.cloud.metadata(tenant.vdc, "vm", vm.id, KEY)
    if text is None:
        return TestRecords()
    try:
        return TestRecords.model_validate_json(text)
    except ValidationError:
        log.warning("the test records of %s cannot be read; the next test replaces them", vm.name)
        return TestRecords()


@dataclass(frozen=True)
class KeptTests:
    """What one replica keeps. `vm`: the original's name."""

    vm: str
    replica: str
    records: TestRecords


def replicas(tenant: ProviderTenant) -> list[CloudVm]:
    """All of a tenant's."""
    return [vm for vm in tenant.cloud.vms(tenant.vdc) if tenant.is_replica(vm)]


def kept(tenant: ProviderTenant, vm: CloudVm) -> KeptTests:
    """What one of them keeps."""
    return KeptTests(tenant.original_of(vm), vm.name, read(tenant, vm))
