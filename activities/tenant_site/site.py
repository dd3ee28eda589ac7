"""What one tenant's namespace may touch at the tenant's site: authority comes from here, not from inputs."""

from collections.abc import Collection

from activities.shared.fence import Fence
from partial_failover.connectors.appliance import Appliance
from partial_failover.connectors.veeam import Veeam
from partial_failover.connectors.vsphere import VSphere
from partial_failover.contracts.appliance import Lease
from partial_failover.contracts.errors import Misconfigured, NotFound
from partial_failover.contracts.replica import VSphereVm
from partial_failover.contracts.replication import HoldTarget
from partial_failover.settings import TenantApplianceSettings, TenantSiteSettings


class Site:
    """One tenant's backup server, vCenter and appliance."""

    def __init__(
        self,
        settings: TenantSiteSettings,
        backup: Veeam,
        vcenter: VSphere,
        appliance: Appliance | None,
        fence: Fence,
        proof_keys: Collection[str],
    ) -> None:
        """`proof_keys`: public keys of the provider's worker."""
        self.settings, self.backup, self.vcenter = settings, backup, vcenter
        self.proof_keys = proof_keys
        self._appliance = appliance
        self.fence = fence

    @property
    def appliance_settings(self) -> TenantApplianceSettings:
        """Settings of the tenant's appliance; there is one only where the tenant set one up."""
        if self.settings.appliance is None:
            raise Misconfigured("There is no appliance at the tenant's site")
        return self.settings.appliance

    @property
    def appliance(self) -> Appliance:
        """The appliance's own side, over SSH."""
        if self._appliance is None:
            raise Misconfigured("There is no appliance at the tenant's site")
        return self._appliance

    def appliance_vm(self) -> VSphereVm:
        """The appliance as the tenant's vCenter shows it."""
        return self.vcenter.vm_named(self.appliance_settings.vm)

    def original(self, name: str, target: HoldTarget | None) -> VSphereVm:
        """The original VM: the very one that is replicated, where the backup server has it from this vCenter;
        otherwise the one of that name. Raises `NotFound`."""
        known = self._of_reference(target) if target else None
        if known is not None and known.name == name:
            return known
        try:
            return self.vcenter.vm_named(name)
        except NotFound:
            if known is None:
                raise
            return known  # it was renamed since

    def _of_reference(self, target: HoldTarget) -> VSphereVm | None:
        if target.host.casefold() != self.settings.vcenter.host.casefold():
            return None
        try:
            return self.vcenter.vm(target.object_id)
        except NotFound:  # it was registered anew since
            return None

    async def require_own(self, target: HoldTarget) -> None:
        """The target must be what this tenant's own backup server says of that name."""
        known = await self.backup.find_target(target.name)
        if (known.object_id, known.host) != (target.object_id, target.host):
            raise NotFound(f"{target.name} is not the VM that was planned with", left="Nothing was changed")

    def require_own_networks(self, leases: Collection[Lease]) -> None:
        """The addresses must lie in networks that the tenant's appliance serves."""
        foreign = sorted({lease.network for lease in leases} - set(self.appliance_settings.networks))
        if foreign or not leases:
            raise NotFound(
                f"The tenant's appliance serves no network {', '.join(foreign) or '(none was named)'}",
                left="Nothing was changed",
            )
