# mypy: disallow-untyped-calls=False
# pyVmomi's classes carry no annotations.
"""What carries calls to a vCenter: one adapter for each login, and one stub in front of them that stays.

What must not be used here, and why: a stub that logs in by itself resends calls after any transport error,
a revert too; pinning a certificate's fingerprint switches verification off on the shared TLS context; the
library's connect helper probes versions without a timeout; its task helper can wait for ever.
"""

import ssl
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any

from pyVmomi import VmomiSupport
from pyVmomi.SoapAdapter import SoapStubAdapter, StubAdapterBase

from partial_failover.connectors.vsphere.faults import transport_words
from partial_failover.connectors.whole_call import bounded, seconds_left
from partial_failover.contracts.errors import Misconfigured

POOL = 16
"""Connections that are kept open."""
LARGEST_ANSWER = 4 * 1024 * 1024
"""Bytes."""
POOL_IDLE_SECONDS = 60
"""Shorter than the idle limit of proxies, so that pooled connections are not stale."""


@dataclass(frozen=True)
class VCenterLogin:
    """Where a vCenter is, and who we are there. `timeout`: seconds for one call as a whole, at least 3."""

    host: str
    port: int
    username: str
    password: str = field(repr=False)
    ca_file: Path
    version: str = "vim.version.v8_0_3_0"
    timeout: float = 30


def speaks(version: str) -> bool:
    """Whether the library knows this version of the vSphere API."""
    return version.startswith("vim.version.") and version in VmomiSupport.nsMap


class CurrentStub(StubAdapterBase):
    """What managed objects are bound to. It sends by the adapter that is logged in now, so that they outlive
    a login; and an answer to a request of an ended session, which brings a new cookie with it, can only
    spoil the adapter that it came by.

    `binds`: what the objects in its answers are bound to, where that is another.
    """

    def __init__(self, version: str, binds: "CurrentStub | None" = None) -> None:
        super().__init__(version)
        self.adapter: SoapStubAdapter | None = None
        self._binds = binds or self

    def InvokeMethod(self, mo: Any, info: Any, args: Any) -> Any:
        """Called by managed objects. Any: what pyVmomi passes on to itself."""
        adapter = self.adapter
        if adapter is None:
            raise ConnectionError("not logged in")
        status, answer = adapter.InvokeMethod(mo, info, args, self._binds)
        if status == 200:
            return answer
        if not isinstance(answer, Exception):
            raise ValueError("a refusal without a fault")
        raise answer


class _Answer(HTTPResponse):
    """Bounded, and as it is: what is packed may be a thousand times larger, and the library unpacks it though
    that was not asked for."""

    taken = 0

    def begin(self) -> None:
        super().begin()
        if self.getheader("Content-Encoding", "identity").lower() != "identity":
            raise HTTPException("packed, though that was not asked for")

    def read(self, amt: int | None = None) -> bytes:
        wanted = LARGEST_ANSWER + 1 - self.taken
        part = super().read(wanted if amt is None or amt < 0 else min(amt, wanted))
        self.taken += len(part)
        if self.taken > LARGEST_ANSWER:
            raise HTTPException("larger than any answer of this API")
        return part


class _Connection(HTTPSConnection):
    """Made within what is left to the call that needs it."""

    response_class = _Answer

    def connect(self) -> None:
        own = self.timeout
        self.timeout = seconds_left(float(own or 0))
        if self.timeout <= 0:
            raise TimeoutError("the time of the whole call is over")
        super().connect()
        self.timeout = own
        self.sock.settimeout(own)


def trust(login: VCenterLogin) -> ssl.SSLContext:
    """The context that all adapters of a login share. Raises `Misconfigured`."""
    try:
        return bounded(ssl.create_default_context(cafile=str(login.ca_file)))
    except OSError as error:
        raise Misconfigured(
            f"The CA file {login.ca_file} cannot be read: {transport_words(error)}", do="Give a PEM file"
        ) from error


def adapter(login: VCenterLogin, context: ssl.SSLContext) -> SoapStubAdapter:
    """One that nobody is logged in by yet; nothing is sent. Raises `Misconfigured`."""
    try:
        made = SoapStubAdapter(
            host=login.host,
            port=login.port,
            version=login.version,
            sslContext=context,
            poolSize=POOL,
            httpConnectionTimeout=login.timeout,
            connectionPoolTimeout=POOL_IDLE_SECONDS,
            acceptCompressedResponses=False,
        )
    except (LookupError, AttributeError) as error:
        raise Misconfigured(
            f"The vSphere API version {login.version!r} is not known",
            do="Set one such as vim.version.v8_0_3_0",
        ) from error
    made.scheme = _Connection  # type: ignore[assignment]  # typed as the first that it may be
    return made
