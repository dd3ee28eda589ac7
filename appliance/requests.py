"""The requests that an appliance answers. Each is checked whole before its first change."""

import json
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Any  # JSON values, until the model checks them

from appliance import VERSION, keys, large_packets, model
from appliance.command import CommandFailed
from appliance.errors import Refusal, invalid
from appliance.model import Lease, Network, Role, Vpn
from appliance.state import State, refuse_when_closing
from appliance.system import System

LONGEST_REQUEST = 65536
"""Bytes. A declaration of nine networks has about 2000."""
VPN_SECONDS = 8.0
VERIFY_SECONDS = 60.0
Answer = dict[str, Any]
log = logging.getLogger(__name__)


def answer(raw: bytes, state: State, system: System) -> Answer:
    """The answer to one request, whatever happens."""
    try:
        return {"ok": True, **_dispatch(_parse(raw), state, system)}
    except Refusal as refusal:
        mac = {"mac": refusal.mac} if refusal.mac else {}
        return {"ok": False, "error": refusal.word, "message": refusal.message, **mac}
    except (CommandFailed, OSError) as error:
        log.error("request failed: %s", error)
        return {"ok": False, "error": "internal", "message": str(error)[:500]}
    except Exception as error:
        log.exception("request failed")
        return {"ok": False, "error": "internal", "message": type(error).__name__}


def _parse(raw: bytes) -> dict[str, Any]:
    if len(raw) > LONGEST_REQUEST:
        raise invalid(f"the request is longer than {LONGEST_REQUEST} bytes")
    try:
        request = json.loads(raw)
    except (ValueError, RecursionError):
        raise invalid("the request is not JSON") from None
    if not isinstance(request, dict):
        raise invalid("the request is not an object")
    return request


def _dispatch(request: dict[str, Any], state: State, system: System) -> Answer:
    handlers: dict[str, Callable[[dict[str, Any], State, System], Answer]] = {
        "status": _status,
        "networks": _networks,
        "vpn-server": _vpn_server,
        "vpn-client": _vpn_client,
        "rotate-keys": keys.rotate,
        "pin": keys.pin,
        "authorize": keys.authorize,
        "new-host-key": keys.new_host_key,
        "use-host-key": keys.use_host_key,
        "lease": _lease,
        "release": _release,
        "verify": _verify,
        "large-packets": large_packets.answer,
    }
    op = request.pop("op", None)
    if not isinstance(op, str) or op not in handlers:
        raise invalid(f"op must be one of {', '.join(handlers)}")
    return handlers[op](request, state, system)


def _status(request: dict[str, Any], state: State, system: System) -> Answer:
    model.only(request, set())
    wanted, tunnel, interfaces = state.vpn(), system.tunnel(), system.interfaces()
    return {
        "version": VERSION,
        "role": str(state.role),
        "fingerprint": system.fingerprint(),
        "closing": state.closing,
        "power_off_when_idle": state.power_off_when_idle,
        "leases": [
            {"id": x.id, "network": x.network, "address": str(x.address)} for x in state.leases().values()
        ],
        "networks": [
            {"name": n.name, "leg": n.interface if n.interface in interfaces else None}
            for n in state.networks()
        ],
        "vpn": {
            "wanted": wanted is not None and wanted.wanted,
            "state": tunnel.state,
            "since": tunnel.since,
        },
        "claims": _claims(state),
        "large": large_packets.known(state),
    }


def _claims(state: State) -> list[Answer]:
    leased = {lease.address for lease in state.leases().values()}
    return [{"address": str(a), "mac": mac} for a, mac in state.claims().items() if a in leased]


def _networks(request: dict[str, Any], state: State, system: System) -> Answer:
    model.only(request, {"networks"})
    with state.lock():
        refuse_when_closing(state)
        known = state.networks()
        wanted = model.networks(request["networks"], known)
        by_name = {n.name: n for n in wanted}
        for lease in state.leases().values():
            if lease.network not in by_name or not by_name[lease.network].holds(lease.address):
                raise invalid(
                    f"{lease.address} is leased on {lease.network}, which would not hold it any more"
                )
        changed = set(wanted) != set(known)
        if changed:
            state.set_networks(wanted)
        system.apply()
        return {"changed": changed}


def _vpn_server(request: dict[str, Any], state: State, system: System) -> Answer:
    model.only(request, {"peer_fingerprint"}, frozenset({"port"}))
    if state.role is not Role.PROVIDER:
        raise invalid("only the provider's appliance is a VPN server")
    port = model.port(request.get("port", 6180))
    return _start_vpn(Vpn(model.fingerprint(request["peer_fingerprint"]), port, None, True), state, system)


def _vpn_client(request: dict[str, Any], state: State, system: System) -> Answer:
    model.only(request, {"gateway", "port", "peer_fingerprint"})
    if state.role is not Role.TENANT:
        raise invalid("only the tenant's appliance is a VPN client")
    gateway, port = model.host(request["gateway"]), model.port(request["port"])
    return _start_vpn(Vpn(model.fingerprint(request["peer_fingerprint"]), port, gateway, True), state, system)


def _start_vpn(wanted: Vpn, state: State, system: System) -> Answer:
    with state.lock():
        refuse_when_closing(state)
        changed = state.vpn() != wanted
        if changed:
            state.set_vpn(wanted)
    system.wake([])
    _wait(lambda: system.tunnel().state != "stopped", system, "OpenVPN did not start")
    return {"changed": changed}


def _wait(reached: Callable[[], bool], system: System, otherwise: str) -> None:
    """Until `reached`. The lock must not be held: `serve` needs it to go on."""
    end = time.monotonic() + VPN_SECONDS
    while not reached():
        if time.monotonic() > end:
            raise Refusal("busy", f"{otherwise} in {VPN_SECONDS:.0f} s")
        system.pause(0.05)


def _lease(request: dict[str, Any], state: State, system: System) -> Answer:
    model.only(request, {"id", "network", "address"}, frozenset({"power_off_when_idle", "force"}))
    name = model.network_name(request["network"])
    lease = Lease(model.lease_id(request["id"]), name, model.address(request["address"]))
    power_off = model.flag(request.get("power_off_when_idle", False), "power_off_when_idle")
    force = model.flag(request.get("force", False), "force")
    refuse_when_closing(state)
    network = _network_of(lease, state, system)
    # The probe takes most of a second, so it is done before the lock is taken.
    if state.role is Role.TENANT and lease.id not in state.leases():
        lease = _probed(lease, network, force, system)
    with state.lock():
        refuse_when_closing(state)
        _network_of(lease, state, system)
        return {"changed": _place(lease, power_off, state, system)}


def _network_of(lease: Lease, state: State, system: System) -> Network:
    network = next((n for n in state.networks() if n.name == lease.network), None)
    if network is None:
        raise Refusal("not-found", f"the network {lease.network} is not declared here")
    if not network.holds(lease.address):
        raise invalid(f"{lease.address} is not an address for a VM in {network.subnet}")
    if network.interface not in system.interfaces():
        raise Refusal("no-leg", f"no NIC with the MAC {network.mac} of network {network.name} is plugged in")
    return network


def _probed(lease: Lease, network: Network, force: bool, system: System) -> Lease:
    owner = system.owner(network.interface, lease.address)
    if owner and not force:
        text = f"{lease.address} on {network.name} is in use by {owner}"
        raise Refusal("address-in-use", text, owner)
    return replace(lease, original=owner)


def _place(lease: Lease, power_off: bool, state: State, system: System) -> bool:
    """Write the lease and make it effective, or leave nothing of it. Lock held."""
    leases = state.leases()
    earlier = leases.get(lease.id)
    if earlier and (earlier.network, earlier.address) != (lease.network, lease.address):
        raise invalid(f"the lease {lease.id} is for {earlier.address} on {earlier.network}")
    if earlier is None:
        if len(leases) >= model.MOST_LEASES:
            raise Refusal("busy", f"there are {model.MOST_LEASES} leases already")
        state.put_lease(lease)
    try:
        system.apply()
    except Exception:
        if earlier is None:
            state.drop_lease(lease.id)
        raise
    if power_off or not leases:  # the first lease forgets what an earlier failover wished
        state.set_power_off_when_idle(power_off)
    vpn = state.vpn()
    if vpn and not vpn.wanted:  # the last release stopped it between this failover's VPN and its lease
        state.set_vpn(replace(vpn, wanted=True))
        system.wake([])
    return earlier is None


def _release(request: dict[str, Any], state: State, system: System) -> Answer:
    model.only(request, {"id"}, frozenset({"announce_mac", "power_off_when_idle"}))
    lease_id = model.lease_id(request["id"])
    mac = model.mac(request["announce_mac"], "announce_mac") if request.get("announce_mac") else None
    power_off = model.flag(request.get("power_off_when_idle", False), "power_off_when_idle")
    with state.lock():
        leases, before = state.leases(), (state.vpn(), state.closing)
        lease = leases.pop(lease_id, None)
        if lease:
            state.drop_lease(lease_id)
            system.apply()
        if not leases:
            _idle(power_off, state, system)
        elif power_off:  # of one that never had a lease; the last of the others switches off for it
            state.set_power_off_when_idle(True)
        closing = state.closing
        changed = lease is not None or (state.vpn(), closing) != before
    if not leases:
        _wait(
            lambda: _vpn_wanted(state) or system.tunnel().state == "stopped", system, "OpenVPN did not stop"
        )
    if lease and state.role is Role.TENANT:
        _give_back(lease, mac, state, system)
    return {"left": len(leases), "closing": closing, "power_off": closing, "changed": changed}


def _idle(power_off: bool, state: State, system: System) -> None:
    """The last lease is gone: no tunnel, and off if a failover powered this appliance on. Lock held."""
    vpn = state.vpn()
    if vpn and vpn.wanted:
        state.set_vpn(replace(vpn, wanted=False))
    if power_off or state.power_off_when_idle:
        # On disk: whoever has to switch this appliance on again, only to look for a lease, leaves it off too.
        state.set_power_off_when_idle(True)
        state.set_closing()
    system.wake([])


def _vpn_wanted(state: State) -> bool:
    vpn = state.vpn()
    return vpn is not None and vpn.wanted and not state.closing


def _give_back(lease: Lease, mac: str | None, state: State, system: System) -> None:
    """Announce the original on its LAN, so that production need not wait for its ARP entry to age."""
    network = next((n for n in state.networks() if n.name == lease.network), None)
    held = any(x.network == lease.network and x.address == lease.address for x in state.leases().values())
    if network and not held and network.interface in system.interfaces():
        owner = mac or system.owner(network.interface, lease.address) or lease.original
        if owner:
            system.wake([(network.interface, str(lease.address), owner)])


def _verify(request: dict[str, Any], state: State, system: System) -> Answer:
    model.only(request, {"id"}, frozenset({"timeout"}))
    lease = state.leases().get(model.lease_id(request["id"]))
    timeout = request.get("timeout", 5)
    if type(timeout) not in (int, float) or not 0 <= timeout <= VERIFY_SECONDS:
        raise invalid(f"timeout must be seconds from 0 to {VERIFY_SECONDS:.0f}")
    if lease is None:
        raise Refusal("not-found", "there is no such lease")
    network = _network_of(lease, state, system)
    end = time.monotonic() + timeout
    while True:
        milliseconds = system.ping(network.spare, lease.address)
        if milliseconds is not None:
            return {"reachable": True, "rtt_ms": milliseconds, "how": "ping"}
        if state.role is Role.PROVIDER and _answers_arp(network, lease.address, system):
            return {"reachable": True, "rtt_ms": None, "how": "arp"}
        if time.monotonic() > end:
            return {"reachable": False, "rtt_ms": None, "how": "ping"}
        system.pause(0.1)


def _answers_arp(network: Network, address: IPv4Address, system: System) -> bool:
    """A guest that filters ping still answers ARP. An empty sender would look to it like a conflict."""
    return system.owner(network.interface, address, network.spare) is not None
