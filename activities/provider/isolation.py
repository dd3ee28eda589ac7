"""Keeping a replica under test away from every production network."""

from collections.abc import Sequence

from activities.provider.tenant import ProviderTenant
from partial_failover.contracts.errors import WrongState
from partial_failover.contracts.network import AllocationMode, Network, Nic
from partial_failover.contracts.replica import CloudVm


def network_of(tenant: ProviderTenant) -> Network | None:
    """The isolated network that the provider set up for this tenant's tests, if there is one."""
    wanted = tenant.settings.test_network
    if wanted is None:
        return None
    network = next((n for n in tenant.vdc.networks() if n.name == wanted.name), None)
    if network is None:
        raise WrongState(
            f"The network for tests, {wanted.name}, is not in the organization VDC",
            left="The replica was not powered on",
            do="Create it as an isolated network, or take test_network out of the worker's settings",
        )
    if not network.isolated:
        raise WrongState(
            f"The network for tests, {wanted.name}, is not an isolated organization VDC network",
            left="The replica was not powered on",
            do="Choose an isolated one, or take test_network out of the worker's settings",
        )
    return network


def isolated(nics: Sequence[Nic], network: Network | None) -> tuple[Nic, ...]:
    """The same NICs, unplugged, or plugged into the test network with their addresses where they fit."""
    if network is None:
        return tuple(
            Nic(index=nic.index, network=None, mac=nic.mac, connected=False, primary=nic.primary)
            for nic in nics
        )
    return tuple(_moved(nic, network) for nic in nics)


def _moved(nic: Nic, network: Network) -> Nic:
    fits = nic.address is not None and nic.address in network.subnet
    mode, address = (AllocationMode.MANUAL, nic.address) if fits else (AllocationMode.NONE, None)
    return Nic(
        index=nic.index, network=network.name, mac=nic.mac, mode=mode, address=address, primary=nic.primary
    )


def apart(tenant: ProviderTenant, vm: CloudVm) -> bool:
    """Whether no NIC of the VM is on any network but the one for tests: that very one, by its id, for a NIC
    names only the vApp's own network. Of a NIC that cannot be read nobody knows."""
    plugged = {nic.network for nic in vm.nics} - {None}
    network = network_of(tenant)
    if vm.unread:
        return False
    if not plugged:
        return True
    if network is None or plugged != {network.name}:
        return False
    return tenant.vdc.is_attached(vm.vapp_id, network)
