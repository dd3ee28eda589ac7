"""What each account may do, and need not: docs/privileges.md says it for people.

Sources: names of Cloud Director's rights are inferred; privileges of vCenter are those that pyVmomi's method
table has for the calls that the connectors make.
"""

from collections.abc import Sequence

from partial_failover.connectors.vsphere import VSphere
from partial_failover.contracts.errors import NoRight

CLOUD_DIRECTOR = {
    "vApp: Power Operations": "power of replicas and appliances",
    "vApp: Edit Properties": "maintenance mode, and reading a VM anew from vCenter",
    "vApp: Edit VM Network": "NICs, and networks of vApps",
    "vApp: Edit VM Properties": "metadata: state marker, test records, what was before",
}
"""Right of the API token's role → what it is needed for. It reads besides."""

ON_REPLICAS = ("VirtualMachine.State.RevertToSnapshot",)
"""In the provider's vCenters. Power and networks go through Cloud Director. What every role has, reading, is
needed on appliances too."""
FOR_PROGRAMS = ("VirtualMachine.GuestOperations.Execute", "VirtualMachine.GuestOperations.Query")
"""Besides, where failover tests may run programs in guests."""
ON_TENANT_APPLIANCE = ("VirtualMachine.Interact.PowerOn", "VirtualMachine.Interact.PowerOff")
"""In the tenant's vCenter; nothing else there is changed."""

NEVER = (
    "VirtualMachine.Inventory.Delete",
    "VirtualMachine.Inventory.Unregister",
    "VirtualMachine.State.CreateSnapshot",
    "VirtualMachine.State.RemoveSnapshot",
    "VirtualMachine.Config.RemoveDisk",
    "VirtualMachine.Config.AdvancedConfig",
    "Authorization.ModifyPermissions",
)
"""In any vCenter: what an account that is stolen does most harm with, and no step needs."""


def more_than_needed(rights: frozenset[str]) -> list[str]:
    """Rights in Cloud Director that no step needs. Those to view are not counted."""
    return sorted(right for right in rights - CLOUD_DIRECTOR.keys() if "view" not in right.lower())


def require_privileges(
    vcenter: VSphere, vm: str, moref: str, wanted: Sequence[str], where: str
) -> frozenset[str]:
    """Raises `NoRight` where one of `wanted` lacks on a VM. Returns what is there and need not be."""
    granted = vcenter.privileges(moref, (*wanted, *NEVER))
    lacking = [privilege for privilege in wanted if privilege not in granted]
    if lacking:
        raise NoRight(
            f"On {vm} the vCenter account lacks: {', '.join(lacking)}",
            do=f"Add it to the account's role {where}",
        )
    return granted.intersection(NEVER)


def too_much(privileges: frozenset[str]) -> list[str]:
    """A warning, where there are any."""
    named = ", ".join(sorted(privileges))
    return [f"The vCenter account may more than it needs: {named}. Take that from its role"] if named else []
