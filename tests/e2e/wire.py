"""What is seen on the wire: pings, ARP answers, packets, and what runs in the sandbox of the networks."""

import asyncio
import re
from ipaddress import IPv4Address

import pytest

from lab.fabric.fabric import Fabric
from lab.lab import Lab
from tests.waiting import PATIENCE

MISSING = Fabric.missing()
needs_root = pytest.mark.skipif(
    bool(MISSING), reason=f"no real data plane here, missing: {', '.join(MISSING)}"
)
Address = IPv4Address | str


def fabric(lab: Lab) -> Fabric:
    """The real networks."""
    assert isinstance(lab.centre.fabric, Fabric)
    return lab.centre.fabric


def sandbox(lab: Lab) -> tuple[str, int]:
    """OpenVPN processes, and the number of network namespaces, once all power changes have happened."""
    if not isinstance(lab.centre.fabric, Fabric):
        return "", 0
    lab.centre.fabric.settle()
    processes = lab.centre.fabric.exec("cloud-gateway", ["pgrep", "-a", "openvpn"])[1]
    spaces = lab.centre.fabric.exec("cloud-gateway", ["ip", "netns", "list"])[1]
    return processes, len(spaces.splitlines())


async def pings(lab: Lab, host: str, address: Address, within: float = PATIENCE) -> bool:
    """Whether an echo reply comes within so many seconds."""
    end = asyncio.get_running_loop().time() + within
    while asyncio.get_running_loop().time() < end:
        if await asyncio.to_thread(fabric(lab).ping, host, address, 0.5) is not None:
            return True
    return False


async def forget_neighbours(lab: Lab, host: str) -> None:
    """Empty a host's ARP cache: it may know the MAC of an earlier replica, which Linux gives up late."""
    await asyncio.to_thread(fabric(lab).exec, host, ["ip", "neigh", "flush", "all"])


async def silent(lab: Lab, host: str, address: Address) -> bool:
    """Whether nobody answers a ping."""
    return await asyncio.to_thread(fabric(lab).ping, host, address, 1) is None


async def who_has(lab: Lab, host: str, address: Address) -> set[str]:
    """MACs that answer an ARP request of this host."""
    argv = ["arping", "-c", "2", "-w", "1", "-I", "eth0", str(address)]
    _, shown = await asyncio.to_thread(fabric(lab).exec, host, argv)
    assert "Sent " in shown, shown
    return {mac.lower() for mac in re.findall(r"\[([0-9A-Fa-f:]{17})\]", shown)}


async def is_a_duplicate(lab: Lab, host: str, address: Address) -> bool:
    """Whether somebody else answers a host that probes its own address, as a booting guest does."""
    argv = ["arping", "-D", "-c", "2", "-w", "2", "-I", "eth0", str(address)]
    status, _ = await asyncio.to_thread(fabric(lab).exec, host, argv)
    return status != 0


async def addresses(lab: Lab, host: str) -> set[str]:
    """Addresses with prefix that the guest itself has on its first NIC."""
    _, shown = await asyncio.to_thread(fabric(lab).exec, host, ["ip", "-4", "-o", "addr", "show", "eth0"])
    return set(re.findall(r"inet ([0-9./]+)", shown))


async def captured(lab: Lab, host: str, expression: str, seconds: float) -> int:
    """How many packets of that kind pass the first NIC of a host."""
    argv = ["timeout", str(seconds), "tcpdump", "-l", "-n", "-i", "eth0", expression]
    _, shown = await asyncio.to_thread(fabric(lab).exec, host, argv, seconds + 5)
    found = re.search(r"(\d+) packets? captured", shown)
    assert found is not None, shown
    return int(found[1])


async def flood(lab: Lab, host: str, address: Address, size: int) -> int:
    """Pings of a size for seven seconds; how many were answered."""
    argv = ["ping", "-n", "-c", "35", "-i", "0.2", "-W", "1", "-s", str(size), str(address)]
    _, shown = await asyncio.to_thread(fabric(lab).exec, host, argv, 20)
    found = re.search(r"(\d+) received", shown)
    assert found is not None, shown
    return int(found[1])
