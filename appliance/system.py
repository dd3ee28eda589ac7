"""What a request does outside of the state files; the lab has a stand-in where namespaces are missing."""

import json
import os
import re
import signal
import socket
import time
from ipaddress import IPv4Address
from pathlib import Path

from appliance import arp, vpn
from appliance.apply import INSIDE, apply, devices
from appliance.command import CommandFailed, run
from appliance.state import State

SSH_PID = Path("/run/sshd/network-extension.pid")
"""As in `deploy/appliance/sshd_config`."""


class System:
    """The appliance's kernel, its networks and its `serve` process."""

    def __init__(self, state: State) -> None:
        self.state = state

    def apply(self) -> None:
        """Make the kernel match the state; `serve` announces what became effective. Lock held."""
        applied = apply(self.state)
        self.wake([(p.dev, p.address, None) for p in applied.effective])

    def interfaces(self) -> frozenset[str]:
        """Devices in the data namespace."""
        return devices()

    def owner(self, interface: str, address: IPv4Address, sender: IPv4Address | None = None) -> str | None:
        """MAC of whoever owns the address on that interface's LAN."""
        return arp.owner(interface, address, sender or IPv4Address(0))

    def wake(self, announce: list[tuple[str, str, str | None]]) -> None:
        """Have `serve` look at the state now, and announce addresses as (interface, address, MAC or None)."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(2)
            try:
                sender.sendto(json.dumps(announce).encode(), str(self.state.runtime / "serve.sock"))
            except (FileNotFoundError, ConnectionRefusedError, TimeoutError):
                pass  # `serve` is not running; it looks at everything when it starts

    def tunnel(self) -> vpn.Tunnel:
        """What OpenVPN says."""
        return vpn.tunnel(self.state)

    def fingerprint(self) -> str:
        """Of this appliance's certificate."""
        return vpn.own_fingerprint(self.state)

    def reload_ssh(self) -> None:
        """Have the SSH server read its keys again. Connections that are open stay."""
        os.kill(int(SSH_PID.read_text()), signal.SIGHUP)

    def ping(
        self, source: IPv4Address, address: IPv4Address, size: int = 56, seconds: float = 1.0
    ) -> float | None:
        """Milliseconds to the answer of an echo request of `size` bytes, None after `seconds` without one."""
        how = ["-n", "-c", "1", "-W", str(seconds), "-s", str(size)]
        words = ["ping", *how, "-I", str(source), str(address)]
        try:
            shown = run([*INSIDE, *words], timeout=seconds + 4, check=False)
        except CommandFailed:
            return None
        time_shown = re.search(r"time=([0-9.]+) ms", shown)
        return float(time_shown[1]) if time_shown else None

    def pause(self, seconds: float) -> None:
        """Between two looks at something."""
        time.sleep(seconds)
