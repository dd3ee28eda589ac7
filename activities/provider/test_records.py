"""The last failover tests of a replica, in its SYSTEM metadata: they outlive Temporal's retention."""

import logging
from dataclasses import dataclass

from pydantic import ValidationError
from temporalio import activity

from activities.provider.tenant import ProviderTenant
from activities.shared.attempt import current_attempt
from partial_failover.contracts.failover_test import RecordTestInput, TestRecords
from partial_failover.contracts.replica import CloudVm
from partial_failover.contracts.step import Step, StepResult

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


class TestRecordActivities:
    """For one tenant."""

    __test__ = False

    def __init__(self, tenant: ProviderTenant) -> None:
        self.tenant = tenant

    @activity.defn(name=Step.RECORD_TEST, no_thread_cancel_exception=True)
    def record_test(self, data: RecordTestInput) -> StepResult:
        """Keep a test's result with its replica."""
        attempt = current_attempt(self.tenant.fence)
        vm = self.tenant.replica_of(data.vm)
        records = read(self.tenant, vm).with_new(data.record)
        text = records.model_dump_json(exclude_defaults=True)
        changed = self.tenant.cloud.set_metadata(self.tenant.vdc, "vm", vm.id, KEY, text, attempt)
        return StepResult(changed=changed, note=f"{data.vm}: {data.record.result}")
