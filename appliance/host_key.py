"""The appliance's SSH host key, and the one that is to follow it. Private halves never leave it."""

from pathlib import Path

from appliance.command import run
from appliance.errors import Refusal
from appliance.state import State


def following(state: State) -> str:
    """The public half of the key that is to follow; it is made unless it is there. Lock held."""
    file = _next(state)
    if not file.exists():
        fresh = file.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "appliance", "-f", str(fresh)])
        fresh.with_suffix(".new.pub").unlink()
        fresh.replace(file)
    return _public(file)


def follow(state: State, key: str) -> bool:
    """From now on `key` is the host key, which must be the one that was to follow. Lock held."""
    file, fresh = _current(state), _next(state)
    if _public(file) == key:
        return False
    if not fresh.exists() or _public(fresh) != key:
        raise Refusal("not-found", "this host key was not made here to follow the one that is served")
    fresh.replace(file)
    file.with_suffix(".pub").write_text(f"{key} appliance\n")
    return True


def _current(state: State) -> Path:
    return state.folder / "ssh" / "host_ed25519"


def _next(state: State) -> Path:
    return state.folder / "ssh" / "host_ed25519.next"


def _public(file: Path) -> str:
    return " ".join(run(["ssh-keygen", "-y", "-f", str(file)]).split()[:2])
