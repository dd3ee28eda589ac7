"""What cloud-init makes an appliance of: user data, and the network of its management NIC."""

import base64
import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any  # Any: what YAML holds

import yaml

from partial_failover.contracts.appliance import ApplianceRole

DEPLOY = resources.files("partial_failover") / "deploy" / "appliance"
PROGRAM = Path("/opt/network-extension")
STATE = Path("/var/lib/network-extension")
PLACES = {
    "sysctl.conf": Path("/etc/sysctl.d/60-network-extension.conf"),
    "management.nft": Path("/etc/nftables.conf"),
    "network-extension.service": Path("/etc/systemd/system/network-extension.service"),
    "network-extension-ssh.service": Path("/etc/systemd/system/network-extension-ssh.service"),
    "sshd_config": PROGRAM / "deploy" / "sshd_config",
}
"""Where the files of `deploy/appliance` go."""


MANAGEMENT = "management"
"""What the management NIC is renamed to; the program knows it by its MAC."""


@dataclass(frozen=True)
class ManagementNic:
    """`mac`: in lower case. Without `address` DHCP gives everything."""

    mac: str
    address: IPv4Interface | None = None
    router: IPv4Address | None = None
    dns: Sequence[IPv4Address] = ()


@dataclass(frozen=True)
class NewAppliance:
    """What one appliance must know before its first boot.

    `worker_key`: the public SSH key of the worker. `workers`, `gateways`: who may reach the management NIC.
    `tls_crypt`: the key that the appliances of a pair share, and no others (`openvpn --genkey tls-crypt`).
    """

    role: ApplianceRole
    worker_key: str
    tls_crypt: str
    workers: Sequence[IPv4Address]
    management: ManagementNic
    gateways: Sequence[IPv4Address] = ()
    name: str = "network-extension"


def seed(new: NewAppliance) -> dict[str, str]:
    """The files of a cloud-init seed by name. They hold the tls-crypt key: to be kept as a secret."""
    network = network_config(new.management)
    meta = {
        # Another MAC is another VM, and cloud-init begins anew.
        "instance-id": f"{new.name}-{new.management.mac.replace(':', '')}",
        "local-hostname": new.name,
        # Read where the seed comes by guestinfo, which has no file for the network.
        "network": network,
    }
    return {
        "user-data": user_data(new),
        "meta-data": _yaml(meta),
        "network-config": _yaml(network),
    }


def network_config(nic: ManagementNic) -> dict[str, Any]:
    """For the management NIC alone: the others belong to the program."""
    ethernet: dict[str, Any] = {"match": {"macaddress": nic.mac}, "set-name": MANAGEMENT}
    if nic.address is None:
        ethernet["dhcp4"] = True
    else:
        ethernet["addresses"] = [str(nic.address)]
    if nic.router is not None:
        ethernet["routes"] = [{"to": "0.0.0.0/0", "via": str(nic.router)}]
    if nic.dns:
        ethernet["nameservers"] = {"addresses": [str(server) for server in nic.dns]}
    return {"version": 2, "ethernets": {MANAGEMENT: ethernet}}


def user_data(new: NewAppliance) -> str:
    """The whole file. It holds the tls-crypt key: to be kept as a secret."""
    config: dict[str, Any] = yaml.safe_load((DEPLOY / "cloud-init.yaml").read_text())
    config["write_files"] += [*_program(), *state(new)]
    return "#cloud-config\n" + _yaml(config)


def _yaml(data: dict[str, Any]) -> str:
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=110)


class _Dumper(yaml.SafeDumper):
    """Texts of several lines are shown as such."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    ),
)


def state(new: NewAppliance) -> list[dict[str, str]]:
    """What goes below `/var/lib/network-extension`: its settings, keys and peers."""
    sources = ",".join(map(str, new.workers))
    authorized = f'restrict,from="{sources}" {new.worker_key}\n'
    config = {"role": new.role.value, "management": new.management.mac}
    return [
        _file(STATE / "config.json", json.dumps(config)),
        _file(STATE / "tls-crypt.key", new.tls_crypt, "0600"),
        _file(STATE / "ssh" / "authorized_keys", authorized, "0600"),
        _file(STATE / "management-peers.nft", _peers(new)),
    ]


def _peers(new: NewAppliance) -> str:
    peers = {"workers": new.workers, "gateways": new.gateways}
    return "".join(
        f"add element inet management {name} {{ {', '.join(map(str, addresses))} }}\n"
        for name, addresses in peers.items()
        if addresses
    )


def _program() -> Iterator[dict[str, str]]:
    for name, place in PLACES.items():
        yield _file(place, (DEPLOY / name).read_text())
    sources = (file for file in resources.files("appliance").iterdir() if file.name.endswith(".py"))
    for source in sorted(sources, key=lambda file: file.name):
        # Compressed: the platforms' limits for user data are some tens of kilobytes.
        packed = base64.b64encode(gzip.compress(source.read_bytes(), mtime=0)).decode()
        yield _file(PROGRAM / "appliance" / source.name, packed) | {"encoding": "gz+b64"}


def _file(path: Path, content: str, permissions: str = "0644") -> dict[str, str]:
    return {"path": str(path), "permissions": permissions, "content": content}
