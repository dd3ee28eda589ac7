"""Keeping a replica under test away from every production network, and finding its way back."""

from collections.abc import Sequence

from pydantic import TypeAdapter, ValidationError

from activities.provider import ProviderTenant
from connectors.attempt import Attempt
from contracts.errors import WrongState
from contracts.network import AllocationMode, Network, Nic
from contracts.replica import CloudVm

KEY = "partial-failover.nics"
_NICS = TypeAdapter(tuple[Nic, ...])


def network_of(tenant: ProviderTenant) -> Network | None:
    """The isolated network that the provider set up for this tenant's tests, if there is one."""
    wanted = tenant.settings.test_network
    if wanted is None:
        return None
    found = next((n for n in tenant.cloud.networks(tenant.vdc) if n.name == wanted.name), None)
    if found is None:
        raise WrongState(
            f"The network for tests, {wanted.name}, is not in the organization VDC",
            left="The replica was not powered on",
            do="Create it as an isolated network, or take test_network out of the worker's settings",
        )
    return found


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


def apart(vm: CloudVm, network: Network | None) -> bool:
    """Whether no NIC of the VM is on any network but the one for tests."""
    allowed = {None} if network is None else {None, network.name}
    return all(nic.network in allowed for nic in vm.nics)


def remember(tenant: ProviderTenant, vm: CloudVm, nics: Sequence[Nic], attempt: Attempt) -> bool:
    """Write down how the replica is wired outside of the test: a test may be terminated."""
    text = _NICS.dump_json(tuple(nics), exclude_defaults=True).decode()
    return tenant.cloud.set_metadata(tenant.vdc, "vm", vm.id, KEY, text, attempt)


def remembered(tenant: ProviderTenant, vm: CloudVm) -> tuple[Nic, ...] | None:
    """How a replica that a test has, or left, is wired outside of it; None when no test isolated it."""
    text = tenant.cloud.metadata(tenant.vdc, "vm", vm.id, KEY)
    if text is None:
        return None
    try:
        return _NICS.validate_json(text)
    except ValidationError:
        raise WrongState(
            f"How {vm.name} was wired before its failover test cannot be read",
            left="The replica was left as it is",
            do=f"Wire it as it was, then remove its SYSTEM metadata {KEY}",
        ) from None


def forget(tenant: ProviderTenant, vm: CloudVm, attempt: Attempt) -> bool:
    """The replica is wired as outside of a test again."""
    return tenant.cloud.delete_metadata(tenant.vdc, "vm", vm.id, KEY, attempt)
