"""What an appliance is asked and told. Its program looks before it acts, so asking again is safe."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar  # Any: JSON values, until the contracts check them

from pydantic import ValidationError

from partial_failover.connectors.appliance.ssh import SshRequests
from partial_failover.connectors.attempt import Attempt
from partial_failover.contracts.appliance import (
    ApplianceNetwork,
    ApplianceStatus,
    Fingerprint,
    HostKey,
    LargePackets,
    Lease,
    Released,
    Verified,
)
from partial_failover.contracts.base import Contract
from partial_failover.contracts.errors import Misconfigured

VPN_PORT = 6180

Answer = TypeVar("Answer", bound=Contract)


class _Rotated(Contract):
    fingerprint: Fingerprint


class _Tried(Contract):
    large: LargePackets


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
        timeout: float = 20,
        new_host_key: str | None = None,
    ) -> None:
        self.name = f"{host}:{port}"
        self._timeout = timeout
        pinned = [host_key, new_host_key] if new_host_key else [host_key]
        self._requests = SshRequests(host, port, pinned, key_file)

    async def status(self) -> ApplianceStatus:
        """What the appliance says of itself now."""
        return self._model(ApplianceStatus, await self._requests.ask({"op": "status"}, self._timeout))

    async def declare_networks(self, networks: Sequence[ApplianceNetwork], attempt: Attempt) -> bool:
        """Declare all networks that it extends. Whether that changed anything."""
        declared = [n.model_dump(mode="json") for n in networks]
        return await self._changed("declare networks", {"op": "networks", "networks": declared}, attempt)

    async def serve_vpn(self, peer_fingerprint: str, attempt: Attempt) -> bool:
        """At the provider: have the VPN server listen for the tenant's appliance. Whether that changed
        anything."""
        request = {"op": "vpn-server", "peer_fingerprint": peer_fingerprint, "port": VPN_PORT}
        return await self._changed("start the VPN server", request, attempt)

    async def connect_vpn(self, gateway: str, port: int, peer_fingerprint: str, attempt: Attempt) -> bool:
        """At the tenant: have the VPN client connect through the cloud gateway. Whether that changed
        anything."""
        request = {"op": "vpn-client", "gateway": gateway, "port": port, "peer_fingerprint": peer_fingerprint}
        return await self._changed("start the VPN client", request, attempt)

    async def rotate_keys(self, attempt: Attempt) -> str:
        """Have it make another VPN key; its certificate's fingerprint. Its tunnel is cut until the other end
        is told. Asked again, it makes yet another."""
        answer = await self._change("make new VPN keys", {"op": "rotate-keys"}, attempt)
        return self._model(_Rotated, answer).fingerprint

    async def pin(self, peer_fingerprint: str, attempt: Attempt) -> bool:
        """The other end of its tunnel has this certificate now. Whether that changed anything."""
        request = {"op": "pin", "peer_fingerprint": peer_fingerprint}
        return await self._changed("pin the other end's VPN key", request, attempt)

    async def new_host_key(self, attempt: Attempt) -> str:
        """Have it make the SSH host key that is to follow; its public half. Asked again, it is the same."""
        answer = await self._change("make a new host key", {"op": "new-host-key"}, attempt)
        return self._model(_NewHostKey, answer).host_key

    async def use_host_key(self, host_key: str, attempt: Attempt) -> bool:
        """Have it serve the host key that was to follow. Whether that changed anything."""
        request = {"op": "use-host-key", "host_key": host_key}
        return await self._changed("serve its new host key", request, attempt)

    async def authorize(self, keys: Sequence[str], attempt: Attempt) -> bool:
        """Let these public SSH keys in, and no others. Whether that changed anything."""
        bare = [" ".join(key.split()[:2]) for key in keys]
        return await self._changed("set its SSH keys", {"op": "authorize", "keys": bare}, attempt)

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
        return await self._changed(f"lease {lease.address}", request, attempt)

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
        return self._model(Verified, await self._requests.ask(request, self._timeout + timeout))

    async def large_packets(self) -> LargePackets:
        """Have it send a large packet to the other end, unless it knows. Seconds; one that is lost stops the
        tunnel until OpenVPN has connected anew."""
        answer = await self._requests.ask({"op": "large-packets"}, self._timeout)
        return self._model(_Tried, answer).large

    async def _changed(self, what: str, request: dict[str, Any], attempt: Attempt) -> bool:
        """Change something. Whether it was otherwise before."""
        return bool((await self._change(what, request, attempt)).get("changed"))

    async def _change(self, what: str, request: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
        """The one place that sends mutations. An answer that is lost after this is an unknown outcome."""
        attempt.check(f"{what} at the appliance {self.name}")
        attempt.beat()
        return await self._requests.ask(request, min(self._timeout, attempt.left()), mutation=what)

    def _model(self, kind: type[Answer], answer: dict[str, Any]) -> Answer:
        try:
            return kind.model_validate(answer)
        except ValidationError as error:
            fields = ", ".join(sorted({str(e["loc"][0]) for e in error.errors() if e["loc"]})[:5])
            raise Misconfigured(
                f"The appliance {self.name} answers in another form than this worker knows ({fields})",
                do="Install the same version of the program on the appliance and on the worker",
            ) from None
