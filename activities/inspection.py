"""What a tenant has at the provider: all replicas, as far as they can be looked at."""

from datetime import UTC, datetime
from time import monotonic

from temporalio import activity

from activities import looking, marker, test_records
from activities.looking import noting, within
from activities.provider import ProviderTenant
from contracts.errors import Unavailable, Who
from contracts.failover_test import TestRecord
from contracts.plan import Problem
from contracts.replica import CloudVm, Marker, ReplicaState, RestorePoint
from contracts.report import ReplicaList, ReplicaSummary
from contracts.request import ListReplicasRequest
from contracts.step import Step

Silent = dict[str | None, Unavailable]
"""The vCenters that did not answer, so that they are waited for once, and not for each replica again."""


class InspectionActivities:
    """For one tenant. They change nothing."""

    def __init__(self, tenant: ProviderTenant) -> None:
        self.tenant = tenant

    @activity.defn(name=Step.INSPECT_REPLICAS, no_thread_cancel_exception=True)
    def inspect_replicas(self, data: ListReplicasRequest) -> ReplicaList:
        """All replicas of the tenant, with states, addresses and restore points. What cannot be looked at of
        one of them is said with it, and keeps nobody from seeing the others."""
        silent: Silent = {}
        vms = within(lambda: self.tenant.cloud.vms(self.tenant.vdc), "Cloud Director")
        found = [self._summary(vm, silent) for vm in vms if self.tenant.is_replica(vm)]
        return ReplicaList(read_at=datetime.now(UTC), replicas=tuple(sorted(found, key=lambda r: r.vm)))

    def _summary(self, vm: CloudVm, silent: Silent) -> ReplicaSummary:
        activity.heartbeat()
        problems: list[Problem] = []
        mark: Marker | None = None
        state: ReplicaState | None = None
        points: tuple[RestorePoint, ...] = ()
        tests: tuple[TestRecord, ...] = ()
        with noting(problems, Who.PROVIDER):
            mark = marker.read(self.tenant, vm)
            state = mark.state if mark else ReplicaState.NORMAL
        with noting(problems, Who.PROVIDER):
            points = self._restore_points(vm, silent)
        with noting(problems, Who.PROVIDER):
            tests = test_records.read(self.tenant, vm).tests
        return ReplicaSummary(
            vm=self.tenant.original_of(vm),
            replica=vm.name,
            state=state or "unknown",
            power=vm.power,
            addresses=tuple(nic.address for nic in vm.nics if nic.address is not None),
            restore_points=tuple(reversed(points)),
            held_by=mark.workflow_id if mark else None,
            last_tests=tests,
            problems=tuple(problems),
        )

    def _restore_points(self, vm: CloudVm, silent: Silent) -> tuple[RestorePoint, ...]:
        if vm.vcenter in silent:
            raise silent[vm.vcenter]
        began = monotonic()
        try:
            return within(lambda: self.tenant.hardware(vm), f"The vCenter of {vm.name}")[1].restore_points
        except Unavailable as fault:
            if monotonic() - began >= looking.LOOK:
                silent[vm.vcenter] = fault
            raise
