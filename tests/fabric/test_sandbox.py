"""The sandbox itself: it follows the hypervisors, and dies whole."""

import os
import signal
import subprocess
import sys
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from lab.fabric.fabric import Fabric, FabricError, Interface
from lab.hypervisor import GuestAddress, Hypervisor
from partial_failover.contracts.errors import ApplianceChanged, Unavailable
from tests.examples import ROOT
from tests.fabric.conftest import needs_root
from tests.fabric.site import Site, attempt, booted, lease
from tests.waiting import blocking_until, until

pytestmark = [pytest.mark.root, needs_root]


def interface(network: str, address: str) -> Interface:
    return Interface(network, IPv4Interface(address))


def test_joined_networks_are_one(tmp_path: Path) -> None:
    fabric = Fabric(tmp_path)
    fabric.start()
    try:
        for key in ("acme/lan", "provider/lan"):
            fabric.add_network(key)
        fabric.add_host("here", interface("acme/lan", "10.1.0.1/24"))
        side = Hypervisor("vc", ["dvpg"])
        fabric.attach(side, {"dvpg": "provider/lan"})
        there = side.add_vm("there", ["dvpg"], [GuestAddress(0, IPv4Interface("10.1.0.2/24"))])
        side.power_on(there)
        fabric.settle()
        assert fabric.ping("here", "10.1.0.2", 0.3) is None
        fabric.join("acme/lan", "provider/lan")
        blocking_until(lambda: fabric.ping("here", "10.1.0.2") is not None)  # ARP may have to ask again
        side.plug(there, 0, None)
        fabric.settle()
        assert fabric.ping("here", "10.1.0.2", 0.3) is None
        side.plug(there, 0, "dvpg")
        fabric.settle()
        blocking_until(lambda: fabric.ping("here", "10.1.0.2") is not None)  # ARP may have to ask again
        side.power_off(there)
        fabric.settle()
        with pytest.raises(FabricError):
            fabric.exec("vc/there", ["true"])
    finally:
        fabric.close()


async def test_an_appliance_keeps_its_disk_and_gets_nics_while_it_runs(site: Site) -> None:
    with pytest.raises(Unavailable):
        await site.provider.status()
    site.power_on("provider-appliance")
    first = await booted(site.provider)
    await site.provider.declare_networks(site.networks("provider"), attempt())
    vm, side = site.vms["provider-appliance"], site.provider_side
    whole = vm.nics
    side.set_nics(vm, whole[:2])
    site.fabric.settle()
    assert [n.leg is None for n in (await site.provider.status()).networks] == [False, True]
    with pytest.raises(ApplianceChanged):
        await site.provider.lease(lease(1, "192.168.20.60", "lan-b"), False, False, attempt())
    side.set_nics(vm, whole)
    site.fabric.settle()
    await site.provider.declare_networks(site.networks("provider"), attempt())
    assert await site.provider.lease(lease(1, "192.168.20.60", "lan-b"), False, False, attempt())
    site.power_off("provider-appliance")
    with pytest.raises(Unavailable):
        await site.provider.status()
    site.power_on("provider-appliance")
    again = await booted(site.provider)
    assert again.fingerprint == first.fingerprint
    assert again.leases == (lease(1, "192.168.20.60", "lan-b"),)
    await until(lambda: "192.168.20.60" in site.inside("provider", "ip", "route"))  # applied at boot


def _running(root: int) -> dict[int, str]:
    """All processes under `root`, with the network namespace of each."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    below = {root}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    return {pid: _namespace(pid) for pid in below - {root}}


def _namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return ""


def _here() -> tuple[str, list[str]]:
    """This machine's own routes and devices."""
    routes = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout
    return routes, sorted(os.listdir("/sys/class/net"))


def test_a_killed_lab_leaves_nothing(tmp_path: Path) -> None:
    """Nothing of the appliances that run in it either."""
    before = _here()
    script = (
        "import asyncio, sys, time; from pathlib import Path; from tests.fabric import site\n"
        "built = site.build(Path(sys.argv[1])); asyncio.run(site.connect_appliances(built))\n"
        "print('up', flush=True); time.sleep(60)"
    )
    lab = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "fabric")], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert lab.stdout is not None and lab.stdout.readline() == b"up\n"
    running = _running(lab.pid)
    assert len(running) > 10 and len(set(running.values())) > 3, "OpenVPN, sshd, HAProxy, two appliances"
    lab.send_signal(signal.SIGKILL)
    lab.wait()
    lab.stdout.close()
    blocking_until(lambda: not any(_namespace(pid) == space for pid, space in running.items() if space))
    assert _here() == before
