"""Whether a TCP port or an HTTP server of a guest answers. Nothing of an answer is kept but its status."""

import asyncio
from ipaddress import IPv4Address

import httpx

from partial_failover.contracts.errors import Unavailable

SECONDS = 5.0
"""For one try."""


async def tcp(address: IPv4Address, port: int) -> None:
    """Return when the port accepts a connection. Raises `Unavailable`."""
    try:
        async with asyncio.timeout(SECONDS):
            _, writer = await asyncio.open_connection(str(address), port)
    except (OSError, TimeoutError) as error:
        raise Unavailable(f"{address} port {port} does not accept a connection ({_words(error)})") from None
    writer.close()


async def http_status(address: IPv4Address, port: int, path: str, tls: bool) -> int:
    """Status of a GET. No redirect is followed, and the body is not read. Raises `Unavailable`.

    The certificate is not checked: it is made out to a name, and the address has none. Nothing secret is
    sent.
    """
    url = httpx.URL(
        scheme="https" if tls else "http", host=str(address), port=port, raw_path=path.encode("ascii")
    )
    try:
        async with (
            asyncio.timeout(SECONDS),
            httpx.AsyncClient(verify=False, trust_env=False) as client,
            client.stream("GET", url) as answer,
        ):
            return answer.status_code
    except (httpx.HTTPError, OSError, TimeoutError, ValueError) as error:
        raise Unavailable(f"{address} port {port} does not answer ({_words(error)})") from None


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return f"nothing within {SECONDS:.0f} s"
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else type(error).__name__
