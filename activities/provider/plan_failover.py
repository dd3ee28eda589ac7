"""Preflight at the provider: everything that must hold before anything is touched, said at once."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from activities.provider import marker, nic_memory
from activities.provider.addresses import BRIDGE, OWN, of_replica
from activities.provider.connect_networks import wired
from activities.provider.leases import leases_of
from activities.provider.restore_points import cautions, choose, kept, latest
from activities.provider.steps import ProviderSteps, provider_step
from activities.shared.probes import collected_problems, problem_of, with_timeout
from partial_failover.contracts import steps
from partial_failover.contracts.appliance import Lease
from partial_failover.contracts.errors import FailoverError, NotFound, Who
from partial_failover.contracts.network import MOST_NETWORKS, Network, at_a_spare, misfits
from partial_failover.contracts.plan import (
    Adoption,
    Extension,
    FailoverPlan,
    PlanInput,
    PlanResult,
    Problem,
    ProviderSide,
)
from partial_failover.contracts.replica import (
    CloudVm,
    Marker,
    Power,
    RestorePoint,
    VSphereVm,
    lease_warnings,
)
from partial_failover.contracts.run import WorkflowRun, lock_id
from partial_failover.settings import ProviderApplianceSettings


@dataclass(frozen=True)
class _Points:
    """`chosen` is what `choice` says. `read_at`: vCenter's clock when they were seen."""

    chosen: RestorePoint
    choice: str
    newest: RestorePoint
    made: tuple[RestorePoint, ...]
    read_at: datetime
    cautions: tuple[str, ...]


class PlanFailover(ProviderSteps):
    """For one tenant. They change nothing."""

    @provider_step(steps.PLAN_FAILOVER)
    def plan_failover(self, data: PlanInput) -> PlanResult:
        """Resolve the request to ids, restore point, addresses and networks, or say all that is wrong."""
        request, problems = data.request, list[Problem]()
        try:
            vm = with_timeout(lambda: self.tenant.replica_of(request.vm), "Cloud Director")
        except NotFound:
            return PlanResult(plan=None, problems=(_unknown(request.vm),))
        except FailoverError as error:
            return PlanResult(plan=None, problems=(problem_of(error, Who.PROVIDER),))
        existing: Marker | None = None
        adoption: Adoption | None = None
        holder = self.tenant.fence.holder(vm.id)
        in_use = holder is not None and holder.run_id != data.run.run_id
        with collected_problems(problems, Who.PROVIDER):
            existing = marker.read(self.tenant, vm)
            adoption, whose = self._whose(vm, existing, in_use, request.adopt)
            problems += whose
        if holder is not None and in_use:  # nothing else matters, and nothing else is waited for
            taken = _taken(vm, existing) if existing else _held(vm, holder)
            return PlanResult(plan=None, problems=(taken,), marker=existing, in_use=True)
        plan = self._plan(vm, data, existing, adoption, problems)
        if plan is None:
            return PlanResult(plan=None, problems=tuple(problems), marker=existing)
        return PlanResult(plan=plan)

    def _plan(
        self,
        vm: CloudVm,
        data: PlanInput,
        existing: Marker | None,
        adoption: Adoption | None,
        problems: list[Problem],
    ) -> FailoverPlan | None:
        """The plan; None where there are problems, also new ones."""
        with collected_problems(problems, Who.PROVIDER):
            if adoption is not None:  # it may have been left in a test, or in the middle of a revert
                vm = vm.model_copy(update={"nics": nic_memory.remembered(self.tenant, vm) or vm.nics})
        marked = existing.restore_point if existing and adoption else None
        points = self._restore_points(vm, marked, data.request.restore_point, problems)
        extension = self._networks(vm, problems)
        if problems or points is None or extension is None:
            return None
        networks, side = extension
        return FailoverPlan(
            vm=self.tenant.original_of(vm),
            replica_id=vm.id,
            replica_name=vm.name,
            restore_point=points.chosen,
            choice=points.choice,
            newest=points.newest,
            points=points.made,
            leases=leases_of(vm),
            nics=vm.nics,
            networks=networks,
            side=side,
            adoption=adoption,
            read_at=points.read_at,
            asked_by=self.tenant.fence.asked_by(data.run),
            warnings=(*points.cautions, *lease_warnings(vm), *side.warnings),
        )

    def _restore_points(
        self, vm: CloudVm, marked: str | None, choice: str, problems: list[Problem]
    ) -> _Points | None:
        """The one to revert to. `marked`: the one that a failover which is adopted was reverting to."""

        def look() -> tuple[VSphereVm, datetime]:
            vcenter, hardware = self.tenant.hardware(vm)
            return hardware, vcenter.now()

        with collected_problems(problems, Who.PROVIDER):
            hardware, now = with_timeout(look, f"The vCenter of {vm.name}")
            if vm.power is Power.OFF and hardware.power is not Power.OFF:
                problems.append(_off_in_one(vm, hardware))
            chain = hardware.restore_points
            choice = kept(chain, marked, choice)
            made = tuple(p for p in chain if not p.foreign)
            return _Points(choose(chain, choice), choice, latest(chain), made, now, cautions(chain, now))
        return None

    def _networks(
        self, vm: CloudVm, problems: list[Problem]
    ) -> tuple[tuple[Network, ...], ProviderSide] | None:
        """All organization VDC networks, and how they are extended."""
        with collected_problems(problems, Who.PROVIDER):
            networks = with_timeout(self.tenant.networks, "Cloud Director")
            extended = self.tenant.settings.extension is Extension.APPLIANCE
            problems += of_replica(vm, networks, extended)
            return networks, self._side(networks, leases_of(vm), problems)
        return None

    def _whose(
        self, vm: CloudVm, existing: Marker | None, in_use: bool, adopt: bool
    ) -> tuple[Adoption | None, list[Problem]]:
        """Normal and off; or, to be adopted, left by a failover that no longer runs."""
        if existing is None:
            problems = [_nothing_to_adopt(vm)] if adopt else []
            return None, problems if vm.power is Power.OFF else [*problems, _powered(vm)]
        if in_use:
            return None, [_taken(vm, existing)]
        if not adopt:
            return None, [_left(vm, existing)]
        on = vm.power is Power.ON
        if on and existing.test:
            return None, [_isolated(vm, existing)]
        return Adoption(
            workflow_id=existing.workflow_id,
            run_id=existing.run_id,
            revert=not on and not existing.written,
        ), []

    def _side(
        self, networks: tuple[Network, ...], leases: tuple[Lease, ...], problems: list[Problem]
    ) -> ProviderSide:
        settings = self.tenant.settings
        has_appliance = settings.extension is Extension.APPLIANCE and settings.appliance is not None
        vm, on = None, False
        if has_appliance and settings.appliance is not None:
            vm, on = self._check_appliance(settings.appliance, networks, leases, problems)
        return ProviderSide(
            extension=settings.extension,
            appliance=has_appliance,
            appliance_was_on=on,
            warnings=lease_warnings(vm) if vm is not None else (),
            gateway=settings.gateway,
            peer_fingerprint=settings.peer_fingerprint,
            spares=settings.appliance.spares if settings.appliance else {},
            proof_key=self.tenant.proof_key.public,
        )

    def _check_appliance(
        self,
        settings: ProviderApplianceSettings,
        networks: tuple[Network, ...],
        leases: tuple[Lease, ...],
        problems: list[Problem],
    ) -> tuple[CloudVm | None, bool]:
        """The appliance's VM, if it could be looked at, and whether it is on."""
        if len(networks) > MOST_NETWORKS:
            problems.append(_too_many(networks))
        used = {lease.network for lease in leases}
        problems += [_no_spare(n.name) for n in networks if n.name in used - settings.spares.keys()]
        unfit = (*misfits(networks, settings.spares), *at_a_spare(leases, settings.spares))
        problems += [_misfit(why) for why in unfit]
        vm, on, appliance = None, False, self.tenant.appliance
        with collected_problems(problems, Who.PROVIDER, "so the provider's appliance cannot be used"):
            vm = with_timeout(self.tenant.appliance_vm, "Cloud Director")
            if settings.management_network not in {nic.network for nic in vm.nics}:
                problems.append(_no_management(vm, settings.management_network))
            problems += [_not_bridged(vm, n.name) for n in networks if n.name in vm.own_networks]
            if len(networks) <= MOST_NETWORKS:
                wired(vm, networks)
            on = with_timeout(partial(self.tenant.power, vm), "The provider's vCenter") is Power.ON
            if on and appliance is not None:
                with_timeout(lambda: asyncio.run(appliance.status()), "The provider's appliance")
        return vm, on


def _provider(what: str, do: str) -> Problem:
    return Problem(what=what, who=Who.PROVIDER, do=do)


def _unknown(vm: str) -> Problem:
    return Problem(
        what=f'There is no replica of "{vm}" in your organization VDC',
        who=Who.TENANT,
        do="Run ListReplicas to see the names",
    )


def _taken(vm: CloudVm, existing: Marker) -> Problem:
    if existing.test:
        return Problem(
            what=f"{vm.name} is under a failover test, by workflow {existing.workflow_id}",
            who=Who.TENANT,
            do="Cancel that workflow: it puts the replica back within minutes, then start again",
        )
    return Problem(
        what=f"{vm.name} is in state {existing.state}, by workflow {existing.workflow_id}",
        who=Who.TENANT,
        do="Finish that failover first: send it undo, or cancel it",
    )


def _held(vm: CloudVm, holder: WorkflowRun) -> Problem:
    """It has not marked the replica yet, or not any more; or it is a workflow that sits on the lock's ID."""
    squats = holder.workflow_id == lock_id(vm.id)
    return Problem(
        what=f"{vm.name} is in use, by workflow {holder.workflow_id}",
        who=Who.TENANT,
        do=f"End the workflow {holder.workflow_id}: no failover started it"
        if squats
        else "Finish it first: send undo to a failover, cancel a test",
    )


def _left(vm: CloudVm, existing: Marker) -> Problem:
    return Problem(
        what=f"{vm.name} is in state {existing.state} since {existing.since:%Y-%m-%d %H:%M} UTC, "
        f"left by workflow {existing.workflow_id}, which no longer runs",
        who=Who.TENANT,
        do='Start PartialFailover with "adopt": true to take it over as it is, then undo or keep it',
    )


def _isolated(vm: CloudVm, existing: Marker) -> Problem:
    return _provider(
        f"{vm.name} was left powered on and isolated by the failover test {existing.workflow_id}",
        "Power it off in Cloud Director, then start again: it is reverted and connected as before",
    )


def _nothing_to_adopt(vm: CloudVm) -> Problem:
    return Problem(
        what=f"{vm.name} is Normal: no failover left it, so there is nothing to adopt",
        who=Who.TENANT,
        do='Start without "adopt"',
    )


def _powered(vm: CloudVm) -> Problem:
    return _provider(
        f"{vm.name} is Normal but {vm.power}, not powered off: somebody switched it on outside of a failover",
        "Find out who uses it; power it off and revert it to its latest restore point",
    )


def _too_many(networks: tuple[Network, ...]) -> Problem:
    return _provider(
        f"The organization VDC has {len(networks)} networks; the network extension appliance takes "
        f"{MOST_NETWORKS}, because a VM has at most 10 NICs and one goes to the management network",
        "Remove networks that are not used, or connect the sites by an NSX Edge or IPsec VPN instead",
    )


def _off_in_one(vm: CloudVm, hardware: VSphereVm) -> Problem:
    return _provider(
        f"Cloud Director shows {vm.name} off, and vCenter shows it {hardware.power}",
        "If this lasts, find out who uses it; power it off, and reload it from vCenter in Cloud Director",
    )


def _no_spare(name: str) -> Problem:
    return _provider(
        f"The provider's appliance has no spare address on {name}", "Add one under appliance.spares"
    )


def _not_bridged(vm: CloudVm, name: str) -> Problem:
    return _provider(f"{name} in the vApp {vm.vapp_name} of the provider's appliance: {OWN}", BRIDGE)


def _misfit(why: str) -> Problem:
    return _provider(
        f"The provider's appliance cannot extend the networks: {why}",
        "Correct the network, or its address under appliance.spares; without one there it is not extended",
    )


def _no_management(vm: CloudVm, name: str) -> Problem:
    return _provider(
        f"{vm.name} has no NIC on {name}, which is set as its management network",
        "Correct appliance.management_network, or give it that NIC in Cloud Director",
    )
