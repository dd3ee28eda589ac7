"""The lab's side of the data plane: starts the sandbox, tells it what the hypervisors do, asks it things."""

import itertools
import json
import logging
import re
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any  # Any: JSON values of the lab's own protocol

from lab.fabric import provision
from lab.fabric.appliance_vm import ApplianceVm
from lab.fabric.follower import Follower
from lab.fabric.needs import PATH, lacks
from lab.fabric.provision import Access
from lab.fabric.sandbox import LONGEST_MESSAGE
from lab.fabric.topology import Wire
from lab.hypervisor import Hypervisor, Vm
from lab.repository import REPOSITORY
from partial_failover.cli.cloud_init import ManagementNic, NewAppliance

SSH_PORT = 22
log = logging.getLogger(__name__)


class FabricError(Exception):
    """The sandbox could not do what it was asked for."""


@dataclass(frozen=True)
class Interface:
    """One NIC of a host that is always on."""

    network: str
    address: IPv4Interface
    gateway: IPv4Address | None = None


class Fabric:
    """Networks, hosts and the NICs of VMs, for real. Thread safe.

    Networks have keys like "acme/lan-a". VMs are called "<hypervisor>/<vm>". `folder` takes the appliances'
    disks and all logs.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = itertools.count(1)
        self._pending: dict[int, Future[Any]] = {}
        self._sending = threading.Lock()
        self._power = ThreadPoolExecutor(1, "fabric-power")
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.disks: dict[str, Path] = {}
        """By appliance."""
        self._errors: list[FabricError] = []
        self._worker_addresses: dict[str, IPv4Address] = {}

    @staticmethod
    def missing() -> list[str]:
        """What stands in the way of a real data plane here; empty when nothing does."""
        return [lack.what for lack in lacks()]

    def start(self) -> None:
        """Start the sandbox. It ends with this process, however that ends."""
        self.folder.mkdir(parents=True, exist_ok=True)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        argv = [
            "unshare",
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            sys.executable,
        ]
        argv += ["-m", "lab.fabric.sandbox", str(theirs.fileno())]
        with (self.folder / "fabric.log").open("ab") as output:
            self._process = subprocess.Popen(
                argv,
                pass_fds=[theirs.fileno()],
                cwd=REPOSITORY,
                env={"PATH": PATH, "LC_ALL": "C", "PYTHONPATH": str(REPOSITORY)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        theirs.close()
        self._control = ours
        threading.Thread(target=self._receive, args=(ours,), name="fabric", daemon=True).start()

    def close(self) -> None:
        """End the sandbox and everything in it."""
        self._power.shutdown(cancel_futures=True)
        if self._control is not None and self._process is not None:
            self._control.shutdown(socket.SHUT_RDWR)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._control.close()

    def add_network(self, key: str) -> None:
        """One broadcast domain."""
        self._call("network", key=key)

    def join(self, one: str, other: str) -> None:
        """Make one broadcast domain of two, as an NSX Edge's layer 2 VPN does."""
        self._call("join", one=one, other=other)

    def add_host(self, name: str, *interfaces: Interface, forward: bool = False) -> None:
        """A host that is always on; a router if it has several interfaces and is to `forward`."""
        self._call("boot", name=name, wires=self._wires(interfaces), forward=forward)

    def add_worker(self, name: str, interface: Interface) -> None:
        """The host from which a worker reaches appliances: the lab's port forwards come from there."""
        self.add_host(name, interface)
        self._worker_addresses[name] = interface.address.ip

    def add_gateway(self, name: str, *interfaces: Interface, config: str) -> None:
        """A cloud gateway with HAProxy and its configuration."""
        console = str(self.folder / f"{name}.log")
        self._call("gateway", name=name, wires=self._wires(interfaces), config=config, console=console)

    def reload_gateway(self, name: str, config: str) -> None:
        """Give the gateway another configuration; connections that are open stay."""
        self._call("reload_gateway", name=name, config=config)

    def add_appliance(self, appliance: ApplianceVm) -> Access:
        """Provision an appliance VM; it boots when the VM is powered on."""
        vm, disk = appliance.vm, appliance.disk(self.folder)
        management = next(g for g in vm.guest if g.index == 0)
        new = NewAppliance(
            appliance.role,
            provision.worker_key(appliance.key_file),
            provision.pair_key(self.folder / f"pair-{appliance.pair}.key").read_text(),
            [self._worker_addresses[appliance.worker]],
            ManagementNic(vm.nics[0].mac, management.address, management.gateway),
            list(appliance.gateways),
        )
        host_key = provision.appliance_disk(disk, new)
        self.disks[appliance.name] = disk
        name, via, address = appliance.name, appliance.worker, str(management.address.ip)
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
            port: int = listener.getsockname()[1]
            self._call("forward", listener=listener, name=name, via=via, address=address, port=SSH_PORT)
        return Access("127.0.0.1", port, host_key, appliance.key_file)

    def attach(self, hypervisor: Hypervisor, networks: Mapping[str, str]) -> None:
        """Follow a hypervisor's power and wiring. `networks`: port group to network key;
        it may grow later, and a port group that is not in it is a cable to nowhere."""
        hypervisor.listeners.append(Follower(self, hypervisor, networks))

    def settle(self) -> None:
        """Wait until all power and wiring changes so far have happened; raises the first error among them."""
        self._power.submit(lambda: None).result()
        errors, self._errors = self._errors, []
        if errors:
            raise errors[0]

    def set_carrier(self, name: str, up: bool) -> None:
        """Pull all cables of a host or VM, or put them back."""
        self._call("carrier", name=name, up=up)

    def exec(self, name: str, argv: Sequence[str], timeout: float = 10) -> tuple[int, str]:
        """Run a command in a host or VM: exit status (124 after `timeout` seconds) and what it printed."""
        status, output = self._call("exec", wait=timeout + 10, name=name, argv=list(argv), timeout=timeout)
        return int(status), str(output)

    def ping(self, name: str, address: IPv4Address | str, seconds: float = 1) -> float | None:
        """Milliseconds until the first echo reply, None when there is none."""
        argv = ["ping", "-n", "-c", "1", "-W", str(seconds), str(address)]
        time_shown = re.search(r"time=([0-9.]+) ms", self.exec(name, argv, seconds + 2)[1])
        return float(time_shown[1]) if time_shown else None

    def power(self, vm: Vm, name: str, networks: Mapping[str, str]) -> None:
        """Queue a power change as it is now; returns at once, as a hypervisor does."""
        on = vm.power == "poweredOn" and vm.boots
        self._power.submit(self._change_power, name, on, self._vm_wires(vm, name, networks))

    def rewire(self, vm: Vm, name: str, networks: Mapping[str, str]) -> None:
        """Queue a change of NICs."""
        self._power.submit(self._guard, "rewire", name=name, wires=self._vm_wires(vm, name, networks))

    def _change_power(self, name: str, on: bool, wires: list[Wire]) -> None:
        disk = self.disks.get(name)
        if not on:
            self._guard("halt", name=name)
        elif disk is not None:
            console = str(self.folder / f"{disk.name}.log")
            self._guard("appliance", name=name, wires=wires, disk=str(disk), console=console)
        else:
            self._guard("boot", name=name, wires=wires)

    def _guard(self, op: str, **request: Any) -> None:
        try:
            self._call(op, **request)
        except FabricError as error:
            log.error("%s of %s: %s", op, request["name"], error)
            self._errors.append(error)

    def _vm_wires(self, vm: Vm, name: str, networks: Mapping[str, str]) -> list[Wire]:
        # A stock image's kernel names NICs by their slots; an appliance must not depend on any name.
        first, step, kind = (192, 32, "ens") if name in self.disks else (0, 1, "eth")
        guest = {g.index: g for g in vm.guest}
        wires = []
        for nic in vm.nics:
            own = guest.get(nic.index)
            plugged = nic.network is not None and nic.connected
            wires.append(
                Wire(
                    name=f"{kind}{first + step * nic.index}",
                    mac=nic.mac,
                    network=networks.get(nic.network) if plugged and nic.network else None,
                    address=str(own.address) if own else None,
                    gateway=str(own.gateway) if own and own.gateway else None,
                )
            )
        return wires

    def _wires(self, interfaces: Sequence[Interface]) -> list[Wire]:
        return [
            Wire(
                name=f"eth{index}",
                mac="02:" + uuid.uuid4().bytes[:5].hex(":"),
                network=interface.network,
                address=str(interface.address),
                gateway=str(interface.gateway) if interface.gateway else None,
            )
            for index, interface in enumerate(interfaces)
        ]

    def _call(
        self, op: str, wait: float = 60, listener: socket.socket | None = None, **request: Any
    ) -> Any:  # what the sandbox's method returned
        if self._control is None:
            raise FabricError("the sandbox is not running")
        number, answer = next(self._numbers), Future[Any]()
        self._pending[number] = answer
        message = json.dumps({"number": number, "op": op, **request}).encode()
        try:
            with self._sending:
                socket.send_fds(self._control, [message], [listener.fileno()] if listener else [])
            return answer.result(wait)
        except (OSError, TimeoutError) as error:
            raise FabricError(f"{op}: the sandbox does not answer ({type(error).__name__})") from error
        finally:
            self._pending.pop(number, None)

    def _receive(self, control: socket.socket) -> None:
        while True:
            try:
                data = control.recv(LONGEST_MESSAGE)
            except OSError:
                data = b""
            if not data:
                for waiting in list(self._pending.values()):
                    waiting.set_exception(FabricError("the sandbox has ended"))
                return
            answer = json.loads(data)
            waiting_for = self._pending.get(answer["number"])
            if waiting_for is None:
                continue
            if "error" in answer:
                waiting_for.set_exception(FabricError(answer["error"]))
            else:
                waiting_for.set_result(answer["result"])
