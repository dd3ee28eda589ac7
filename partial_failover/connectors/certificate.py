"""When a server's certificate ends. The other connectors say whether it is trusted."""

import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path

from partial_failover.contracts.errors import Unavailable

SECONDS = 10.0


def valid_until(host: str, port: int, ca_file: Path | None) -> datetime:
    """The end of the certificate that the server shows, by its TLS handshake alone. Blocks.

    `ca_file`: who signed it; None: the system's own list. Raises `Unavailable`.
    """
    try:
        trust = ssl.create_default_context(cafile=ca_file)
        with (
            socket.create_connection((host, port), SECONDS) as connection,
            trust.wrap_socket(connection, server_hostname=host) as secure,
        ):
            shown = secure.getpeercert() or {}
    except OSError as error:
        raise Unavailable(f"{host}:{port} showed no certificate that is trusted ({error})") from None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(shown["notAfter"])), UTC)
