"""What a tenant has at the provider: all replicas, as far as they can be looked at."""

from datetime import UTC, datetime
from time import monotonic

from temporalio import activity

from activities.provider import failover_test_records, marker
from activities.provider.addresses import unread
from activities.provider.steps import ProviderSteps, provider_step
from activities.shared import probes
from activities.shared.probes import collected_problems, with_timeout
from partial_failover.contracts import steps
from partial_failover.contracts.errors import Unavailable, Who
from partial_failover.contracts.failover_test import TestRecord
from partial_failover.contracts.plan import Problem
from partial_failover.contracts.replica import CloudVm, Marker, ReplicaState, RestorePoint
from partial_failover.contracts.report import ReplicaList, ReplicaSummary
from partial_failover.contracts.request import ListReplicasRequest

Silent = dict[str | None, Unavailable]
"""The vCenters that did not answer, so that they are waited for once, and not for each replica again."""

TO_END = 30.0
"""Seconds of an attempt that are kept for the look at one replica that is slow, and for the answer."""


def _lasts() -> float:
    """Seconds in which replicas are looked at."""
    attempt = activity.info().start_to_close_timeout
    left = attempt.total_seconds() - TO_END if attempt else 0.0
    return left if left > 0 else TO_END


class InspectReplicas(ProviderSteps):
    """For one tenant. They change nothing."""

    @provider_step(steps.INSPECT_REPLICAS)
    def inspect_replicas(self, data: ListReplicasRequest) -> ReplicaList:
        """All replicas of the tenant, with states, addresses and restore points. What cannot be looked at of
        one of them is said with it, and keeps nobody from seeing the others."""
        silent: Silent = {}
        end = monotonic() + _lasts()
        vms = with_timeout(lambda: self.tenant.vdc.vms(), "Cloud Director")
        replicas = [vm for vm in vms if self.tenant.is_replica(vm)]
        summaries = [self._summary(vm, silent) if monotonic() < end else self._late(vm) for vm in replicas]
        return ReplicaList(read_at=datetime.now(UTC), replicas=tuple(sorted(summaries, key=lambda r: r.vm)))

    def _late(self, vm: CloudVm) -> ReplicaSummary:
        """One for which no time was left: what the others have told is not lost by it."""
        what = f"{vm.name} was not looked at: those before it took all the time"
        do = "See why Cloud Director or vCenter is slow, or why there are so many replicas"
        return ReplicaSummary(
            vm=self.tenant.original_of(vm),
            replica=vm.name,
            state="unknown",
            power=vm.power,
            addresses=tuple(nic.address for nic in vm.nics if nic.address is not None),
            restore_points=(),
            problems=(*unread(vm), Problem(what=what, who=Who.PROVIDER, do=do)),
        )

    def _summary(self, vm: CloudVm, silent: Silent) -> ReplicaSummary:
        activity.heartbeat()
        problems: list[Problem] = []
        mark: Marker | None = None
        state: ReplicaState | None = None
        points: tuple[RestorePoint, ...] = ()
        tests: tuple[TestRecord, ...] = ()
        problems += unread(vm)
        with collected_problems(problems, Who.PROVIDER):
            mark = marker.read(self.tenant, vm)
            state = mark.state if mark else ReplicaState.NORMAL
        with collected_problems(problems, Who.PROVIDER):
            points = self._restore_points(vm, silent)
        with collected_problems(problems, Who.PROVIDER):
            tests = failover_test_records.read(self.tenant, vm).tests
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
            return with_timeout(lambda: self.tenant.hardware(vm), f"The vCenter of {vm.name}")[
                1
            ].restore_points
        except Unavailable as error:
            if monotonic() - began >= probes.LOOK:
                silent[vm.vcenter] = error
            raise
