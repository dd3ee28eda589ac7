"""What the role `tenant-site` needs, looked at for each tenant."""

import asyncio

from partial_failover import factories
from partial_failover.connectors.veeam import Veeam
from partial_failover.connectors.vsphere import VSphere
from partial_failover.contracts.appliance import ApplianceRole
from partial_failover.contracts.errors import FailoverError, Misconfigured, NoRight, NotFound
from partial_failover.contracts.replica import Power
from partial_failover.settings import TenantSiteSettings, TenantSiteWorkerSettings
from partial_failover.site_check.findings import Doubtful, Findings, NotLookedAt, appliance_answer, together
from partial_failover.site_check.hold_proof import prove
from partial_failover.site_check.privileges import ON_TENANT_APPLIANCE, require_privileges, too_much


async def check_tenant_site(
    findings: Findings, settings: TenantSiteWorkerSettings, prove_hold: str = ""
) -> None:
    """Each tenant's backup server, vCenter and appliance. `prove_hold`: a VM on which a hold is tried."""
    for tenant in settings.tenants:
        site = _Site(findings, settings, tenant)
        try:
            await site.check()
            if prove_hold:
                await site.prove_hold(prove_hold)
        finally:
            await site.backup.close()
            await asyncio.to_thread(site.vcenter.close)


class _Site:
    def __init__(
        self, findings: Findings, settings: TenantSiteWorkerSettings, tenant: TenantSiteSettings
    ) -> None:
        self._findings, self._key, self._settings = findings, settings.appliance_key, tenant
        self.backup: Veeam = factories.backup_server(tenant.backup_server)
        self.vcenter: VSphere = factories.vsphere(tenant.vcenter)
        self._replicated: tuple[str, ...] = ()

    async def check(self) -> None:
        """Everything; what a login is needed for is left out when that fails, and that is said."""
        name, look = self._settings.namespace, self._findings
        server = self._settings.backup_server
        if await look.look(name, "backup server", self.backup.check):
            await look.certificate(name, "backup server", server.url, server.ca_file)
            await look.look(name, "hold targets", self._targets)
        else:
            look.skip(name, ["hold targets"], "The backup server was not reached")
        vcenter, appliance = self._settings.vcenter, self._settings.appliance
        if await look.look_in_thread(name, "vCenter", self.vcenter.check):
            await look.certificate(name, "vCenter", f"https://{vcenter.host}:{vcenter.port}", vcenter.ca_file)
            await look.look_in_thread(name, "original VMs", self._originals)
            if appliance is not None:
                await look.look_in_thread(name, "appliance", self._appliance)
        else:
            rest = ["original VMs", *(["appliance"] if appliance is not None else [])]
            look.skip(name, rest, "The vCenter was not reached")

    async def prove_hold(self, vm: str) -> None:
        """A finding more."""
        await self._findings.look(self._settings.namespace, "proof of hold", lambda: prove(self.backup, vm))

    async def _targets(self) -> str:
        """Every VM that is replicated can be put on hold by its name."""
        self._replicated = names = await self.backup.replicated()
        if not names:
            raise NotFound(
                "No replication job lists a VM", do="List VMs themselves in a job, not their folders"
            )
        problems = []
        for name in dict.fromkeys(names):
            try:
                await self.backup.find_target(name)
            except FailoverError as error:
                problems.append(str(error))
        if problems:
            raise RuntimeError(together(problems, len(names)))
        return f"{len(names)}: {', '.join(names)}"

    def _originals(self) -> str:
        """The account sees the VMs that can be failed over, so that preflight can say whether they run."""
        if not self._replicated:
            raise NotLookedAt("The backup server did not say which VMs are replicated")
        problems = []
        for name in self._replicated:
            try:
                self.vcenter.vm_named(name)
            except FailoverError as error:
                problems.append(str(error))
        if len(problems) == len(self._replicated):
            raise NoRight(
                f"The vCenter account sees none of {', '.join(self._replicated)}",
                do="Give it a role with read access to them, or correct the vCenter",
            )
        if problems:
            raise Doubtful(f"{together(problems, len(self._replicated))} Deleted, or not to be read?")
        return f"{len(self._replicated)} can be read"

    def _appliance(self) -> str:
        settings = self._settings.appliance
        connector = factories.appliance(settings, self._key)
        if settings is None or connector is None:
            raise Misconfigured("The appliance is not configured")
        vm = self.vcenter.vm_named(settings.vm)
        more = require_privileges(self.vcenter, vm.name, vm.moref, ON_TENANT_APPLIANCE, "on it")
        groups = {nic.network for nic in vm.nics if nic.connected}
        without = sorted({n.port_group for n in settings.networks.values()} - groups)
        if without:
            raise Misconfigured(
                f"{vm.name} has no connected NIC on {', '.join(without)}", do="Give it one in vCenter"
            )
        if vm.power is not Power.ON:
            off = f"{vm.name} is powered off; when it is on, its SSH and version are checked"
            raise NotLookedAt(". ".join([off, *too_much(more)]))
        text = f"{vm.name} " + appliance_answer(asyncio.run(connector.status()), ApplianceRole.TENANT)
        if more:
            raise Doubtful(". ".join([text, *too_much(more)]))
        return text
