"""The result of a failover test is kept with its replica."""

from activities.provider import failover_test_records
from activities.provider.steps import ProviderSteps, provider_step
from activities.shared.attempt import current_attempt
from partial_failover.connectors.cloud_director.metadata_store import TESTS
from partial_failover.contracts import steps
from partial_failover.contracts.failover_test import RecordTestInput
from partial_failover.contracts.step_data import StepResult


class RecordTest(ProviderSteps):
    """RecordTest."""

    @provider_step(steps.RECORD_TEST)
    def record_test(self, data: RecordTestInput) -> StepResult:
        """Keep a test's result with its replica."""
        attempt = current_attempt(self.tenant.fence)
        vm = self.tenant.replica_of(data.vm)
        records = failover_test_records.read(self.tenant, vm).with_new(data.record)
        changed = self.tenant.vdc.remembered.write(TESTS, vm.id, records, attempt)
        return StepResult(changed=changed, note=f"{data.vm}: {data.record.result}")
