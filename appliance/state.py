"""The appliance's memory: small JSON files, each written whole or not at all.

What must outlive a reboot is in `folder`; what must not (the lock, the mark that the appliance is
closing, sockets) is in `runtime`, which the system empties at boot.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, TextIO  # Any: JSON values, until the model checks them

from appliance import model
from appliance.errors import Refusal
from appliance.model import Lease, Network, Role, Vpn

FOLDER = Path("/var/lib/network-extension")
RUNTIME = Path("/run/network-extension")
LOCK_SECONDS = 20.0
CLAIM_SECONDS = 120.0


class State:
    """All that the appliance was told. Readers need no lock; writers hold `lock`."""

    def __init__(self, folder: Path = FOLDER, runtime: Path = RUNTIME) -> None:
        self.folder = folder
        self.runtime = runtime
        (folder / "leases").mkdir(parents=True, exist_ok=True)
        runtime.mkdir(parents=True, exist_ok=True)
        config = _read(folder / "config.json") or {}
        self.role = Role(config["role"])
        self.management = model.mac(config["management"], "management")
        """MAC of the management NIC, whatever its name; every other NIC is on an extended network."""

    @contextmanager
    def lock(self, seconds: float = LOCK_SECONDS) -> Iterator[None]:
        """One writer at a time, in all processes. Raises a `busy` refusal after `seconds`."""
        with (self.runtime / "lock").open("w") as handle:
            if not _locked(handle, seconds):
                raise Refusal("busy", "another request holds the appliance")
            yield

    @contextmanager
    def turn(self, what: str, seconds: float) -> Iterator[None]:
        """One of our own requests at a time does `what`. Raises TimeoutError after `seconds`."""
        with (self.runtime / f"{what}.turn").open("w") as handle:
            if not _locked(handle, seconds):
                raise TimeoutError(f"another request has its turn: {what}")
            yield

    def networks(self) -> tuple[Network, ...]:
        """The declared networks, by number."""
        entries = _read(self.folder / "networks.json") or []
        made = (model.network({k: v for k, v in e.items() if k != "number"}, e["number"]) for e in entries)
        return tuple(sorted(made, key=lambda n: n.number))

    def set_networks(self, networks: tuple[Network, ...]) -> None:
        """Declare the whole set."""
        _write(self.folder / "networks.json", [asdict(n) for n in networks])

    def leases(self) -> dict[str, Lease]:
        """All leases by id. An unreadable one is an error, so that it is never taken for a released one."""
        leases = {}
        for path in sorted((self.folder / "leases").glob("*.json")):
            entry = _read(path)
            if entry is not None:
                original = entry["original"]
                leases[path.stem] = Lease(
                    model.lease_id(path.stem),
                    model.network_name(entry["network"]),
                    model.address(entry["address"]),
                    model.mac(original) if original is not None else None,
                )
        return leases

    def put_lease(self, lease: Lease) -> None:
        """Write one lease file."""
        _write(self._lease_file(lease.id), asdict(lease))

    def drop_lease(self, lease_id: str) -> None:
        """Remove one lease file, if it is there."""
        self._lease_file(lease_id).unlink(missing_ok=True)
        _sync(self.folder / "leases")

    def set_authorized_keys(self, keys: tuple[str, ...]) -> bool:
        """Let these SSH keys in and no others, with the options of the first line that is there."""
        file = self.folder / "ssh" / "authorized_keys"
        text = file.read_text()
        options, found, _ = text.partition("ssh-ed25519 ")
        if not found or "\n" in options:
            raise Refusal("internal", "the file authorized_keys is spoilt; rebuild the appliance")
        wanted = "".join(f"{options}{key}\n" for key in keys)
        if _without_comments(wanted) == _without_comments(text):
            return False
        fresh = file.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(wanted)
        fresh.replace(file)
        _sync(file.parent)
        return True

    def vpn(self) -> Vpn | None:
        """The tunnel as it was asked for last."""
        entry = _read(self.folder / "vpn.json")
        return Vpn(**entry) if entry else None

    def set_vpn(self, vpn: Vpn) -> None:
        """Ask for a tunnel."""
        _write(self.folder / "vpn.json", asdict(vpn))

    @property
    def power_off_when_idle(self) -> bool:
        """Whether a failover powered this appliance on, so that the last one is to power it off."""
        return (self.folder / "power-off-when-idle").exists()

    def set_power_off_when_idle(self, wanted: bool) -> None:
        """Remember it, or forget it."""
        marker = self.folder / "power-off-when-idle"
        marker.touch() if wanted else marker.unlink(missing_ok=True)

    @property
    def closing(self) -> bool:
        """Whether the last lease is gone and this appliance is to be powered off. Ends with a reboot."""
        return (self.runtime / "closing").exists()

    def set_closing(self) -> None:
        """From now on nothing is leased any more."""
        (self.runtime / "closing").touch()

    def claims(self) -> dict[IPv4Address, str]:
        """MAC of whoever else was heard to claim an address, for as long as that is news."""
        heard, oldest = _read(self.runtime / "claims.json") or {}, time.time() - CLAIM_SECONDS
        return {IPv4Address(address): mac for address, (mac, at) in heard.items() if at > oldest}

    def note_claim(self, address: IPv4Address, mac: str) -> None:
        """Somebody else claims `address`. Only `serve` writes these, so it needs no lock."""
        heard = _read(self.runtime / "claims.json") or {}
        _write(self.runtime / "claims.json", heard | {str(address): (mac, time.time())})

    def large_packets(self) -> tuple[str, float]:
        """What was found of large packets, and when, in Unix time."""
        found, at = _read(self.runtime / "large-packets.json") or ("unknown", 0.0)
        return found, at

    def note_large_packets(self, found: str) -> None:
        """Found now. Only who has that turn writes it, so it needs no lock."""
        _write(self.runtime / "large-packets.json", (found, time.time()))

    def _lease_file(self, lease_id: str) -> Path:
        return self.folder / "leases" / f"{model.lease_id(lease_id)}.json"


def refuse_when_closing(state: State) -> None:
    """What is being powered off takes nothing on any more."""
    if state.closing:
        raise Refusal("closing", "the last lease was released and this appliance is being powered off")


def _without_comments(lines: str) -> list[list[str]]:
    """Options, type and key of each line of `authorized_keys`."""
    return [line.split()[:3] for line in lines.splitlines()]


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        raise Refusal("internal", f"the file {path.name} is spoilt; repair or remove it") from None


def _write(path: Path, value: Any) -> None:
    fresh = path.with_suffix(".new")
    with fresh.open("w") as handle:
        json.dump(value, handle, default=str)
        handle.flush()
        os.fsync(handle.fileno())
    fresh.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _locked(handle: TextIO, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(0.01)
        else:
            return True
