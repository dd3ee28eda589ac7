"""OpenVPN: keys, configuration, and what the running process says of itself.

Server mode at the provider, over TCP, so that it passes a TCP relay. Both ends pin the other's
self-signed certificate by its fingerprint; the private keys never leave the appliance. Options are
those of the OpenVPN 2.6 reference manual.
"""

import base64
import hashlib
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from appliance.command import run
from appliance.errors import Refusal
from appliance.kernel import TUNNEL, TUNNEL_MTU
from appliance.model import Role, Vpn
from appliance.state import State

PROGRAM = Path(__file__).resolve().parent.parent
"""The folder that holds this package."""
ASK_SECONDS = 2.0
"""For the management interface to answer, and before for other requests to have had their answers."""
_CERTIFICATE_NAME = "network-extension-{}"


@dataclass(frozen=True)
class Tunnel:
    """`state`: stopped, connecting, connected, or unknown where OpenVPN runs and cannot be asked: its
    management interface serves one client at a time. `since`: Unix time of the connection."""

    state: str
    since: int | None = None


MOST_CONNECTIONS = 1024
"""At the server, most of them of nobody: more than the cloud gateway lets through, or whoever connects keeps
the peer out. None but the peer gets further than the handshake."""


def make_keys(state: State) -> str:
    """Make the key and the certificate unless they are there. Takes the lock; gives the fingerprint."""
    with state.lock():
        if not (state.folder / "vpn.crt").exists():
            _make(state)
    return own_fingerprint(state)


def rotate_keys(state: State) -> str:
    """Make another key and certificate in place of those that are there. The caller holds the lock."""
    _make(state)
    return own_fingerprint(state)


def _make(state: State) -> None:
    key, certificate = state.folder / "vpn.key", state.folder / "vpn.crt"
    fresh_key, fresh = state.folder / "vpn.key.new", state.folder / "vpn.crt.new"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subject = ["-subj", "/CN=" + _CERTIFICATE_NAME.format(state.role)]
    fresh_key.touch(mode=0o600)
    files = ["-keyout", str(fresh_key), "-out", str(fresh)]
    run(["openssl", "req", "-x509", *curve, "-days", "3650", *subject, *files])
    fresh_key.replace(key)
    fresh.replace(certificate)


def own_fingerprint(state: State) -> str:
    """SHA-256 of this appliance's certificate. Raises a `busy` refusal before the first boot has made it."""
    try:
        text = (state.folder / "vpn.crt").read_text()
    except FileNotFoundError:
        raise Refusal("busy", "the appliance has not made its keys yet") from None
    der = base64.b64decode(text.partition("CERTIFICATE-----")[2].partition("-----")[0])
    return hashlib.sha256(der).digest().hex(":").upper()


def configuration(state: State, vpn: Vpn) -> str:
    """The text of OpenVPN's configuration. Nothing of `vpn` is free text: the model has checked it."""
    peer = Role.TENANT if state.role is Role.PROVIDER else Role.PROVIDER
    up = f"/usr/bin/env PYTHONPATH={PROGRAM} {sys.executable} -m appliance tunnel-up"
    lines = [
        f"dev {TUNNEL}",
        "dev-type tun",
        "topology subnet",
        f"tun-mtu {TUNNEL_MTU}",
        "ifconfig-noexec",
        "route-noexec",
        "persist-tun",
        "persist-key",
        "user nobody",
        "group nogroup",
        "script-security 2",
        f'up "{up} {state.folder} {state.runtime}"',
        f"# {_certificate(state)}",
        f"cert {state.folder / 'vpn.crt'}",
        f"key {state.folder / 'vpn.key'}",
        f"tls-crypt {state.folder / 'tls-crypt.key'}",
        "<peer-fingerprint>",
        vpn.peer_fingerprint,
        "</peer-fingerprint>",
        "tls-version-min 1.3",
        "data-ciphers AES-256-GCM",
        "allow-compression no",
        f"management {_socket(state)} unix",
        "mute-replay-warnings",
        "suppress-timestamps",
        "verb 3",
        *(_server(state, vpn, peer) if vpn.gateway is None else _client(vpn)),
    ]
    return "\n".join(lines) + "\n"


def _certificate(state: State) -> str:
    """In the configuration's text, so that another certificate makes `serve` start OpenVPN anew."""
    return own_fingerprint(state) if (state.folder / "vpn.crt").exists() else "no certificate yet"


def _server(state: State, vpn: Vpn, peer: Role) -> list[str]:
    clients = state.runtime / "clients"
    clients.mkdir(exist_ok=True)
    # Without this OpenVPN drops what comes for the client's networks.
    (clients / _CERTIFICATE_NAME.format(peer)).write_text("iroute 0.0.0.0 0.0.0.0\n")
    return [
        "mode server",
        "tls-server",
        "proto tcp-server",
        f"port {vpn.port}",
        "dh none",
        "tcp-nodelay",
        "ifconfig 100.127.0.1 255.255.255.248",
        "ifconfig-pool 100.127.0.2 100.127.0.5",
        'push "topology subnet"',
        f"client-config-dir {clients}",
        "ccd-exclusive",
        f"max-clients {MOST_CONNECTIONS}",
        "keepalive 2 8",
    ]


def _client(vpn: Vpn) -> list[str]:
    accepted = (
        "ping",
        "ifconfig",
        "topology",
        "peer-id",
        "cipher",
        "tun-mtu",
        "protocol-flags",
        "key-derivation",
    )
    return [
        "client",
        f"remote {vpn.gateway} {vpn.port} tcp-client",
        "nobind",
        "connect-retry 1 4",
        "connect-timeout 5",
        "resolv-retry infinite",
        "socket-flags TCP_NODELAY",
        *(f'pull-filter accept "{word}"' for word in accepted),
        'pull-filter ignore ""',
    ]


def tunnel(state: State) -> Tunnel:
    """What OpenVPN says, if the one that runs is the one that was asked for last.

    Source: OpenVPN's management-notes.txt, `state` and `status 2`.
    """
    wanted, running = state.vpn(), state.runtime / "vpn.conf"
    if wanted is None or not running.exists() or running.read_text() != configuration(state, wanted):
        return Tunnel("stopped")
    try:
        if state.role is Role.TENANT:
            rows = [line.split(",") for line in _ask(state, "state")]
            connected = [int(row[0]) for row in rows if len(row) > 1 and row[1] == "CONNECTED"]
        else:
            rows = [line.split(",") for line in _ask(state, "status 2")]
            connected = [int(row[8]) for row in rows if row[0] == "CLIENT_LIST"]
    except (FileNotFoundError, ConnectionRefusedError):
        return Tunnel("stopped")
    except (OSError, ValueError, IndexError):
        return Tunnel("unknown")
    return Tunnel("connected", min(connected)) if connected else Tunnel("connecting")


def _ask(state: State, command: str) -> list[str]:
    with state.turn("vpn", ASK_SECONDS):
        return _answer(state, command)


def _answer(state: State, command: str) -> list[str]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ASK_SECONDS)
        connection.connect(str(_socket(state)))
        connection.sendall(f"{command}\n".encode())
        answer = b""
        while not answer.endswith(b"END\r\n"):
            part = connection.recv(4096)
            if not part or len(answer) > 65536:
                raise OSError("the management interface closed")
            answer += part
    return [line for line in answer.decode(errors="replace").splitlines() if not line.startswith(">")]


def _socket(state: State) -> Path:
    return state.runtime / "vpn.sock"
