"""Preflight at the tenant's site: everything that must hold there, said at once."""

import asyncio
from ipaddress import IPv4Address

from activities.shared.probes import collected_problems, problem_of, with_async_timeout
from activities.tenant_site.steps import TenantSiteSteps, tenant_site_step
from partial_failover.contracts import steps
from partial_failover.contracts.errors import FailoverError, NotFound, Who
from partial_failover.contracts.plan import Extension, Problem, TenantSite, TenantSiteInput
from partial_failover.contracts.replica import Power, VSphereVm
from partial_failover.contracts.replication import Hold, HoldTarget, ReplicaRecord

KEY_UNKNOWN = (
    "The tenant-site worker does not know the key by which the provider signs that a replica is Normal: an "
    "undo could not release replication. Add the provider's proof_key.public under proof_keys in its settings"
)


class CheckTenantSite(TenantSiteSteps):
    """CheckTenantSite."""

    @tenant_site_step(steps.CHECK_TENANT_SITE)
    async def check_tenant_site(self, data: TenantSiteInput) -> TenantSite:
        """Everything that must hold at the tenant's site; all that is wrong is said at once."""
        problems: list[Problem] = []
        warnings = [KEY_UNKNOWN] if data.proof_key and data.proof_key not in self.site.proof_keys else []
        target: HoldTarget | None = None
        hold: Hold | None = None
        with collected_problems(problems, Who.TENANT, "so replication cannot be held"):
            async with with_async_timeout("The backup server"):
                target = await self.site.backup.find_target(data.vm)
                hold = await self.site.backup.hold_of(target)
        known: tuple[ReplicaRecord, ...] | None = None
        if target is not None:
            known, cautions = await self._replicas(data.vm)
            warnings += cautions
        has_appliance = self.site.settings.appliance is not None and data.extension is Extension.APPLIANCE
        vm = await self._check_appliance(data, problems) if has_appliance else None
        if data.extension is not Extension.NONE:
            blocking, cautions = await self._original(data, target)
            problems += blocking
            warnings += cautions
        return TenantSite(
            target=target,
            replicas=known,
            excluded=hold is not None,
            held=hold is not None and hold.ours,
            appliance=has_appliance,
            appliance_was_on=vm is not None and vm.power is Power.ON,
            spares=self._spares(vm) if vm else {},
            problems=tuple(problems),
            warnings=tuple(warnings),
        )

    async def _replicas(self, vm: str) -> tuple[tuple[ReplicaRecord, ...] | None, list[str]]:
        """What the backup server knows of the VM's replicas, and jobs that may make others. Where it cannot
        be asked, that is no more than a warning: the snapshots have replication's marks."""
        warnings: list[str] = []
        known: tuple[ReplicaRecord, ...] | None = None
        try:
            async with with_async_timeout("The backup server"):
                known = await self.site.backup.replicas_of(vm)
        except FailoverError as error:
            warnings.append(
                f"The backup server could not be asked for the replica points of {vm} "
                f"({error.happened}): restore points are known by the marks on their snapshots alone"
            )
        try:
            async with with_async_timeout("The backup server"):
                others = await self.site.backup.jobs_of_unknown_kind()
        except FailoverError as error:
            warnings.append(f"Not known whether jobs of other kinds replicate {vm} too: {error.happened}")
        else:
            warnings += [_unknown_job(job, vm) for job in others]
        return known, warnings

    async def _check_appliance(self, data: TenantSiteInput, problems: list[Problem]) -> VSphereVm | None:
        vm: VSphereVm | None = None
        with collected_problems(problems, Who.TENANT, "so the tenant's appliance cannot be used"):
            async with with_async_timeout("The tenant's vCenter"):
                vm = await asyncio.to_thread(self.site.appliance_vm)
            problems += self._interfaces(vm, data)
            if vm.power is Power.ON:
                async with with_async_timeout("The tenant's appliance"):
                    await self.site.appliance.status()
        return vm

    def _spares(self, vm: VSphereVm) -> dict[str, IPv4Address]:
        groups = {nic.network for nic in vm.nics}
        networks = self.site.appliance_settings.networks
        return {name: n.spare for name, n in networks.items() if n.port_group in groups}

    def _interfaces(self, vm: VSphereVm, data: TenantSiteInput) -> list[Problem]:
        """What it lacks on the networks of the replica."""
        settings, problems = self.site.appliance_settings, []
        groups = {nic.network for nic in vm.nics if nic.connected}
        for name in data.networks:
            network = settings.networks.get(name)
            if network is None:
                problems.append(_provider_must(f"The tenant's appliance has no setting for network {name}"))
            elif network.port_group not in groups:
                problems.append(
                    _tenant_must(
                        f"{vm.name} has no connected NIC on {network.port_group}", "Give it one in vCenter"
                    )
                )
        return problems

    async def _original(
        self, data: TenantSiteInput, target: HoldTarget | None
    ) -> tuple[list[Problem], list[str]]:
        """Problems and warnings, unless it is certain that the original is off, disconnected or gone: two
        owners of one address are worse than a failover that does not begin."""
        try:
            async with with_async_timeout("The tenant's vCenter"):
                runs = _runs(await asyncio.to_thread(self.site.original, data.vm, target))
            problem = _original_runs(data.vm)
            warning = f"{data.vm} runs and owns its address: switch it off before its replica takes over"
        except NotFound:
            return [], [f"There is no {data.vm} in the tenant's vCenter, so it is taken to be gone"]
        except FailoverError as error:
            problem = _original_may_run(error, data.vm)
            runs, warning = True, problem.what
        if not runs:
            return [], []
        return ([], [warning]) if data.original_may_run else ([problem], [])


def _runs(vm: VSphereVm) -> bool:
    return vm.power not in (Power.OFF, Power.SUSPENDED) and any(nic.connected for nic in vm.nics)


def _provider_must(what: str) -> Problem:
    return Problem(what=what, who=Who.PROVIDER, do="Add it to the tenant-site worker's settings")


def _unknown_job(job: str, vm: str) -> str:
    return (
        f"The job {job} is of a kind that the backup server's API does not tell (CDP is one). If it "
        f"replicates {vm}, a hold may not reach it, and its runs are not waited for: see that it does not"
    )


def _tenant_must(what: str, do: str) -> Problem:
    return Problem(what=what, who=Who.TENANT, do=do)


def _original_may_run(error: FailoverError, vm: str) -> Problem:
    problem = problem_of(error, Who.TENANT, f"so it is not known whether {vm} runs")
    do = f'{problem.do}; if you know that {vm} is off, start with "original_may_run": true'
    return problem.model_copy(update={"do": do})


def _original_runs(vm: str) -> Problem:
    return _tenant_must(
        f"{vm} is powered on and connected, so its replica would not be alone on its address",
        'Power it off or disconnect its NIC, or start with "original_may_run": true',
    )
