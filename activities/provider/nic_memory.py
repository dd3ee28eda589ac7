"""A replica's NICs as they are outside of its failover, remembered with it from its mark on.

A test takes them off their networks and a revert rolls them back with the hardware; whoever ends the
failover, or takes it over, puts them back.
"""

from collections.abc import Sequence

from activities.provider.tenant import ProviderTenant
from partial_failover.connectors.attempt import Attempt
from partial_failover.connectors.cloud_director.metadata_store import NICS
from partial_failover.contracts.network import Nic
from partial_failover.contracts.remembered import NicMemory
from partial_failover.contracts.replica import CloudVm


def remember(tenant: ProviderTenant, vm: CloudVm, nics: Sequence[Nic], attempt: Attempt) -> bool:
    """Write them down before anything changes them: a failover may be terminated at any moment."""
    return tenant.vdc.remembered.write(NICS, vm.id, NicMemory.of(nics), attempt)


def remembered(tenant: ProviderTenant, vm: CloudVm) -> tuple[Nic, ...] | None:
    """None when they are as they were, so that the VM itself shows them."""
    memory = tenant.vdc.remembered.read(NICS, vm.id)
    return memory.restored() if memory else None


def forget(tenant: ProviderTenant, vm: CloudVm, attempt: Attempt) -> bool:
    """The replica is wired as outside of a failover again."""
    return tenant.vdc.remembered.forget(NICS, vm.id, attempt)
