"""ARP by packet sockets in the data namespace: announce, ask who owns an address, hear claims.

The kernel does not answer address probes (sender 0.0.0.0) for proxied addresses, so a probe from here
finds only the real owner, and an original that is switched on would hear no conflict without `answer`.
Source of the packet format: RFC 826; of probes and announcements: RFC 5227.
"""

import ctypes
import os
import select
import socket
import struct
import time
from dataclasses import dataclass
from ipaddress import IPv4Address

from appliance.kernel import NAMESPACE

_ARP = 0x0806
_NEW_NETWORK = 0x40000000
_HEAD = struct.pack("!HHBB", 1, 0x0800, 6, 4)
_REQUEST, _REPLY = 1, 2
_ALL, _NONE = b"\xff" * 6, b"\0" * 6
_NOBODY = IPv4Address(0)
PROBE_SECONDS = 0.7


@dataclass(frozen=True)
class Packet:
    """One ARP packet that was heard."""

    request: bool
    mac: str
    sender: IPv4Address
    target: IPv4Address


class Ears:
    """A packet socket on one interface."""

    def __init__(self, interface: str) -> None:
        self.socket = _socket_in_namespace()
        try:
            self.socket.bind((interface, _ARP))
            self.own: bytes = self.socket.getsockname()[4]
        except OSError:
            self.socket.close()
            raise

    def __enter__(self) -> "Ears":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def hear(self, seconds: float) -> Packet | None:
        """The next packet of somebody else, or None after `seconds`."""
        if not select.select([self.socket], [], [], max(0.0, seconds))[0]:
            return None
        frame = self.socket.recv(2048)
        if len(frame) < 42 or frame[14:20] != _HEAD or frame[22:28] == self.own:
            return None
        operation = int.from_bytes(frame[20:22])
        sender, target = IPv4Address(frame[28:32]), IPv4Address(frame[38:42])
        return Packet(operation == _REQUEST, frame[22:28].hex(":"), sender, target)

    def announce(self, address: IPv4Address, mac: str | None = None) -> None:
        """Tell the LAN that `mac` (default: this NIC) has `address`, in both forms that hosts listen to.

        The frame itself always comes from this interface's MAC: otherwise switches would learn the other's
        MAC on this interface's port.
        """
        owner = bytes.fromhex(mac.replace(":", "")) if mac else self.own
        self._send(_ALL, _REQUEST, owner, address, _NONE, address)
        self._send(_ALL, _REPLY, owner, address, _ALL, address)

    def ask(self, address: IPv4Address, sender: IPv4Address = _NOBODY) -> None:
        """Who has `address`? Without a sender it is a probe, which changes nobody's table."""
        self._send(_ALL, _REQUEST, self.own, sender, _NONE, address)

    def answer(self, packet: Packet) -> None:
        """Tell the sender of a probe that its address is taken."""
        other = bytes.fromhex(packet.mac.replace(":", ""))
        self._send(other, _REPLY, self.own, packet.target, other, packet.sender)

    def _send(
        self,
        to: bytes,
        operation: int,
        mac: bytes,
        sender: IPv4Address,
        target_mac: bytes,
        target: IPv4Address,
    ) -> None:
        body = _HEAD + struct.pack("!H", operation) + mac + sender.packed + target_mac + target.packed
        self.socket.send(to + self.own + struct.pack("!H", _ARP) + body)


def owner(
    interface: str, address: IPv4Address, sender: IPv4Address = _NOBODY, seconds: float = PROBE_SECONDS
) -> str | None:
    """MAC of whoever claims `address` on the interface's LAN, or None after `seconds`."""
    with Ears(interface) as ears:
        end, ask_at = time.monotonic() + seconds, 0.0
        while (now := time.monotonic()) < end:
            if now >= ask_at:
                ears.ask(address, sender)
                ask_at = now + 0.3
            heard = ears.hear(min(ask_at, end) - now)
            if heard and heard.sender == address:
                return heard.mac
    return None


def _socket_in_namespace() -> socket.socket:
    """A packet socket of the data namespace; this thread is back in its own namespace afterwards.

    `os.setns` came with Python 3.12; Debian 12 has 3.11.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(handle: int) -> None:
        if libc.setns(handle, _NEW_NETWORK):
            raise OSError(ctypes.get_errno(), "setns")

    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        data = os.open(f"/run/netns/{NAMESPACE}", os.O_RDONLY)
        try:
            enter(data)
            try:
                return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ARP))
            finally:
                enter(own)
        finally:
            os.close(data)
    finally:
        os.close(own)
