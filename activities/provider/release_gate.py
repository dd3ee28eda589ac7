"""The gate of release: the replica is off, on its latest restore point, and was not on since its revert.

MarkNormal asks it, and ConfirmNormal, which makes the proof of it; without that proof ReleaseReplication, at
the tenant's site, releases nothing.
"""

from activities.provider.restore_points import latest
from activities.provider.tenant import ProviderTenant
from partial_failover.contracts.errors import WrongState
from partial_failover.contracts.replica import CloudVm, DiskChange, Power, RestorePoint
from partial_failover.contracts.step_data import CleanInput


def require_clean(tenant: ProviderTenant, vm: CloudVm, data: CleanInput) -> RestorePoint:
    """Replicating onto a replica that is on or was written to tears its image silently."""
    vcenter, hardware = tenant.hardware(vm)
    point = latest(hardware.restore_points)
    off = vm.power is Power.OFF and hardware.power is Power.OFF
    if not off or hardware.current != point.id:
        raise WrongState(
            f"{vm.name} is {hardware.power} and stands on {hardware.current}, "
            f"not powered off on its latest restore point {point.id}",
            left="Replication stays on hold",
            do="Undo the failover again, or power it off and revert it to its latest restore point",
        )
    last = vcenter.last_change(hardware.moref, data.not_before) if data.not_before else None
    if last is None and data.reverted:
        raise WrongState(
            f"The vCenter of {vm.name} has no record of its revert any more, so it is not known whether "
            "somebody powered it on since",
            left="It was left as it is, and replication stays on hold",
            do="Let it be taken back once more",
        )
    if last is DiskChange.MERGED:
        raise WrongState(
            f"Somebody removed a snapshot of {vm.name} after it was reverted, so its disk may hold more than "
            f"{point.name} does",
            left="It was left as it is, and replication stays on hold",
            do="Let it be taken back once more",
        )
    if last is DiskChange.STARTED:
        raise WrongState(
            f"Somebody powered {vm.name} on after it was reverted, so it may have been written to",
            left="It was left as it is, and replication stays on hold",
            do="Find out who; when nothing of what it wrote is needed, let it be taken back once more",
        )
    return point
