"""A stand-in for `lab.fabric.fabric.Fabric` where there are no namespaces: control plane only.

Each appliance is an SSH server on loopback with the pinned host key and the one command, and answers with
the real program's request handling. There is no tunnel and no packet: who has an address is looked up.
"""

import asyncio
import hashlib
import json
import logging
import threading
import uuid
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

import asyncssh

from appliance.kernel import TUNNEL_ENDS
from appliance.model import Role, interface_name
from appliance.requests import LONGEST_REQUEST, answer
from appliance.state import State
from appliance.system import System
from appliance.vpn import Tunnel
from lab.fabric import provision
from lab.fabric.appliance_vm import ApplianceVm
from lab.fabric.fabric import Interface
from lab.fabric.follower import Follower
from lab.fabric.provision import Access
from lab.hypervisor import Hypervisor, Vm
from lab.injected_faults import AuditEntry, FaultKind, InjectedFaults
from partial_failover.cli.cloud_init import ManagementNic, NewAppliance

log = logging.getLogger(__name__)

LARGEST = 1000
"""Bytes of what passes a line that drops large packets."""
KINDS = (FaultKind.DELAY, FaultKind.BUSY, FaultKind.DROP_BEFORE, FaultKind.DROP_AFTER)


@dataclass
class World:
    """Who is on which network with which address."""

    nodes: dict[str, list[tuple[str, str, IPv4Address]]] = field(default_factory=dict)
    """By name: network, MAC and address of each NIC of what is on now."""
    joined: dict[str, str] = field(default_factory=dict)

    def network(self, key: str) -> str:
        """The name of a broadcast domain."""
        while key in self.joined:
            key = self.joined[key]
        return key

    def owner(self, networks: Iterable[str], address: IPv4Address) -> str | None:
        """MAC of whoever has the address on one of these networks."""
        keys = {self.network(key) for key in networks}
        for nics in list(self.nodes.values()):
            for key, mac, own in nics:
                if own == address and self.network(key) in keys:
                    return mac
        return None


class SimulatedSystem(System):
    """An appliance's kernel and OpenVPN as far as requests can see them."""

    def __init__(
        self,
        state: State,
        world: World,
        interfaces: dict[str, str],
        pair: "Pair",
        reload_ssh: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(state)
        self._reload_ssh = reload_ssh
        self.world = world
        self.networks = interfaces
        """Network key by interface, for what is plugged in now."""
        self.pair = pair
        self.announced: list[tuple[str, str, str | None]] = []

    def apply(self) -> None:
        """There is no kernel to change."""

    def interfaces(self) -> frozenset[str]:
        return frozenset(self.networks)

    def owner(self, interface: str, address: IPv4Address, sender: IPv4Address | None = None) -> str | None:
        return self.world.owner([self.networks[interface]], address)

    def wake(self, announce: list[tuple[str, str, str | None]]) -> None:
        self.announced += announce

    def tunnel(self) -> Tunnel:
        ends = [self.pair.systems.get(role) for role in Role]
        if not self.runs():
            return Tunnel("stopped")
        return Tunnel("connected", 0) if all(e and e.runs() for e in ends) else Tunnel("connecting")

    def runs(self) -> bool:
        """Whether its end of the tunnel is there."""
        wanted = self.state.vpn()
        return wanted is not None and wanted.wanted and not self.state.closing

    def fingerprint(self) -> str:
        return hashlib.sha256(str(self.state.folder).encode()).digest().hex(":").upper()

    def reload_ssh(self) -> None:
        self._reload_ssh()

    def ping(
        self, source: IPv4Address, address: IPv4Address, size: int = 56, seconds: float = 1.0
    ) -> float | None:
        """The tenant's end pings through the tunnel, and needs the provider's lease for it. The ends answer
        each other."""
        if address in TUNNEL_ENDS.values():
            lost = self.pair.drops_large and size > LARGEST
            return 0.5 if self.tunnel().state == "connected" and not lost else None
        provider = self.pair.systems.get(Role.PROVIDER)
        if provider is None or (self.state.role is Role.TENANT and self.tunnel().state != "connected"):
            return None
        leased = {lease.address for lease in provider.state.leases().values()}
        owned = address in leased and self.world.owner(provider.networks.values(), address)
        return 0.5 if owned else None


@dataclass
class Pair:
    """The two appliances of one tenant, as far as they are on. `drops_large`: the line between them drops
    large packets without a word; what a lost one does to the tunnel is left out."""

    systems: dict[Role, SimulatedSystem] = field(default_factory=dict)
    drops_large: bool = False


@dataclass
class Machine:
    """One appliance VM. `system` is None while it is off. `name`: its endpoint, for faults and audit."""

    name: str
    disk: Path
    role: Role
    pair: Pair
    boots: int = 0
    system: SimulatedSystem | None = None
    connections: set[asyncssh.SSHServerConnection] = field(default_factory=set)


class SimulatedFabric:
    """The same calls as `Fabric` has, but for those that need packets (`exec`, `ping`, `set_carrier`).

    Faults are injected for an appliance's "<hypervisor>/<vm>" and a request's name (`lease`, `status`, …).
    """

    def __init__(self, folder: Path, faults: InjectedFaults) -> None:
        self.folder = folder
        self.faults = faults
        self.world = World()
        self.disks: dict[str, Path] = {}
        """By appliance."""
        self._pairs: dict[str, Pair] = {}
        self._machines: dict[str, Machine] = {}
        self._servers: dict[str, asyncssh.SSHAcceptor] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fabric", daemon=True)

    def start(self) -> None:
        """Start the thread in which the SSH servers run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._thread.start()

    def close(self) -> None:
        """Stop everything."""
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def add_network(self, key: str) -> None:
        """Networks are made by being used."""

    def join(self, one: str, other: str) -> None:
        """Make one broadcast domain of two."""
        if self.world.network(one) != self.world.network(other):
            self.world.joined[self.world.network(one)] = self.world.network(other)

    def add_host(self, name: str, *interfaces: Interface, forward: bool = False) -> None:
        """A host that is always on."""
        self.world.nodes[name] = [
            (x.network, "02:" + uuid.uuid4().bytes[:5].hex(":"), x.address.ip) for x in interfaces
        ]

    def add_worker(self, name: str, interface: Interface) -> None:
        """Workers reach the stand-in's appliances on loopback without it."""
        self.add_host(name, interface)

    def add_gateway(self, name: str, *interfaces: Interface, config: str) -> None:
        """There is nothing to relay."""
        self.add_host(name, *interfaces)

    def reload_gateway(self, name: str, config: str) -> None:
        """There is nothing to relay."""

    def add_appliance(self, appliance: ApplianceVm) -> Access:
        """Provision an appliance VM; its SSH server answers while the VM is on."""
        name, disk = appliance.name, appliance.disk(self.folder)
        public = provision.worker_key(appliance.key_file)
        loopback = IPv4Address("127.0.0.1")
        management = ManagementNic(appliance.vm.nics[0].mac)
        new = NewAppliance(appliance.role, public, provision.PLACEHOLDER_KEY, [loopback], management)
        host_key = provision.appliance_disk(disk, new)
        pair = self._pairs.setdefault(appliance.pair, Pair())
        machine = Machine(name, disk, Role(appliance.role), pair)
        self._machines[name], self.disks[name] = machine, disk
        return Access("127.0.0.1", self._run(self._listen(machine)), host_key, appliance.key_file)

    def drop_large_packets(self, pair: str, dropped: bool) -> None:
        """The line between a pair of appliances does so from now on, or not any more."""
        self._pairs[pair].drops_large = dropped

    def attach(self, hypervisor: Hypervisor, networks: Mapping[str, str]) -> None:
        """Follow a hypervisor's power and wiring. `networks`: port group to network key;
        it may grow later, and a port group that is not in it is a cable to nowhere."""
        hypervisor.listeners.append(Follower(self, hypervisor, networks))

    def settle(self) -> None:
        """Changes happen at once here."""

    def power(self, vm: Vm, name: str, networks: Mapping[str, str]) -> None:
        """Follow a power change."""
        on = vm.power == "poweredOn" and vm.boots
        machine = self._machines.get(name)
        if machine is None:
            self.world.nodes.pop(name, None)
            if on:
                self.world.nodes[name] = _guest_nics(vm, networks)
        elif not on:
            machine.system = None
            machine.pair.systems.pop(machine.role, None)
            self._loop.call_soon_threadsafe(_cut, machine)
        else:
            machine.boots += 1
            runtime = self.folder / "run" / f"{machine.disk.name}-{machine.boots}"
            state = State(provision.state(machine.disk), runtime)
            machine.system = SimulatedSystem(
                state, self.world, _interfaces(vm, networks), machine.pair, lambda: self._reload(machine)
            )
            machine.pair.systems[machine.role] = machine.system

    def rewire(self, vm: Vm, name: str, networks: Mapping[str, str]) -> None:
        """Follow a change of NICs."""
        machine = self._machines.get(name)
        if machine is None:
            self.world.nodes[name] = _guest_nics(vm, networks)
        elif machine.system is not None:
            machine.system.networks = _interfaces(vm, networks)

    async def _listen(self, machine: Machine) -> int:
        server = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=lambda: _Server(machine),
            server_host_keys=_host_keys(machine),
            authorized_client_keys=str(provision.state(machine.disk) / "ssh/authorized_keys"),
            process_factory=lambda process: _serve(process, machine, self.faults),
            encoding=None,
            allow_pty=False,
            password_auth=False,
            kbdint_auth=False,
        )
        self._servers[machine.name] = server
        return server.get_port()

    def _reload(self, machine: Machine) -> None:
        """Another host key for those who connect from now on."""
        self._servers[machine.name].update(server_host_keys=_host_keys(machine))

    async def _close(self) -> None:
        for machine in self._machines.values():
            _cut(machine)
        for server in self._servers.values():
            server.close()
            await server.wait_closed()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:  # whatever the coroutine returns
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)


class _Server(asyncssh.SSHServer):
    """Refuses every connection while the VM is off."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self.connection = conn
        self.machine.connections.add(conn)
        if self.machine.system is None:
            conn.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.machine.connections.discard(self.connection)


async def _serve(
    process: "asyncssh.SSHServerProcess[bytes]", machine: Machine, faults: InjectedFaults
) -> None:
    """What the forced command does, whatever the client asked to run."""
    raw = b""
    while len(raw) <= LONGEST_REQUEST and (part := await process.stdin.read(65536)):
        raw += part
    system = machine.system
    if system is not None:
        reply = await asyncio.to_thread(_answer, raw, system, machine, faults)
        if reply is None:
            process.channel.get_connection().abort()
            return
        process.stdout.write(json.dumps(reply).encode() + b"\n")
    process.exit(0)


def _answer(
    raw: bytes, system: SimulatedSystem, machine: Machine, faults: InjectedFaults
) -> dict[str, Any] | None:
    """The real program's answer with the planned fault around it; None: the connection breaks."""

    def effect(fault: FaultKind | None) -> dict[str, Any]:
        if fault is FaultKind.BUSY:
            return {"ok": False, "error": "busy", "message": "planned by the lab"}
        return answer(raw, system.state, system)

    return faults.serve(AuditEntry(machine.name, "root", _operation(raw)), KINDS, effect)


def _operation(raw: bytes) -> str:
    try:
        return str(json.loads(raw)["op"])
    except (ValueError, TypeError, KeyError):
        return ""


def _host_keys(machine: Machine) -> list[str]:
    return [str(provision.state(machine.disk) / "ssh/host_ed25519")]


def _cut(machine: Machine) -> None:
    for connection in list(machine.connections):
        connection.abort()


def _interfaces(vm: Vm, networks: Mapping[str, str]) -> dict[str, str]:
    """Every NIC but the first, as the real appliance names them."""
    return {
        interface_name(nic.mac): networks.get(nic.network, "") if nic.network and nic.connected else ""
        for nic in vm.nics
        if nic.index > 0
    }


def _guest_nics(vm: Vm, networks: Mapping[str, str]) -> list[tuple[str, str, IPv4Address]]:
    plugged = {n.index: (networks.get(n.network, ""), n.mac) for n in vm.nics if n.network and n.connected}
    return [(*plugged[g.index], IPv4Interface(g.address).ip) for g in vm.guest if g.index in plugged]
