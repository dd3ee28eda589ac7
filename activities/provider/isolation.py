"""Keeping a replica under test away from every production network, and finding its way back."""

from collections.abc import Sequence
from ipaddress import IPv4Address

from pydantic import ValidationError

from activities.provider.tenant import ProviderTenant
from partial_failover.connectors.attempt import Attempt
from partial_failover.contracts.base import Contract
from partial_failover.contracts.errors import WrongState
from partial_failover.contracts.network import AllocationMode, Network, Nic
from partial_failover.contracts.replica import CloudVm

KEY = "partial-failover.nics"


class _Wiring(Contract):
    """NICs, short: ten of them must fit into 1000 characters. Each: index, number of its network, MAC, mode,
    address, and "c" for connected, "p" for primary."""

    networks: tuple[str, ...]
    nics: tuple[tuple[int, int | None, str, AllocationMode, IPv4Address | None, str], ...]


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
    if not found.isolated:
        raise WrongState(
            f"The network for tests, {wanted.name}, is not an isolated organization VDC network",
            left="The replica was not powered on",
            do="Choose an isolated one, or take test_network out of the worker's settings",
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


def apart(tenant: ProviderTenant, vm: CloudVm) -> bool:
    """Whether no NIC of the VM is on any network but the one for tests: that very one, by its id, for a NIC
    names only the vApp's own network."""
    plugged = {nic.network for nic in vm.nics} - {None}
    network = network_of(tenant)
    if not plugged:
        return True
    if network is None or plugged != {network.name}:
        return False
    return tenant.cloud.is_attached(tenant.vdc, vm.vapp_id, network)


def remember(tenant: ProviderTenant, vm: CloudVm, nics: Sequence[Nic], attempt: Attempt) -> bool:
    """Write down how the replica is wired outside of the test: a test may be terminated."""
    return tenant.cloud.set_metadata(tenant.vdc, "vm", vm.id, KEY, written(nics), attempt)


def written(nics: Sequence[Nic]) -> str:
    """As the metadata keeps it."""
    names = sorted({nic.network for nic in nics if nic.network is not None})
    short = (
        (
            nic.index,
            names.index(nic.network) if nic.network is not None else None,
            nic.mac,
            nic.mode,
            nic.address,
            "c" * nic.connected + "p" * nic.primary,
        )
        for nic in nics
    )
    return _Wiring(networks=tuple(names), nics=tuple(short)).model_dump_json()


def _read(text: str) -> tuple[Nic, ...]:
    wiring = _Wiring.model_validate_json(text)
    return tuple(
        Nic(
            index=index,
            network=wiring.networks[number] if number is not None else None,
            mac=mac,
            mode=mode,
            address=address,
            connected="c" in flags,
            primary="p" in flags,
        )
        for index, number, mac, mode, address, flags in wiring.nics
    )


def remembered(tenant: ProviderTenant, vm: CloudVm) -> tuple[Nic, ...] | None:
    """How a replica that a test has, or left, is wired outside of it; None when no test isolated it."""
    text = tenant.cloud.metadata(tenant.vdc, "vm", vm.id, KEY)
    if text is None:
        return None
    try:
        return _read(text)
    except (ValidationError, IndexError):
        raise WrongState(
            f"How {vm.name} was wired before its failover test cannot be read",
            left="The replica was left as it is",
            do=f"Wire it as it was, then remove its SYSTEM metadata {KEY}",
        ) from None


def forget(tenant: ProviderTenant, vm: CloudVm, attempt: Attempt) -> bool:
    """The replica is wired as outside of a test again."""
    return tenant.cloud.delete_metadata(tenant.vdc, "vm", vm.id, KEY, attempt)
