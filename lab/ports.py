"""Ports for servers that are told where to listen."""

import secrets
import socket

PORTS = range(20_000, 32_000)
"""Below those that kernels give to outgoing connections, of which labs side by side make many: none of them
can take a chosen port before its server has it, or while that is restarted."""


def free_port() -> int:
    """One of this machine on which nobody listens."""
    while why_taken(port := secrets.choice(PORTS)):
        pass
    return port


def why_taken(port: int) -> str | None:
    """What stands in the way of listening there; None when nothing does."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.strerror
    return None
