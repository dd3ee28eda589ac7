"""Inside the sandbox: bridges, hosts and virtual machines as network namespaces.

All bridges are in one namespace, `fabric`. Every NIC is a pair of virtual Ethernet devices: one end in the
host's namespace under the NIC's name, the other a port of the fabric.
"""

import itertools
import os
import signal
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

FABRIC = "fabric"
QUIET = (
    "net.ipv6.conf.all.disable_ipv6=1",
    "net.ipv6.conf.default.disable_ipv6=1",
)
GUEST = (*QUIET, "net.ipv4.conf.default.arp_notify=1")
"""A guest announces its addresses when its NIC comes up, as booting systems do."""
SWITCH = (
    *QUIET,
    "net.bridge.bridge-nf-call-iptables=0",
    "net.bridge.bridge-nf-call-arptables=0",
    "net.ipv4.conf.all.arp_ignore=8",
)


class Wire(TypedDict):
    """One NIC as the lab asks for it. `network` None: unplugged. Addresses are the guest's own setting."""

    name: str
    mac: str
    network: str | None
    address: str | None
    gateway: str | None


@dataclass
class Node:
    """One host or VM. `ports`: the fabric's end of each NIC, by MAC. `machine`: has its own processes."""

    namespace: str
    ports: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    machine: bool = False


def run(*argv: str, stdin: str = "") -> str:
    """Standard output of a command; an error of it says what it printed."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=20, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


class Topology:
    """All networks and nodes of one sandbox."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.bridges: dict[str, str] = {}
        self.nodes: dict[str, Node] = {}
        _namespace(FABRIC, SWITCH)

    def network(self, key: str) -> None:
        """A bridge; nothing happens when it is there."""
        if key not in self.bridges:
            bridge = f"b{next(self._numbers)}"
            run("ip", "-n", FABRIC, "link", "add", bridge, "type", "bridge", "forward_delay", "0")
            run("ip", "-n", FABRIC, "link", "set", bridge, "up")
            self.bridges[key] = bridge

    def join(self, one: str, other: str) -> None:
        """Make one broadcast domain of two networks, as an edge gateway's layer 2 VPN does."""
        number = next(self._numbers)
        ends = (f"j{number}a", f"j{number}b")
        run("ip", "-n", FABRIC, "link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        for end, key in zip(ends, (one, other), strict=True):
            run("ip", "-n", FABRIC, "link", "set", end, "master", self.bridges[key], "up")

    def boot(self, name: str, wires: Iterable[Wire], forward: bool = False) -> Node:
        """A namespace with these NICs, up and configured."""
        self.halt(name)
        node = Node(f"n{next(self._numbers)}")
        self.nodes[name] = node
        _namespace(node.namespace, (*GUEST, *(["net.ipv4.ip_forward=1"] if forward else [])))
        for wire in wires:
            self._plug(node, wire)
        return node

    def rewire(self, name: str, wires: Iterable[Wire]) -> None:
        """NICs that came, went, or moved to another network, while the node runs."""
        node = self.nodes[name]
        wanted = {w["mac"]: w for w in wires}
        for mac in node.ports.keys() - wanted.keys():
            run("ip", "-n", FABRIC, "link", "del", node.ports.pop(mac))
        for mac, wire in wanted.items():
            if mac in node.ports:
                self._attach(node.ports[mac], wire["network"])
            else:
                self._plug(node, wire)

    def carrier(self, name: str, up: bool) -> None:
        """Pull all cables of a node, or put them back."""
        for port in self.nodes[name].ports.values():
            run("ip", "-n", FABRIC, "link", "set", port, "up" if up else "down")

    def halt(self, name: str) -> None:
        """Cut the power: cables first, so that nothing more is heard of it."""
        node = self.nodes.pop(name, None)
        if node is None:
            return
        for port in node.ports.values():
            run("ip", "-n", FABRIC, "link", "del", port)
        if node.process is not None:
            node.process.kill()
            node.process.wait()
        for pid in run("ip", "netns", "pids", node.namespace).split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        run("ip", "netns", "del", node.namespace)

    def enter(self, name: str) -> list[str]:
        """The words that run a command inside a node."""
        node = self.nodes[name]
        child = _child(node.process.pid) if node.machine and node.process is not None else None
        if child is not None:
            return ["nsenter", "--target", str(child), "--mount", "--net", "--pid", "--"]
        return ["ip", "netns", "exec", node.namespace]

    def _plug(self, node: Node, wire: Wire) -> None:
        port, space = f"p{next(self._numbers)}", node.namespace
        peer = ["peer", "name", port, "netns", FABRIC]
        run("ip", "link", "add", wire["name"], "netns", space, "address", wire["mac"], "type", "veth", *peer)
        node.ports[wire["mac"]] = port
        self._attach(port, wire["network"])
        if wire["address"]:
            run("ip", "-n", space, "addr", "add", wire["address"], "dev", wire["name"])
        run("ip", "-n", space, "link", "set", wire["name"], "up")
        if wire["gateway"]:
            run("ip", "-n", space, "route", "replace", "default", "via", wire["gateway"])

    def _attach(self, port: str, network: str | None) -> None:
        if network is None:
            run("ip", "-n", FABRIC, "link", "set", port, "nomaster", "down")
        else:
            run("ip", "-n", FABRIC, "link", "set", port, "master", self.bridges[network], "up")


def _namespace(name: str, settings: Iterable[str]) -> None:
    run("ip", "netns", "add", name)
    run("ip", "netns", "exec", name, "sysctl", "-q", "-e", "-w", *settings)
    run("ip", "-n", name, "link", "set", "lo", "up")


def _child(parent: int) -> int | None:
    """The only child of `unshare --fork`: process 1 of a machine."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            return int(status.parent.name)
    return None
