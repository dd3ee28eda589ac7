"""What the role `provider` needs, looked at for each tenant."""

import asyncio
from collections.abc import Mapping

from partial_failover import factories
from partial_failover.connectors.cloud_director import CloudDirector
from partial_failover.connectors.vsphere import VSphere
from partial_failover.contracts.appliance import ApplianceRole
from partial_failover.contracts.errors import FailoverError, LimitReached, Misconfigured, NoRight, NotFound
from partial_failover.contracts.network import MOST_NETWORKS
from partial_failover.contracts.replica import CloudVm, Power, lease_warnings
from partial_failover.settings import ProviderTenantSettings, ProviderWorkerSettings
from partial_failover.site_check.findings import Doubtful, Findings, NotLookedAt, appliance_answer, together
from partial_failover.site_check.privileges import (
    CLOUD_DIRECTOR,
    FOR_PROGRAMS,
    ON_REPLICAS,
    more_than_needed,
    require_privileges,
    too_much,
)

MOST_SHOWN = 5
"""Names in one finding."""


async def check_provider(findings: Findings, settings: ProviderWorkerSettings) -> None:
    """Cloud Director, the vCenters, and each tenant's org VDC, replicas and appliance."""
    server, cloud = settings.cloud_director, factories.cloud_director(settings.cloud_director)
    vcenters = {v.id: factories.vsphere(v) for v in settings.vcenters}
    try:
        reached = await findings.look_in_thread("", "Cloud Director", cloud.check)
        if reached:
            await findings.certificate("", "Cloud Director", server.url, server.ca_file)
            await findings.look_in_thread("", "its rights", lambda: _rights(cloud))
        usable = {}
        for vcenter in settings.vcenters:
            name, connector = f"vCenter {vcenter.host}", vcenters[vcenter.id]
            if await findings.look_in_thread("", name, connector.check):
                await findings.certificate(
                    "", name, f"https://{vcenter.host}:{vcenter.port}", vcenter.ca_file
                )
                usable[vcenter.id] = connector
        for tenant in settings.tenants:
            if reached:
                await _Tenant(findings, settings, tenant, cloud, usable).check()
            else:
                findings.skip(tenant.namespace, _of(tenant), "Cloud Director was not reached")
    finally:
        for close in (cloud.close, *(v.close for v in vcenters.values())):
            await asyncio.to_thread(close)


def _of(tenant: ProviderTenantSettings) -> list[str]:
    """What is looked at for it."""
    appliance = ["appliance"] if tenant.appliance is not None else []
    return ["organization VDC", "replicas", "networks", *appliance]


def _rights(cloud: CloudDirector) -> str:
    rights = cloud.rights()
    lacking = sorted(CLOUD_DIRECTOR.keys() - rights)
    if lacking:
        raise NoRight(
            f"The role of the API token's user lacks: {', '.join(lacking)}", do="Add them to the role"
        )
    if more := more_than_needed(rights):
        shown = ", ".join(more[:MOST_SHOWN]) + (
            f" and {rest} more" if (rest := len(more) - MOST_SHOWN) > 0 else ""
        )
        raise Doubtful(f"All that are needed, and others that are not: {shown}. Take them from the role")
    return "all that are needed"


class _Tenant:
    def __init__(
        self,
        findings: Findings,
        settings: ProviderWorkerSettings,
        tenant: ProviderTenantSettings,
        cloud: CloudDirector,
        vcenters: Mapping[str, VSphere],
    ) -> None:
        self._findings, self._all, self._settings = findings, settings, tenant
        self._vdc = cloud.organization_vdc(tenant.organization, tenant.vdc)
        self._vcenters = vcenters
        self._excessive: frozenset[str] = frozenset()
        """Privileges of the vCenter accounts that no step needs."""

    async def check(self) -> None:
        """Everything; what the org VDC is needed for is left out when that is not found."""
        look, name = self._findings.look_in_thread, self._settings.namespace
        if not await look(name, "organization VDC", self._find_vdc):
            self._findings.skip(name, _of(self._settings)[1:], "The organization VDC was not found")
            return
        await look(name, "replicas", self._replicas)
        await look(name, "networks", self._networks)
        if self._settings.test_network is not None:
            await look(name, "network for tests", self._test_network)
        if self._settings.appliance is not None:
            await look(name, "appliance", self._appliance)

    def _find_vdc(self) -> str:
        _ = self._vdc.id
        return f"{self._settings.vdc} of {self._settings.organization}"

    def _replicas(self) -> str:
        """At least one, each in a vCenter that is configured and lets it be reverted."""
        suffix = self._settings.replica_suffix
        replicas = [vm for vm in self._vdc.vms() if vm.name.endswith(suffix)]
        if not replicas:
            raise NotFound(
                f"No VM of the organization VDC has a name that ends in {suffix}",
                do="Replicate a VM, or correct replica_suffix",
            )
        problems, seen = [], []
        for vm in sorted(replicas, key=lambda vm: vm.name):
            try:
                seen += [vm.name] if self._may_be_used(vm) else []
            except FailoverError as error:
                problems.append(str(error))
        if problems:
            raise RuntimeError(together(problems, len(replicas)))
        if len(seen) < len(replicas):
            rest = sorted({vm.name for vm in replicas} - set(seen))
            raise NotLookedAt(f"{', '.join(rest)}: their vCenter was not reached")
        text = f"{len(replicas)}, which may be reverted: {', '.join(seen)}"
        by_vapp = {vm.vapp_id: vm for vm in replicas}
        return self._unless_doubtful(text, *by_vapp.values(), may=self._excessive)

    def _unless_doubtful(self, text: str, *vms: CloudVm, may: frozenset[str] = frozenset()) -> str:
        """`may`: what their vCenter account may and need not."""
        warnings = [warning for vm in vms for warning in lease_warnings(vm)] + too_much(may)
        if warnings:
            raise Doubtful(f"{text}. {' '.join(warnings)}")
        return text

    def _may_be_used(self, vm: CloudVm) -> bool:
        """Whether it was looked at: its vCenter may not have been reached. Raises what stands in the way."""
        if vm.moref is None or vm.vcenter is None:
            raise NoRight(
                f"Cloud Director does not tell where {vm.name} runs",
                do="The API token must belong to the System organization",
            )
        if vm.vcenter not in {v.id for v in self._all.vcenters}:
            raise Misconfigured(
                f"{vm.name} runs in vCenter {vm.vcenter}, which is not configured",
                do="Add it under vcenters",
            )
        vcenter = self._vcenters.get(vm.vcenter)
        if vcenter is None:
            return False
        wanted = (*ON_REPLICAS, *(FOR_PROGRAMS if self._settings.guest_programs else ()))
        self._excessive |= require_privileges(vcenter, vm.name, vm.moref, wanted, "on the replicas' folder")
        return True

    def _networks(self) -> str:
        """Few enough for an appliance, each with its spare address."""
        appliance = self._settings.appliance
        tests = self._settings.test_network
        apart = {appliance and appliance.management_network, tests and tests.name}
        names = [n.name for n in self._vdc.networks() if n.name not in apart]
        text = f"{len(names)}: {', '.join(sorted(names))}"
        if appliance is None:
            return text
        if len(names) > MOST_NETWORKS:
            raise LimitReached(f"{text}; the appliance takes {MOST_NETWORKS}")
        without = sorted(set(names) - set(appliance.spares))
        if without:
            raise Misconfigured(
                f"No spare address is configured on {', '.join(without)}", do="Add one under appliance.spares"
            )
        return text

    def _test_network(self) -> str:
        """There, and isolated: nothing else keeps a test's replica away from production."""
        name = self._settings.test_network.name if self._settings.test_network else ""
        network = next((n for n in self._vdc.networks() if n.name == name), None)
        if network is None or not network.isolated:
            raise Misconfigured(
                f"{name} is not an isolated network of the organization VDC",
                do="Create it as one, or take test_network out of the settings: tests then use no network",
            )
        return f"{name} is isolated"

    def _appliance(self) -> str:
        settings = self._settings.appliance
        connector = factories.appliance(settings, self._all.appliance_key)
        if settings is None or connector is None:
            raise Misconfigured("The appliance is not configured")
        vm = self._vdc.vm_named(settings.vm)
        self._seen_in_vcenter(vm)
        if vm.power is not Power.ON:
            off = f"{vm.name} is powered off; when it is on, its SSH and version are checked"
            self._unless_doubtful(off, vm)
            raise NotLookedAt(off)
        answer = appliance_answer(asyncio.run(connector.status()), ApplianceRole.PROVIDER)
        return self._unless_doubtful(f"{vm.name} {answer}", vm)

    def _seen_in_vcenter(self, vm: CloudVm) -> None:
        """Its vCenter says whether it is on. Raises where the account does not see it there."""
        vcenter = self._vcenters.get(vm.vcenter or "")
        if vcenter is not None and vm.moref is not None:
            vcenter.running(vm.moref)
