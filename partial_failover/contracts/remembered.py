"""What the product remembers in Cloud Director's metadata, beside a replica's marker and its test records."""

from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import Annotated, Self

from pydantic import ConfigDict, model_validator

from partial_failover.contracts.base import UNLESS_EMPTY, Contract
from partial_failover.contracts.network import AllocationMode, Nic


class NicMemory(Contract):
    """A replica's NICs as they are outside of a failover: a test isolates it, and a revert rolls its hardware
    back. Short: ten NICs fit into 1000 characters.

    Example: `{"networks": ["acme-lan-a"],
    "nics": [[0, 0, "00:50:56:01:02:03", "MANUAL", "192.168.10.21", "cp"]]}`
    """

    networks: tuple[str, ...]
    nics: tuple[tuple[int, int | None, str, AllocationMode, IPv4Address | None, str], ...]
    """Each: index, number of its network, MAC, mode, address, and "c" for connected, "p" for primary."""
    others: Annotated[tuple[tuple[str, tuple[int, ...]], ...], UNLESS_EMPTY] = ()
    """What else Cloud Director has of a NIC, each with the indices of the NICs that have it."""

    @model_validator(mode="after")
    def _name_every_network(self) -> Self:
        if any(number is not None and not 0 <= number < len(self.networks) for _, number, *_ in self.nics):
            raise ValueError("a NIC is on a network that is not named")
        return self

    @classmethod
    def of(cls, nics: Sequence[Nic]) -> Self:
        """These NICs."""
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
        texts = dict.fromkeys(text for nic in nics for text in nic.others)
        others = ((text, tuple(nic.index for nic in nics if text in nic.others)) for text in texts)
        return cls(networks=tuple(names), nics=tuple(short), others=tuple(others))

    def restored(self) -> tuple[Nic, ...]:
        """The NICs."""
        return tuple(
            Nic(
                index=index,
                network=self.networks[number] if number is not None else None,
                mac=mac,
                mode=mode,
                address=address,
                connected="c" in flags,
                primary="p" in flags,
                others=tuple(text for text, indices in self.others if index in indices),
            )
            for index, number, mac, mode, address, flags in self.nics
        )


class ApplianceWiring(Contract):
    """How the provider's appliance was wired before the first failover touched it."""

    networks: tuple[str, ...]
    """Attached to its vApp."""
    nics: tuple[Nic, ...]


class MaintenanceRecord(Contract):
    """Who needs a vApp in maintenance mode, and whether it was in it before the first of them came."""

    model_config = ConfigDict(extra="ignore")  # a field of a newer version does not make it unreadable

    owners: tuple[str, ...] = ()
    was_in_maintenance: bool = False
