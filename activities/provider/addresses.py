"""What is wrong with a replica's addresses."""

from collections.abc import Iterator

from activities.provider.leases import leases_of
from partial_failover.contracts.errors import Who
from partial_failover.contracts.network import AllocationMode, Network, Nic
from partial_failover.contracts.plan import Problem
from partial_failover.contracts.replica import CloudVm

OWN = "that is a network of its vApp alone, isolated or routed by NAT, and production is not on it"
BRIDGE = "Connect it to the organization VDC network itself; a vApp that is fenced must not be"
GIVE = "Give it the original's address in Cloud Director"


def of_replica(vm: CloudVm, networks: tuple[Network, ...], extended: bool) -> list[Problem]:
    """Static addresses only: the source's DHCP does not answer here, and the replica would be unreachable.
    `extended`: by appliances, which leave the gateway's address to the gateway."""
    by_name = {n.name: n for n in networks}
    problems = unread(vm)
    for nic in vm.nics:
        if nic.connected and nic.network is not None:
            where = f"NIC {nic.index} of {vm.name} on {nic.network}"
            if nic.network in vm.own_networks:
                problems.append(_wrong(f"{where}: {OWN}", BRIDGE))
            else:
                problems += _of_nic(nic, by_name.get(nic.network), where, extended)
    if not leases_of(vm) and not problems:
        problems.append(_wrong(f"{vm.name} has no connected NIC", "Connect it in Cloud Director"))
    return problems


def unread(vm: CloudVm) -> list[Problem]:
    """What of the replica could not be read."""
    do = "Set it anew in Cloud Director, then look again"
    return [_wrong(f"{what} of {vm.name} cannot be read", do) for what in vm.unread]


def _of_nic(nic: Nic, network: Network | None, where: str, extended: bool) -> Iterator[Problem]:
    if network is None:
        yield _wrong(f"{where}: that is no organization VDC network", "Connect it to one")
    elif nic.address is None or nic.mode is AllocationMode.DHCP:
        yield _wrong(f"{where} has no static address", GIVE)
    elif nic.address not in network.subnet:
        yield _wrong(f"{where} has the address {nic.address} outside {network.subnet}", "Correct the address")
    elif not network.has_host(nic.address):
        yield _wrong(f"{where} has {nic.address}, which no host of {network.subnet} can have", GIVE)
    elif extended and nic.address == network.gateway:
        yield _wrong(f"{where} has the gateway's address {nic.address}", GIVE)


def _wrong(what: str, do: str) -> Problem:
    return Problem(what=what, who=Who.PROVIDER, do=do)
