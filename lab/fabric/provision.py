"""What is on an appliance's disk before its first boot, and how the worker reaches it."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import yaml

from operate.cloud_init import STATE, NewAppliance, user_data

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
        asyncssh.generate_private_key("ssh-ed25519", comment="worker").write_private_key(str(file))
    return asyncssh.read_private_key(str(file)).export_public_key().decode().strip()


def pair_key(file: Path) -> Path:
    """The key that both appliances of a pair wrap their handshake in (`tls-crypt`)."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["openvpn", "--genkey", "tls-crypt", str(file)], check=True, capture_output=True)
    return file


def appliance_disk(disk: Path, new: NewAppliance) -> str:
    """What cloud-init makes of the product's own user data; the public host key."""
    ssh = disk / "ssh"
    ssh.mkdir(parents=True, mode=0o700)
    host = asyncssh.generate_private_key("ssh-ed25519", comment="appliance")
    host.write_private_key(str(ssh / "host_ed25519"))
    (ssh / "host_ed25519").chmod(0o600)
    for entry in yaml.safe_load(user_data(new))["write_files"]:
        path = Path(entry["path"])
        if path.is_relative_to(STATE):
            file = disk / path.relative_to(STATE)
            file.touch(mode=int(entry["permissions"], 8))
            file.write_text(entry["content"])
    return " ".join(host.export_public_key().decode().split()[:2])


@dataclass(frozen=True)
class Memory:
    """What an appliance goes by at its next boot: its lease files, and whether it is to run its tunnel."""

    leases: tuple[str, ...]
    tunnel: bool


def memory(disk: Path) -> Memory:
    """Read from its disk, whether it is on or off."""
    texts = (_text(file) for file in sorted((disk / "leases").glob("*.json")))
    vpn = _text(disk / "vpn.json")
    return Memory(tuple(text for text in texts if text), bool(vpn) and bool(json.loads(vpn)["wanted"]))


def _text(file: Path) -> str:
    """Empty when it is not there, or not any more."""
    try:
        return file.read_text()
    except FileNotFoundError:
        return ""
