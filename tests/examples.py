"""The example configurations as a machine has them on which everything that they name is there."""

import re
from pathlib import Path
from typing import Any  # Any: what YAML holds

import asyncssh
import yaml

from lab.tls import Authority
from partial_failover.connectors.appliance import public_key

ROOT = Path(__file__).parent.parent
PROVIDER, TENANT_SITE = ROOT / "config.example.yaml", ROOT / "config.tenant-site.example.yaml"
FOLDER = "/etc/partial-failover"
Config = dict[str, Any]


def example(file: Path, folder: Path) -> Config:
    """What an example says, with every file that it names below `folder`."""
    text = file.read_text()
    for name in set(re.findall(rf"{FOLDER}/([\w./-]+)", text)):
        provide(folder / name)
    data: Config = yaml.safe_load(text.replace(FOLDER, str(folder)))
    if "proof_key" in data:
        data["proof_key"]["public"] = public_key(Path(data["proof_key"]["file"]))
    return data


def variables(file: Path) -> list[str]:
    """Environment variables that an example names."""
    return re.findall(r"env: (\S+)", file.read_text())


def provide(file: Path) -> None:
    """A file that is what its name says: certificates, a private SSH key, or a secret."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.exists():
        return
    if file.suffix == ".pem":
        Authority(file.parent).ca_file.rename(file)
    elif re.search("ed25519|-key$", file.name):
        asyncssh.generate_private_key("ssh-ed25519").write_private_key(file)
    else:
        file.write_text(f"secret of {file.name}\n")
