"""What runs for as long as the appliance does: keeps the kernel and OpenVPN as they were asked for.

One thread and one selector. It wakes for: a word from a request, ARP packets, the end of OpenVPN, a
signal, and the time of the next thing that is due.
"""

import json
import logging
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address

from appliance import vpn
from appliance.apply import apply
from appliance.arp import Ears, Packet
from appliance.command import ENVIRONMENT, CommandFailed
from appliance.errors import Refusal
from appliance.model import Role
from appliance.state import State

DRIFT_SECONDS = 30.0
BUSY_SECONDS = 0.5
FAULT_SECONDS = 1.0
RESTART_SECONDS = 0.2
STOP_SECONDS = 5.0
ALARM_SECONDS = 60.0
ANNOUNCEMENTS = (0.0, 0.3, 0.6)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Announcement:
    """Tell an interface's LAN who has an address: this appliance, or `mac` when the original has it back."""

    due: float
    interface: str
    address: IPv4Address
    mac: str | None


class Serve:
    """`run` returns after SIGTERM, with OpenVPN stopped."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.selector = selectors.DefaultSelector()
        self.stopping = False
        self.apply_at = 0.0
        self.start_at = 0.0
        self.announcements: list[Announcement] = []
        self.ears: dict[str, Ears] = {}
        self.leased: frozenset[tuple[str, IPv4Address]] = frozenset()
        self.alarms: dict[IPv4Address, float] = {}
        self.process: subprocess.Popen[bytes] | None = None
        self.process_handle = -1
        self.configuration = ""

    def run(self) -> None:
        """Until SIGTERM or SIGINT."""
        self._listen_to_signals()
        control = self._control_socket()
        vpn.make_keys(self.state)
        while not self.stopping:
            try:
                self._tend()
                pause = self._until_next()
            except (Refusal, CommandFailed, OSError) as error:
                # What runs goes on as it is: an unreadable file must not cut a tunnel that is in use.
                log.error("could not look after the appliance: %s", error)
                pause = FAULT_SECONDS
            for key, _ in self.selector.select(pause):
                act: Callable[[], None] = key.data
                act()
        self._stop_vpn()
        control.close()

    def _tend(self) -> None:
        now = time.monotonic()
        if now >= self.apply_at:
            self.apply_at = now + DRIFT_SECONDS
            self._apply()
        self._tend_vpn()
        self._watch()
        self._announce()

    def _listen_to_signals(self) -> None:
        reader, writer = socket.socketpair()
        for end in (reader, writer):
            end.setblocking(False)
        signal.set_wakeup_fd(writer.fileno())
        self._writer = writer

        def stop(*_: object) -> None:
            self.stopping = True

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        self.selector.register(reader, selectors.EVENT_READ, lambda: _drain(reader))

    def _control_socket(self) -> socket.socket:
        path = self.state.runtime / "serve.sock"
        path.unlink(missing_ok=True)
        control = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        control.bind(str(path))
        path.chmod(0o600)
        control.setblocking(False)
        self.selector.register(control, selectors.EVENT_READ, lambda: self._told(control))
        return control

    def _told(self, control: socket.socket) -> None:
        """A request changed something; the message says what to announce."""
        try:
            for interface, address, mac in json.loads(control.recv(65536)):
                self._plan(interface, IPv4Address(address), mac)
        except (ValueError, TypeError, BlockingIOError) as error:
            log.warning("a message on the control socket was not understood: %s", error)
        self.start_at = 0.0

    def _plan(self, interface: str, address: IPv4Address, mac: str | None) -> None:
        now = time.monotonic()
        self.announcements += [Announcement(now + later, interface, address, mac) for later in ANNOUNCEMENTS]

    def _until_next(self) -> float:
        due = [self.apply_at, *(a.due for a in self.announcements)]
        if self.process is None and self._wanted() is not None:
            due.append(self.start_at)
        return max(0.0, min(due) - time.monotonic())

    def _apply(self) -> None:
        try:
            # No waiting: whoever has the lock may itself be waiting to tell this process something.
            with self.state.lock(seconds=0):
                applied = apply(self.state)
        except (Refusal, CommandFailed, OSError) as error:
            if isinstance(error, Refusal) and error.word == "busy":
                self.apply_at = time.monotonic() + BUSY_SECONDS
            else:
                log.error("the kernel could not be made to match: %s", error)
            return
        if applied.changed:
            log.info("made %d changes", applied.changed)
        for proxy in applied.effective:
            self._plan(proxy.dev, IPv4Address(proxy.address), None)

    def _wanted(self) -> str | None:
        """OpenVPN's configuration as it should run now, None for not at all."""
        wanted = self.state.vpn()
        if wanted is None or not wanted.wanted or self.state.closing:
            return None
        return vpn.configuration(self.state, wanted)

    def _tend_vpn(self) -> None:
        wanted = self._wanted()
        if self.process is not None and wanted != self.configuration:
            self._stop_vpn()
            self.start_at = 0.0
        if self.process is None and wanted is not None and time.monotonic() >= self.start_at:
            self._start_vpn(wanted)

    def _start_vpn(self, configuration: str) -> None:
        self.start_at = time.monotonic() + RESTART_SECONDS
        path = self.state.runtime / "vpn.conf"
        path.write_text(configuration)
        (self.state.runtime / "vpn.sock").unlink(missing_ok=True)
        try:
            self.process = subprocess.Popen(["openvpn", "--config", str(path)], env=ENVIRONMENT, umask=0o077)
        except OSError as error:
            log.error("OpenVPN cannot be started: %s", error)
            return
        self.configuration = configuration
        self.process_handle = os.pidfd_open(self.process.pid)
        self.selector.register(self.process_handle, selectors.EVENT_READ, self._vpn_ended)
        log.info("OpenVPN started, process %d", self.process.pid)

    def _vpn_ended(self) -> None:
        if self.process is None:
            return
        log.warning("OpenVPN ended with %s", self.process.wait())
        self._forget_vpn()
        self.start_at = time.monotonic() + RESTART_SECONDS

    def _stop_vpn(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._forget_vpn()
        log.info("OpenVPN stopped")

    def _forget_vpn(self) -> None:
        self.selector.unregister(self.process_handle)
        os.close(self.process_handle)
        self.process = None
        # A process that was killed leaves its socket behind.
        (self.state.runtime / "vpn.sock").unlink(missing_ok=True)

    def _announce(self) -> None:
        now = time.monotonic()
        due = [a for a in self.announcements if a.due <= now]
        self.announcements = [a for a in self.announcements if a.due > now]
        for a in due:
            # A release or a new lease may have come in between: then this would be untrue.
            if ((a.interface, a.address) in self.leased) != (a.mac is None):
                continue
            try:
                with Ears(a.interface) as mouth:
                    mouth.announce(a.address, a.mac)
            except OSError as error:
                log.warning("could not announce %s: %s", a.address, error)

    def _watch(self) -> None:
        """At the tenant: hear who else claims a leased address."""
        interfaces = {n.name: n.interface for n in self.state.networks()}
        self.leased = frozenset(
            (interfaces[x.network], x.address)
            for x in self.state.leases().values()
            if x.network in interfaces
        )
        wanted = {interface for interface, _ in self.leased} if self.state.role is Role.TENANT else set()
        for interface in self.ears.keys() - wanted:
            self._deafen(interface)
        for interface in wanted - self.ears.keys():
            try:
                self.ears[interface] = Ears(interface)
            except OSError:
                continue  # the NIC is unplugged; the next apply looks again
            self.selector.register(
                self.ears[interface].socket,
                selectors.EVENT_READ,
                lambda interface=interface: self._hear(interface),
            )

    def _deafen(self, interface: str) -> None:
        ears = self.ears.pop(interface)
        self.selector.unregister(ears.socket)
        ears.socket.close()

    def _hear(self, interface: str) -> None:
        try:
            packet = self.ears[interface].hear(0)
        except OSError:
            self._deafen(interface)
            return
        if packet is None:
            return
        if (interface, packet.sender) in self.leased:
            self._alarm(packet.sender, packet)
        elif packet.request and packet.sender == IPv4Address(0) and (interface, packet.target) in self.leased:
            self.ears[interface].answer(packet)
            self._alarm(packet.target, packet)

    def _alarm(self, address: IPv4Address, packet: Packet) -> None:
        now = time.monotonic()
        if now - self.alarms.get(address, -ALARM_SECONDS) >= ALARM_SECONDS:
            self.alarms[address] = now
            log.warning("%s, leased to a replica, is also claimed by %s", address, packet.mac)
            self.state.note_claim(address, packet.mac)


def _drain(reader: socket.socket) -> None:
    try:
        reader.recv(64)
    except BlockingIOError:
        pass
