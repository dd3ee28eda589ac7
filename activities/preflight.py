"""Preflight at the provider: everything that must hold before anything is touched, said at once."""

import asyncio

from temporalio import activity

from activities import isolation, marker
from activities.leases import leases_of
from activities.provider import ProviderTenant
from activities.provider_appliance import MOST_NETWORKS
from activities.restore_points import choose
from contracts.appliance import Lease
from contracts.errors import Fault, NotFound, Who
from contracts.network import AllocationMode, Network
from contracts.plan import Adoption, Extension, Plan, PlanInput, PlanResult, Problem, ProviderSide
from contracts.replica import CloudVm, Marker, Power, RestorePoint
from contracts.step import Step
from settings import ProviderApplianceSettings


class PreflightActivities:
    """For one tenant. They change nothing."""

    def __init__(self, tenant: ProviderTenant) -> None:
        self.tenant = tenant

    @activity.defn(name=Step.PLAN_FAILOVER, no_thread_cancel_exception=True)
    def plan_failover(self, data: PlanInput) -> PlanResult:
        """Resolve the request to ids, restore point, addresses and networks, or say all that is wrong."""
        request = data.request
        try:
            vm = self.tenant.replica_of(request.vm)
        except NotFound:
            return PlanResult(plan=None, problems=(_unknown(request.vm),))
        found = marker.read(self.tenant, vm)
        in_use = self.tenant.fence.holder(vm.id) not in (None, data.run.run_id)
        adoption, problems = self._whose(vm, found, in_use, request.adopt)
        if adoption is not None:  # it may have been left in a test, or in the middle of a revert
            vm = vm.model_copy(update={"nics": isolation.remembered(self.tenant, vm) or vm.nics})
        vcenter, hardware = self.tenant.hardware(vm)
        point: RestorePoint | None = None
        try:
            marked = found.restore_point if found and adoption else None
            point = choose(hardware.restore_points, marked or request.restore_point)
        except NotFound as fault:
            problems.append(_of(fault))
        networks = self.tenant.networks()
        leases, address_problems = _addresses(vm, networks)
        problems += address_problems
        side, side_problems = self._side(networks, leases)
        problems += side_problems
        if problems or point is None:
            return PlanResult(plan=None, problems=tuple(problems), marker=found, in_use=in_use)
        plan = Plan(
            vm=self.tenant.original_of(vm),
            replica_id=vm.id,
            replica_name=vm.name,
            restore_point=point,
            leases=leases,
            nics=vm.nics,
            networks=networks,
            side=side,
            adoption=adoption,
            read_at=vcenter.now(),
            asked_by=self.tenant.fence.asked_by(data.run),
        )
        return PlanResult(plan=plan, in_use=in_use)

    def _whose(
        self, vm: CloudVm, found: Marker | None, in_use: bool, adopt: bool
    ) -> tuple[Adoption | None, list[Problem]]:
        """Normal and off; or, to be adopted, left by a failover that no longer runs."""
        if found is None:
            problems = [_nothing_to_adopt(vm)] if adopt else []
            return None, problems if vm.power is Power.OFF else [*problems, _powered(vm)]
        if in_use:
            return None, [_taken(vm, found)]
        if not adopt:
            return None, [_left(vm, found)]
        on = vm.power is Power.ON
        if on and found.test:
            return None, [_isolated(vm, found)]
        return Adoption(
            workflow_id=found.workflow_id,
            run_id=found.run_id,
            revert=not on and not found.written,
            power_on=not on,
        ), []

    def _side(
        self, networks: tuple[Network, ...], leases: tuple[Lease, ...]
    ) -> tuple[ProviderSide, list[Problem]]:
        settings = self.tenant.settings
        has_appliance = settings.extension is Extension.APPLIANCE and settings.appliance is not None
        was_on = False
        problems: list[Problem] = []
        if has_appliance and settings.appliance is not None:
            was_on, problems = self._check_appliance(settings.appliance, networks, leases)
        side = ProviderSide(
            extension=settings.extension,
            appliance=has_appliance,
            appliance_was_on=was_on,
            gateway=settings.gateway,
            peer_fingerprint=settings.peer_fingerprint,
        )
        return side, problems

    def _check_appliance(
        self,
        settings: ProviderApplianceSettings,
        networks: tuple[Network, ...],
        leases: tuple[Lease, ...],
    ) -> tuple[bool, list[Problem]]:
        problems: list[Problem] = []
        if len(networks) > MOST_NETWORKS:
            problems.append(_too_many(networks))
        used = {lease.network for lease in leases}
        for network in networks:
            spare = settings.spares.get(network.name)
            if spare is None and network.name in used:
                problems.append(_no_spare(network.name))
            elif spare is not None and spare not in network.subnet:
                problems.append(_bad_spare(network, str(spare)))
        try:
            vm = self.tenant.appliance_vm()
            if vm.power is Power.ON and self.tenant.appliance is not None:
                asyncio.run(self.tenant.appliance.status())
        except Fault as fault:
            return False, [*problems, _of(fault)]
        return vm.power is Power.ON, problems


def _addresses(vm: CloudVm, networks: tuple[Network, ...]) -> tuple[tuple[Lease, ...], list[Problem]]:
    """Static addresses only: the source's DHCP does not answer here, and the replica would be unreachable."""
    problems: list[Problem] = []
    by_name = {n.name: n for n in networks}
    for nic in vm.nics:
        network = by_name.get(nic.network or "")
        if not nic.connected or nic.network is None:
            continue
        where = f"NIC {nic.index} of {vm.name} on {nic.network}"
        if network is None:
            problems.append(_provider(f"{where}: that is no organization VDC network", "Connect it to one"))
        elif nic.address is None or nic.mode is AllocationMode.DHCP:
            problems.append(
                _provider(
                    f"{where} has no static address", "Give it the original's address in Cloud Director"
                )
            )
        elif nic.address not in network.subnet:
            problems.append(
                _provider(
                    f"{where} has the address {nic.address} outside {network.subnet}", "Correct the address"
                )
            )
    leases = leases_of(vm)
    if not leases and not problems:
        problems.append(_provider(f"{vm.name} has no connected NIC", "Connect it in Cloud Director"))
    return leases, problems


def _of(fault: Fault) -> Problem:
    """What may pass by itself (an appliance that boots for another failover) is looked at again instead."""
    if fault.retryable:
        raise fault
    return Problem(what=str(fault), who=fault.who, do="Mend it, then start again")


def _provider(what: str, do: str) -> Problem:
    return Problem(what=what, who=Who.PROVIDER, do=do)


def _unknown(vm: str) -> Problem:
    return Problem(
        what=f'There is no replica of "{vm}" in your organization VDC',
        who=Who.TENANT,
        do="Run ListReplicas to see the names",
    )


def _taken(vm: CloudVm, found: Marker) -> Problem:
    if found.test:
        return Problem(
            what=f"{vm.name} is under a failover test, by workflow {found.workflow_id}",
            who=Who.TENANT,
            do="Cancel that workflow: it puts the replica back within minutes, then start again",
        )
    return Problem(
        what=f"{vm.name} is in state {found.state}, by workflow {found.workflow_id}",
        who=Who.TENANT,
        do="Finish that failover first: send it undo, or cancel it",
    )


def _left(vm: CloudVm, found: Marker) -> Problem:
    return Problem(
        what=f"{vm.name} is in state {found.state} since {found.since:%Y-%m-%d %H:%M} UTC, "
        f"left by workflow {found.workflow_id}, which no longer runs",
        who=Who.TENANT,
        do='Start PartialFailover with "adopt": true to take it over as it is, then undo or keep it',
    )


def _isolated(vm: CloudVm, found: Marker) -> Problem:
    return _provider(
        f"{vm.name} was left powered on and isolated by the failover test {found.workflow_id}",
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


def _no_spare(name: str) -> Problem:
    return _provider(
        f"The provider's appliance has no spare address on {name}", "Add one under appliance.spares"
    )


def _bad_spare(network: Network, spare: str) -> Problem:
    return _provider(
        f"The spare address {spare} lies outside {network.name} ({network.subnet})",
        "Correct it under appliance.spares",
    )
