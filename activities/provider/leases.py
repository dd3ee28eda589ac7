"""Which addresses a replica has, and that a step speaks of no others."""

from activities.provider import nic_memory
from activities.provider.tenant import ProviderTenant
from partial_failover.contracts.appliance import Lease
from partial_failover.contracts.errors import NotFound
from partial_failover.contracts.replica import CloudVm
from partial_failover.contracts.run import lease_id
from partial_failover.contracts.step_data import ApplianceStep


def leases_of(vm: CloudVm) -> tuple[Lease, ...]:
    """One lease for each connected NIC with a static address."""
    return tuple(
        Lease(id=lease_id(vm.id, nic.index), network=nic.network, address=nic.address)
        for nic in vm.nics
        if nic.connected and nic.network is not None and nic.address is not None
    )


def require_own_leases(tenant: ProviderTenant, data: ApplianceStep) -> None:
    """Provider's side: the addresses must be the replica's own. A test, or a revert that is under way beside
    this, has its NICs unplugged and remembers them; when that has just ended, they are there again."""
    wanted, looks = set(data.leases), (_plugged, _remembered, _plugged)
    if not wanted or all(wanted != look(tenant, data.replica_id) for look in looks):
        raise NotFound(
            f"These are not the addresses of {tenant.replica(data.replica_id).name}",
            left="Nothing was changed",
        )


def _plugged(tenant: ProviderTenant, replica_id: str) -> set[Lease]:
    return set(leases_of(tenant.replica(replica_id)))


def _remembered(tenant: ProviderTenant, replica_id: str) -> set[Lease]:
    vm = tenant.replica(replica_id)
    nics = nic_memory.remembered(tenant, vm)
    return set(leases_of(vm.model_copy(update={"nics": nics}))) if nics else set()
