"""What production and the replicas see of each other on the wire: real ARP and real pings."""

import asyncio
import logging
import re
import time
from dataclasses import dataclass
from ipaddress import IPv4Address

from lab.data_centre import DataCentre
from lab.fabric.fabric import Fabric, FabricError
from lab.site import APPLIANCE, TenantSite
from lab.tenants import Machine

log = logging.getLogger(__name__)
PINGS = 5
ANSWERS_WITHIN = 20.0
"""Seconds until the first ping must be answered."""


@dataclass(frozen=True)
class Pings:
    """How many of `sent` were answered, and the mean round trip in milliseconds."""

    sent: int
    answered: int
    milliseconds: float | None

    @property
    def all_answered(self) -> bool:
        """Whether not one was lost."""
        return self.answered == self.sent

    def __str__(self) -> str:
        mean = "" if self.milliseconds is None else f", {self.milliseconds:.2f} ms"
        return f"{self.answered} of {self.sent} pings answered{mean}"


class Production:
    """One tenant's production networks. `name` is always that of an original VM."""

    def __init__(self, centre: DataCentre, site: TenantSite) -> None:
        assert isinstance(centre.fabric, Fabric), "there are no packets in a simulated data centre"
        self.fabric, self.centre, self.site = centre.fabric, centre, site
        self.machines = {machine.name: machine for machine in site.tenant.machines}

    def address(self, name: str) -> IPv4Address:
        """The address of an original, which is its replica's too."""
        return self.machines[name].address

    def neighbours(self, name: str) -> list[Machine]:
        """The production VMs of its network that are on, but for itself."""
        lan = self.machines[name].lan
        return [m for m in self.machines.values() if m.lan == lan and m.name != name and self._is_on(m)]

    async def pings(self, host: str, address: IPv4Address) -> Pings:
        """Several pings from a host of the fabric."""
        argv = ["ping", "-n", "-c", str(PINGS), "-i", "0.2", "-W", "1", str(address)]
        shown = await self._shows(host, argv)
        answered = re.search(r"(\d+) received", shown)
        mean = re.search(r"= [0-9.]+/([0-9.]+)/", shown)
        return Pings(PINGS, int(answered[1]) if answered else 0, float(mean[1]) if mean else None)

    async def answers(self, host: str, address: IPv4Address, within: float = ANSWERS_WITHIN) -> bool:
        """Whether a ping is answered before the time is over."""
        end = time.monotonic() + within
        while await asyncio.to_thread(self.fabric.ping, host, address) is None:
            if time.monotonic() > end:
                return False
        return True

    async def silent(self, name: str) -> bool:
        """Whether nobody on its network answers for the address, by ping or by ARP."""
        hosts = [self.site.host(neighbour.name) for neighbour in self.neighbours(name)]
        pings = (asyncio.to_thread(self.fabric.ping, host, self.address(name)) for host in hosts)
        owners = (self.owners(host, self.address(name)) for host in hosts)
        answers = await asyncio.gather(*pings, *owners)
        return all(answer is None or answer == frozenset() for answer in answers)

    async def owners(self, host: str, address: IPv4Address) -> frozenset[str]:
        """Everybody who answers this host's ARP requests for the address, by MAC."""
        argv = ["arping", "-b", "-c", "2", "-w", "1", "-I", "eth0", str(address)]
        shown = await self._shows(host, argv)
        if shown and "Sent " not in shown:
            raise RuntimeError(f"arping in {host}: {shown}")
        return frozenset(mac.lower() for mac in re.findall(r"\[([0-9A-Fa-f:]{17})\]", shown))

    async def resolve(self) -> dict[str, frozenset[str]]:
        """How production VMs that are on resolve each other and their router: "from > to", MACs."""
        asked: dict[str, tuple[str, IPv4Address]] = {}
        for machine in self.machines.values():
            if self._is_on(machine):
                router = self.site.tenant.lan(machine.lan).router.ip
                others = [*(m.address for m in self.neighbours(machine.name)), router]
                asked |= {f"{machine.name} > {to}": (self.site.host(machine.name), to) for to in others}
        answers = await asyncio.gather(*(self.owners(host, to) for host, to in asked.values()))
        return dict(zip(asked, answers, strict=True))

    def tenant_interface(self, name: str) -> str:
        """MAC of the tenant's appliance on the original's network."""
        lan = self.site.tenant.lan(self.machines[name].lan)
        return next(n.mac for n in self.site.vm(APPLIANCE).nics if n.network == lan.port_group)

    def provider_interface(self, name: str) -> str | None:
        """MAC of the provider's appliance on the replica's network; None while it has none there."""
        appliance = self.centre.provider.find(f"{self.site.tenant.name}-{APPLIANCE}")
        group = self.centre.replica(name).nics[0].network
        nics = appliance.nics if appliance else ()
        return next((n.mac for n in nics if n.network == group), None)

    async def _shows(self, host: str, argv: list[str]) -> str:
        """What a command printed; nothing where the guest has not come up."""
        try:
            return (await asyncio.to_thread(self.fabric.exec, host, argv))[1]
        except FabricError as error:
            log.warning("%s in %s: %s", argv[0], host, error)
            return ""

    def _is_on(self, machine: Machine) -> bool:
        return self.site.vm(machine.name).power == "poweredOn"
