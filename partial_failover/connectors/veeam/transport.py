"""HTTP to a backup server: one request, one bounded answer, and every failure as an error in plain words."""

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx
from pydantic import ValidationError

from partial_failover.connectors.retry_after import STATUS, seconds_of
from partial_failover.connectors.veeam.answers import Answer, plain
from partial_failover.contracts.errors import FailoverError, Misconfigured, OutcomeUnknown, Unavailable

LARGEST_ANSWER = 16 * 1024 * 1024
"""Bytes."""

A = TypeVar("A", bound=Answer)


@dataclass(frozen=True)
class HttpRequest:
    """What is sent. `body` goes as JSON, `form` as a form."""

    method: str
    path: str
    query: Mapping[str, str | int] | None = None
    body: object = None
    form: Mapping[str, str] | None = None
    mutates: bool = False


@dataclass(frozen=True)
class Reply:
    """Status and body of one answer."""

    status: int
    body: bytes
    pause: float | None = None
    """Seconds that it asks for before it is asked again."""

    def says(self) -> str:
        """The answer's own words, bounded; a rejected token may come with no words at all."""
        try:
            return plain(json.loads(self.body)["message"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return f"HTTP {self.status}"

    def read(self, model: type[A]) -> A:
        """The body as `model`. Raises `Unavailable` where it is something else, such as a proxy's page."""
        try:
            return model.model_validate_json(self.body)
        except ValidationError as error:
            raise unreadable(error) from None


def read(model: type[A], item: object) -> A:
    """One item of a list as `model`."""
    try:
        return model.model_validate(item)
    except ValidationError as error:
        raise unreadable(error) from None


def unreadable(error: ValidationError) -> Unavailable:
    """Names the field, never its value."""
    where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
    what = f"{error.title} {plain(where)}".rstrip()
    return Unavailable(
        f"The backup server gave an answer that cannot be read ({what})",
        do="If this stays, compare the configured API version with the server's",
    )


class Transport:
    """Connections to one backup server. `timeout`: seconds for a whole request. Made without any I/O."""

    def __init__(self, url: str, ca_file: Path | None, version: str, timeout: float) -> None:
        self.url = url.rstrip("/")
        self._ca_file = ca_file
        self._version = version
        self._timeout = timeout
        self._http: httpx.AsyncClient | None = None

    async def send(self, request: HttpRequest, token: str | None = None) -> Reply:
        """Send it; reads are tried once more where the connection broke.

        Raises `Unavailable`, `Misconfigured`, and `OutcomeUnknown` for a mutation that may have arrived.
        """
        try:
            return await self._once(request, token)
        except (httpx.TimeoutException, TimeoutError) as error:
            raise self._error_of(request, error) from None
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL, OSError) as error:
            if request.method != "GET" or _distrusts(error):
                raise self._error_of(request, error) from None
        try:
            return await self._once(request, token)
        except (httpx.HTTPError, httpx.StreamError, OSError, TimeoutError) as error:
            raise self._error_of(request, error) from None

    async def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def _once(self, request: HttpRequest, token: str | None) -> Reply:
        headers = {"x-api-version": self._version, "accept": "application/json"}
        headers["accept-encoding"] = "identity"  # what is packed may be a thousand times larger
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        async with asyncio.timeout(self._timeout):
            async with self._client().stream(
                request.method,
                self.url + request.path,
                params=request.query,
                json=request.body,
                data=request.form,
                headers=headers,
            ) as response:
                asked = response.headers.get("Retry-After") if response.status_code in STATUS else None
                return Reply(response.status_code, await _bounded(response), seconds_of(asked))

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            try:
                trust = ssl.create_default_context(cafile=self._ca_file)
            except OSError:
                raise Misconfigured(
                    f"The CA file {self._ca_file} for the backup server {self.url} cannot be read",
                    do="Give a PEM file with the certificate that signed the server's",
                ) from None
            # Proxies of the environment are not for a management network.
            self._http = httpx.AsyncClient(verify=trust, timeout=self._timeout, trust_env=False)
        return self._http

    def _error_of(self, request: HttpRequest, error: Exception) -> FailoverError:
        call = f"{request.method} {request.path}"
        if _distrusts(error):
            return Misconfigured(
                f"The certificate of the backup server {self.url} is not trusted",
                left="Nothing was sent",
                do="Check the CA file and the name in the URL",
            )
        if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
            return Misconfigured(f"{self.url} is not the URL of a backup server")
        never_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        if request.mutates and not never_sent:
            return OutcomeUnknown(
                f"The backup server {self.url} did not answer {call} ({type(error).__name__})",
                do="The next attempt looks whether it had its effect",
            )
        return Unavailable(
            f"The backup server {self.url} does not answer {call} ({type(error).__name__})",
            left="Nothing was changed",
            do="Check that it runs and that its API can be reached from this worker",
        )


def _distrusts(error: BaseException | None) -> bool:
    """Whether a refused certificate is behind an error; httpx shows it as a failed connection."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


async def _bounded(response: httpx.Response) -> bytes:
    body = bytearray()
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise httpx.DecodingError("packed, though that was not asked for", request=response.request)
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > LARGEST_ANSWER:
            raise httpx.DecodingError("larger than any answer of this API", request=response.request)
    return bytes(body)
