"""What is on an appliance's disk before its first boot, and how the worker reaches it."""

import base64
import gzip
import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import yaml

from partial_failover.cli.cloud_init import STATE, NewAppliance, user_data

IN_ITS_STATE = ("chmod", "ssh-keygen")
"""Commands of the first boot that only touch the appliance's state, and so can be run from outside."""
PLACEHOLDER_KEY = "# the lab's stand-in makes no tunnel\n"


@dataclass(frozen=True)
class Access:
    """How a worker reaches an appliance over SSH; `host_key` as it is configured, to be pinned."""

    host: str
    port: int
    host_key: str
    key_file: Path


def worker_key(file: Path) -> str:
    """The public half of a worker's SSH key; the key is made if it is not there."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(file))
    return asyncssh.read_private_key(str(file)).export_public_key().decode().strip()


def pair_key(file: Path) -> Path:
    """The key that both appliances of a pair wrap their handshake in (`tls-crypt`)."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["openvpn", "--genkey", "tls-crypt", str(file)], check=True, capture_output=True)
    return file


def appliance_disk(disk: Path, new: NewAppliance) -> str:
    """What cloud-init makes of the product's own user data, below the folder `disk`; the public host key.

    Packages are this machine's own, and so are users.
    """
    data = yaml.safe_load(user_data(new))
    for entry in data["write_files"]:
        file = _below(disk, entry["path"])
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=int(entry.get("permissions", "0644"), 8))
        file.write_bytes(_content(entry))
    for argv in data["runcmd"]:
        if argv[0] in IN_ITS_STATE:
            words = [str(_below(disk, w)) if w.startswith(str(STATE)) else w for w in argv]
            subprocess.run(_at_hand(words), check=True, capture_output=True)
    return " ".join((state(disk) / "ssh/host_ed25519.pub").read_text().split()[:2])


def state(disk: Path) -> Path:
    """Where the appliance with this disk keeps its state."""
    return _below(disk, STATE)


def _below(disk: Path, path: Path | str) -> Path:
    return disk / Path(path).relative_to("/")


def _content(entry: dict[str, str]) -> bytes:
    if "encoding" not in entry:
        return entry["content"].encode()
    assert entry["encoding"] == "gz+b64", entry["encoding"]
    return gzip.decompress(base64.b64decode(entry["content"]))


def _at_hand(argv: list[str]) -> list[str]:
    """The lab without networks runs also where there is no OpenSSH."""
    if argv[0] != "ssh-keygen" or shutil.which("ssh-keygen"):
        return argv
    file = Path(argv[argv.index("-f") + 1])
    key = asyncssh.generate_private_key("ssh-ed25519", comment="appliance")
    key.write_private_key(str(file))
    key.write_public_key(str(file.with_suffix(".pub")))
    file.chmod(0o600)
    return ["true"]


@dataclass(frozen=True)
class Memory:
    """What an appliance goes by at its next boot: its lease files, and whether it is to run its tunnel."""

    leases: tuple[str, ...]
    tunnel: bool


def memory(disk: Path) -> Memory:
    """Read from its disk, whether it is on or off."""
    texts = (_text(file) for file in sorted((state(disk) / "leases").glob("*.json")))
    vpn = _text(state(disk) / "vpn.json")
    return Memory(tuple(text for text in texts if text), bool(vpn) and bool(json.loads(vpn)["wanted"]))


def _text(file: Path) -> str:
    """Empty when it is not there, or not any more."""
    try:
        return file.read_text()
    except FileNotFoundError:
        return ""
