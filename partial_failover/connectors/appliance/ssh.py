"""The way to an appliance: one JSON request in, one JSON answer out, one SSH connection each."""

import asyncio
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn  # Any: JSON values, until the contracts check them

import asyncssh

from partial_failover.connectors.appliance.keys import host_key_of
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
USER = "root"

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
log = logging.getLogger(__name__)


class SshRequests:
    """Requests to one appliance. Only the `host_keys` are trusted; `key_file` is what its SSH lets in."""

    def __init__(self, host: str, port: int, host_keys: Sequence[str], key_file: Path) -> None:
        self.name = f"{host}:{port}"
        self._host, self._port, self._key_file = host, port, key_file
        self._host_keys = [host_key_of(key) for key in host_keys]

    async def ask(
        self, request: dict[str, Any], timeout: float, mutation: str | None = None
    ) -> dict[str, Any]:
        """The answer of the appliance's program to one request, within `timeout` seconds. `mutation`: what it
        is asked to do, for a request that changes something: then a lost answer is `OutcomeUnknown`."""
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
            username=USER,
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
        """The error for a request that never reached the appliance's program."""
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
        """The error for a refusal of the appliance's program."""
        word = str(answer.get("error"))
        message = str(answer.get("message", ""))[:500]
        mac = f" (MAC {str(answer['mac'])[:17]})" if "mac" in answer else ""
        return _REFUSALS.get(word, TaskFailed)(
            f"The appliance {self.name} refused: {message}{mac}",
            left="" if word in ("busy", "internal") else "It was left as it was",
            do=_WHAT_TO_DO.get(word, ""),
        )


def _parsed(raw: bytes) -> dict[str, Any] | None:
    """The answer of the appliance's program, or None for what is none."""
    try:
        answer = json.loads(raw) if len(raw) <= LONGEST_ANSWER else None
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) and isinstance(answer.get("ok"), bool) else None
