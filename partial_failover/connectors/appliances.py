"""Network extension appliances over SSH: one JSON request in, one JSON answer out, one connection each."""

import asyncio
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar  # Any: JSON values, until the contracts check them

import asyncssh
from pydantic import ValidationError

from partial_failover.connectors.attempt import Attempt
from partial_failover.contracts.appliance import (
    ApplianceNetwork,
    ApplianceStatus,
    Fingerprint,
    HostKey,
    Lease,
    Released,
    Verified,
)
from partial_failover.contracts.base import Contract
from partial_failover.contracts.errors import (
    AddressInUse,
    ApplianceChanged,
    BadRequest,
    Busy,
    FailoverError,
    Misconfigured,
    NoRight,
    NotFound,
    OutcomeUnknown,
    TaskFailed,
    Unavailable,
)

LONGEST_ANSWER = 1 << 20
"""Bytes. A thousand leases have about 130 000."""
VPN_PORT = 6180

_REFUSALS: dict[str, type[FailoverError]] = {
    "invalid": BadRequest,
    "closing": ApplianceChanged,
    "address-in-use": AddressInUse,
    "no-leg": ApplianceChanged,
    "not-found": NotFound,
    "busy": Busy,
    "internal": TaskFailed,
}
_WHAT_TO_DO = {
    "invalid": "Correct the value that the message names",
    "closing": "Wait until the appliance is off, power it on, and ask again",
    "address-in-use": "Power the original VM off or disconnect it, then try again",
    "no-leg": "Its networks are connected again; if that does not help, look at its NICs",
    "not-found": "Declare the network to the appliance first, or ask for a lease that it holds",
    "busy": "It is tried again",
    "internal": "Look at the appliance's journal (network-extension.service); it is tried again",
}
Answer = TypeVar("Answer", bound=Contract)
log = logging.getLogger(__name__)


class _Rotated(Contract):
    fingerprint: Fingerprint


class _NewHostKey(Contract):
    host_key: HostKey


class Appliance:
    """One appliance. `host_key` is its pinned public key ("ssh-ed25519 AAAA…"); nothing else is trusted, but
    `new_host_key` while the one follows the other.

    `key_file`: the private key that its SSH lets in. `timeout`: seconds for one request, connection included.
    Every method raises the errors of `contracts.errors`; requests to the appliance are idempotent, it looks
    before it acts, under one lock, so asking again after a lost answer is safe.
    """

    def __init__(
        self,
        host: str,
        port: int,
        host_key: str,
        key_file: Path,
        username: str = "root",
        timeout: float = 20,
        new_host_key: str | None = None,
    ) -> None:
        self.name = f"{host}:{port}"
        self._host, self._port, self._username, self._timeout = host, port, username, timeout
        self._key_file = key_file
        pinned = [host_key, new_host_key] if new_host_key else [host_key]
        self._host_keys = [host_key_of(key) for key in pinned]

    async def status(self) -> ApplianceStatus:
        """What the appliance says of itself now."""
        return self._model(ApplianceStatus, await self._ask({"op": "status"}, self._timeout))

    async def declare_networks(self, networks: Sequence[ApplianceNetwork], attempt: Attempt) -> bool:
        """Declare all networks that it extends. Whether that changed anything."""
        declared = [n.model_dump(mode="json") for n in networks]
        answer = await self._change("declare networks", {"op": "networks", "networks": declared}, attempt)
        return bool(answer.get("changed"))

    async def serve_vpn(self, peer_fingerprint: str, attempt: Attempt) -> bool:
        """At the provider: have the VPN server listen for the tenant's appliance. Whether that changed
        anything."""
        request = {"op": "vpn-server", "peer_fingerprint": peer_fingerprint, "port": VPN_PORT}
        return bool((await self._change("start the VPN server", request, attempt)).get("changed"))

    async def connect_vpn(self, gateway: str, port: int, peer_fingerprint: str, attempt: Attempt) -> bool:
        """At the tenant: have the VPN client connect through the cloud gateway. Whether that changed
        anything."""
        request = {"op": "vpn-client", "gateway": gateway, "port": port, "peer_fingerprint": peer_fingerprint}
        return bool((await self._change("start the VPN client", request, attempt)).get("changed"))

    async def rotate_keys(self, attempt: Attempt) -> str:
        """Have it make another VPN key; its certificate's fingerprint. Its tunnel is cut until the other end
        is told. Asked again, it makes yet another."""
        answer = await self._change("make new VPN keys", {"op": "rotate-keys"}, attempt)
        return self._model(_Rotated, answer).fingerprint

    async def pin(self, peer_fingerprint: str, attempt: Attempt) -> bool:
        """The other end of its tunnel has this certificate now. Whether that changed anything."""
        request = {"op": "pin", "peer_fingerprint": peer_fingerprint}
        return bool((await self._change("pin the other end's VPN key", request, attempt)).get("changed"))

    async def new_host_key(self, attempt: Attempt) -> str:
        """Have it make the SSH host key that is to follow; its public half. Asked again, it is the same."""
        answer = await self._change("make a new host key", {"op": "new-host-key"}, attempt)
        return self._model(_NewHostKey, answer).host_key

    async def use_host_key(self, host_key: str, attempt: Attempt) -> bool:
        """Have it serve the host key that was to follow. Whether that changed anything."""
        request = {"op": "use-host-key", "host_key": host_key}
        return bool((await self._change("serve its new host key", request, attempt)).get("changed"))

    async def authorize(self, keys: Sequence[str], attempt: Attempt) -> bool:
        """Let these public SSH keys in, and no others. Whether that changed anything."""
        bare = [" ".join(key.split()[:2]) for key in keys]
        answer = await self._change("set its SSH keys", {"op": "authorize", "keys": bare}, attempt)
        return bool(answer.get("changed"))

    async def lease(self, lease: Lease, power_off_when_idle: bool, force: bool, attempt: Attempt) -> bool:
        """Extend the network for one replica. False when the lease was there already.

        `power_off_when_idle`: this failover powered the appliance on. `force`: also when the tenant's
        appliance finds that somebody owns the address. Raises `AddressInUse`, `ApplianceChanged`.
        """
        request = {
            "op": "lease",
            **lease.model_dump(mode="json"),
            "power_off_when_idle": power_off_when_idle,
            "force": force,
        }
        answer = await self._change(f"lease {lease.address}", request, attempt)
        return bool(answer.get("changed"))

    async def release(
        self,
        lease_id: str,
        power_off_when_idle: bool,
        attempt: Attempt,
        announce_mac: str | None = None,
    ) -> Released:
        """End a lease. A lease that is not there is released already; the answer is the same.

        `power_off_when_idle`: as at `lease`, for a failover that never got as far as its lease.
        `announce_mac`: MAC of the original, told to its LAN by the tenant's appliance (which otherwise asks
        the LAN).
        """
        request = {
            "op": "release",
            "id": lease_id,
            "announce_mac": announce_mac,
            "power_off_when_idle": power_off_when_idle,
        }
        return self._model(Released, await self._change(f"release {lease_id}", request, attempt))

    async def verify(self, lease_id: str, timeout: float) -> Verified:
        """Whether the leased address answers within `timeout` seconds: to the tenant's appliance through
        the tunnel, to the provider's on its own network."""
        request = {"op": "verify", "id": lease_id, "timeout": timeout}
        return self._model(Verified, await self._ask(request, self._timeout + timeout))

    async def _change(self, what: str, request: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
        """The one place that sends mutations. An answer that is lost after this is an unknown outcome."""
        attempt.check(f"{what} at the appliance {self.name}")
        attempt.beat()
        return await self._ask(request, min(self._timeout, attempt.left()), mutation=what)

    async def _ask(
        self, request: dict[str, Any], timeout: float, mutation: str | None = None
    ) -> dict[str, Any]:
        sent = False
        try:
            async with asyncio.timeout(timeout), self._connect() as connection:
                process = await connection.create_process("request", encoding=None)
                sent = True
                process.stdin.write(json.dumps(request).encode())
                process.stdin.write_eof()
                raw = b""
                while part := await process.stdout.read(65536):
                    raw += part
                    if len(raw) > LONGEST_ANSWER:
                        break
        except (asyncssh.Error, OSError, TimeoutError, ValueError) as error:
            if sent and mutation:
                raise self._unknown(mutation) from error
            self._refuse(error)
        answer = _parsed(raw)
        if answer is None:
            raise self._unknown(mutation) if mutation else self._no_answer(raw)
        if answer.pop("ok"):
            return answer
        raise self._refusal(answer)

    def _connect(self) -> "asyncssh.misc._ACMWrapper[asyncssh.SSHClientConnection]":
        return asyncssh.connect(
            self._host,
            self._port,
            username=self._username,
            client_keys=[str(self._key_file)],
            known_hosts=(self._host_keys, [], []),
            config=None,
            agent_path=None,
            preferred_auth="publickey",
            client_host_keysign=False,
            gss_host=None,
            compression_algs=None,
        )

    def _refuse(self, error: Exception) -> NoReturn:
        """The fault for a request that never reached the appliance's program."""
        log.info("appliance %s: %s", self.name, type(error).__name__)
        if isinstance(error, asyncssh.HostKeyNotVerifiable):
            raise Misconfigured(
                f"The appliance {self.name} shows another host key than the one that is configured",
                left="Nothing was sent",
                do="Find out whether it was installed anew, and only then configure its new host key",
            ) from error
        if isinstance(error, asyncssh.PermissionDenied):
            raise NoRight(
                f"The appliance {self.name} refused the key {self._key_file.name}",
                left="Nothing was sent",
                do="Add the key's public half to the appliance's authorized_keys",
            ) from error
        if (
            isinstance(error, asyncssh.KeyImportError | asyncssh.KeyEncryptionError)
            or not self._key_readable()
        ):
            raise Misconfigured(
                f"The SSH key {self._key_file.name} for the appliance {self.name} cannot be read",
                left="Nothing was sent",
                do="Give a private key file without passphrase that the worker may read",
            ) from error
        raise Unavailable(
            f"The appliance {self.name} did not answer",
            left="Nothing was changed",
            do="It may still be booting; if this goes on, look at its power, its network and its SSH service",
        ) from error

    def _key_readable(self) -> bool:
        try:
            with self._key_file.open("rb"):
                return True
        except OSError:
            return False

    def _unknown(self, mutation: str) -> OutcomeUnknown:
        return OutcomeUnknown(
            f"The appliance {self.name} was asked to {mutation} and its answer was lost",
            do="It is asked again, which is safe: it looks before it acts",
        )

    def _no_answer(self, raw: bytes) -> Unavailable:
        return Unavailable(
            f"The appliance {self.name} answered {len(raw)} bytes that its program would not answer",
            do="It may still be booting; otherwise look at its journal",
        )

    def _refusal(self, answer: dict[str, Any]) -> FailoverError:
        """The fault for a refusal of the appliance's program."""
        word = str(answer.get("error"))
        message = str(answer.get("message", ""))[:500]
        mac = f" (MAC {str(answer['mac'])[:17]})" if "mac" in answer else ""
        return _REFUSALS.get(word, TaskFailed)(
            f"The appliance {self.name} refused: {message}{mac}",
            left="" if word in ("busy", "internal") else "It was left as it was",
            do=_WHAT_TO_DO.get(word, ""),
        )

    def _model(self, kind: type[Answer], answer: dict[str, Any]) -> Answer:
        try:
            return kind.model_validate(answer)
        except ValidationError as error:
            fields = ", ".join(sorted({str(e["loc"][0]) for e in error.errors() if e["loc"]})[:5])
            raise Misconfigured(
                f"The appliance {self.name} answers in another form than this worker knows ({fields})",
                do="Install the same version of the program on the appliance and on the worker",
            ) from None


def host_key_of(text: str) -> asyncssh.SSHKey:
    """A pinned host key. Raises `Misconfigured`."""
    try:
        return asyncssh.import_public_key(text)
    except (asyncssh.KeyImportError, ValueError):
        raise Misconfigured(
            "The host key configured for an appliance is not an SSH public key",
            do='Configure it as "ssh-ed25519 AAAA…"',
        ) from None


def public_key(private: Path) -> str:
    """The public half of a worker's SSH key, as `authorized_keys` takes it. Raises `Misconfigured`."""
    try:
        return asyncssh.read_private_key(str(private)).export_public_key().decode().strip()
    except (OSError, asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
        raise Misconfigured(
            f"The SSH key {private.name} cannot be read", do="Give a private key file without passphrase"
        ) from None


def _parsed(raw: bytes) -> dict[str, Any] | None:
    """The answer of the appliance's program, or None for what is none."""
    try:
        answer = json.loads(raw) if len(raw) <= LONGEST_ANSWER else None
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) and isinstance(answer.get("ok"), bool) else None
