"""Requests that change keys: of the tunnel, of whom SSH lets in, of the SSH host."""

from dataclasses import replace
from typing import Any  # JSON values, until the model checks them

from appliance import host_key, model, vpn
from appliance.state import State, refuse_when_closing
from appliance.system import System

Answer = dict[str, Any]


def rotate(request: dict[str, Any], state: State, system: System) -> Answer:
    """Another VPN key. A tunnel that runs is cut until the other end is told the new fingerprint."""
    model.only(request, set())
    with state.lock():
        refuse_when_closing(state)
        fingerprint = vpn.rotate_keys(state)
    system.wake([])
    return {"fingerprint": fingerprint}


def pin(request: dict[str, Any], state: State, system: System) -> Answer:
    """The other end has another VPN key; nothing else of the tunnel changes. Without one nothing is done."""
    model.only(request, {"peer_fingerprint"})
    fingerprint = model.fingerprint(request["peer_fingerprint"])
    with state.lock():
        known = state.vpn()
        changed = known is not None and known.peer_fingerprint != fingerprint
        if known and changed:
            state.set_vpn(replace(known, peer_fingerprint=fingerprint))
    system.wake([])
    return {"changed": changed}


def authorize(request: dict[str, Any], state: State, system: System) -> Answer:
    """Which SSH keys may ask from now on, with the restrictions that there are."""
    model.only(request, {"keys"})
    keys = model.ssh_keys(request["keys"])
    with state.lock():
        return {"changed": state.set_authorized_keys(keys)}


def new_host_key(request: dict[str, Any], state: State, system: System) -> Answer:
    """The host key that is to follow; the one that is served stays for now."""
    model.only(request, set())
    with state.lock():
        return {"host_key": host_key.following(state)}


def use_host_key(request: dict[str, Any], state: State, system: System) -> Answer:
    """Serve the key that was to follow, to those who connect from now on; the one before is gone."""
    model.only(request, {"host_key"})
    [key] = model.ssh_keys([request["host_key"]])
    with state.lock():
        changed = host_key.follow(state, key)
    system.reload_ssh()  # also when nothing changed: the answer of an earlier attempt may have been lost
    return {"changed": changed}
