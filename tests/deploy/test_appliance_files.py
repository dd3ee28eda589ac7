"""What turns a stock image into an appliance: cloud-init reads it; the management NIC is known by its MAC."""

import json
import re
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest
import yaml

from lab.lab import Lab
from partial_failover.cli import cloud_init
from partial_failover.cli.cloud_init import MANAGEMENT, ManagementNic, NewAppliance
from partial_failover.contracts.appliance import ApplianceRole
from tests.deploy.commands import REPOSITORY, Ran, command, output_of, tool

DEPLOY = REPOSITORY / "deploy" / "appliance"
MAC = "00:50:56:0a:0b:0c"
READ = """
import json, sys
from cloudinit.helpers import Paths
from cloudinit.sources import DataSourceVMware
from cloudinit.sources.DataSourceNoCloud import DataSourceNoCloud
folder = sys.argv[1]
paths = Paths({"cloud_dir": folder, "run_dir": folder})
disc = DataSourceNoCloud({"datasource": {"NoCloud": {"seedfrom": folder + "/"}}}, None, paths)
disc.seed_dirs = [folder]
assert disc._get_data()
text = open(folder + "/meta-data").read()
guestinfo = DataSourceVMware.process_metadata(DataSourceVMware.load_json_or_yaml(text))
print(json.dumps([disc.metadata, disc.network_config, guestinfo["network"]["config"]]))
"""


def new_appliance(role: ApplianceRole) -> NewAppliance:
    return NewAppliance(
        role,
        "ssh-ed25519 AAAA worker",
        "-----BEGIN OpenVPN Static key V1-----\n",
        [IPv4Address("10.99.0.100")],
        ManagementNic(
            MAC, IPv4Interface("10.99.0.11/24"), IPv4Address("10.99.0.1"), [IPv4Address("10.99.0.53")]
        ),
        [IPv4Address("10.99.0.1")] if role is ApplianceRole.PROVIDER else (),
    )


def seed(folder: Path, new: NewAppliance) -> Path:
    for name, text in cloud_init.seed(new).items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("role", ApplianceRole)
def test_an_appliance_is_as_cloud_init_wants_it(tmp_path: Path, role: ApplianceRole) -> None:
    file = seed(tmp_path, new_appliance(role)) / "user-data"
    assert "Valid cloud-config" in output_of(tool("cloud-init"), "schema", "--config-file", file)
    assert file.stat().st_size < 60_000, "platforms take user data of 64 kB"


def test_an_appliance_gets_every_file_of_the_program_and_keeps_its_secrets() -> None:
    text = cloud_init.user_data(new_appliance(ApplianceRole.PROVIDER))
    files = {Path(f["path"]): f for f in yaml.safe_load(text)["write_files"]}
    program = {f.name for f in (REPOSITORY / "appliance").glob("*.py")}
    assert program == {p.name for p in files if p.parent.name == "appliance"}
    given = {f.name for f in DEPLOY.iterdir()} - {"README.md", "cloud-init.yaml"}
    assert given == set(cloud_init.PLACES)
    state = cloud_init.STATE
    assert files[state / "tls-crypt.key"]["permissions"] == "0600"
    assert files[state / "ssh" / "authorized_keys"]["content"].startswith('restrict,from="10.99.0.100" ssh-')
    assert json.loads(files[state / "config.json"]["content"]) == {"role": "provider", "management": MAC}


def test_the_first_boot_enables_every_unit() -> None:
    commands = yaml.safe_load((DEPLOY / "cloud-init.yaml").read_text())["runcmd"]
    enabled = {word for argv in commands if argv[:3] == ["systemctl", "enable", "--now"] for word in argv[3:]}
    assert enabled == {unit.name for unit in DEPLOY.glob("*.service")}


@pytest.mark.parametrize("unit", sorted(DEPLOY.glob("*.service")), ids=lambda unit: str(unit.stem))
def test_a_unit_is_hardened_as_far_as_both_must_see_one_namespace(unit: Path) -> None:
    shown = output_of(tool("systemd-analyze"), "security", "--offline=true", "--threshold=53", unit)
    assert "Overall exposure" in shown.splitlines()[-1]
    settings = {line.partition("=")[0] for line in unit.read_text().splitlines() if not line.startswith("#")}
    own_mounts = (
        r"Private(Tmp|Devices|Mounts)|Protect(Home|System|Proc|Control.*|Kernel.*)|.*Paths|ProcSubset"
    )
    assert not [name for name in settings if re.fullmatch(own_mounts, name)]


def test_a_seed_is_read_from_a_disc_and_from_guestinfo(tmp_path: Path) -> None:
    tool("cloud-init")
    seed(tmp_path, new_appliance(ApplianceRole.TENANT))
    meta, by_disc, by_guestinfo = json.loads(
        output_of("/usr/bin/python3", "-c", READ, tmp_path).splitlines()[-1]
    )
    assert meta["instance-id"] == "network-extension-0050560a0b0c"
    assert by_disc == by_guestinfo
    assert list(by_disc["ethernets"]) == [MANAGEMENT], "the interfaces belong to the program"


@pytest.mark.parametrize("renderer", ["netplan", "networkd"])
@pytest.mark.parametrize("by_hand", [True, False])
def test_the_management_nic_gets_its_address_by_its_mac(tmp_path: Path, renderer: str, by_hand: bool) -> None:
    new = new_appliance(ApplianceRole.PROVIDER)
    folder = seed(tmp_path, new if by_hand else replace(new, management=ManagementNic(MAC)))
    convert = ["devel", "net-convert", "--kind", "yaml", "--distro", "debian", "--output-kind", renderer]
    convert += ["--mac", f"ens192,{MAC}", "--directory", str(tmp_path / "made")]
    output_of(tool("cloud-init"), *convert, "--network-data", folder / "network-config")
    made = "".join(f.read_text() for f in (tmp_path / "made").rglob("*") if f.is_file())
    assert MAC in made
    assert ("10.99.0.11/24" in made and "10.99.0.53" in made) is by_hand
    assert ("dhcp4: true" in made or "DHCP=ipv4" in made) is not by_hand


async def rendered(lab: Lab, folder: Path, *more: str) -> Ran:
    (folder / "pair.key").write_text("-----BEGIN OpenVPN Static key V1-----\n")
    options = ("--tls-crypt", folder / "pair.key", "--worker", "10.99.0.100", "--into", folder / "seed")
    return await command(lab, "operate", "appliance", lab.configs["provider"], *options, *more)


async def test_the_command_writes_a_seed_that_only_its_owner_reads(lab: Lab, tmp_path: Path) -> None:
    done = await rendered(lab, tmp_path, "--mac", MAC.upper(), "--address", "10.99.0.11/24")
    assert done.code == 0, done.error
    files = {f.name: f.stat().st_mode & 0o777 for f in (tmp_path / "seed").iterdir()}
    assert files == dict.fromkeys(("user-data", "meta-data", "network-config"), 0o600)
    network = yaml.safe_load((tmp_path / "seed" / "network-config").read_text())
    assert network["ethernets"][MANAGEMENT]["match"] == {"macaddress": MAC}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((), "--mac"),
        (("--mac", "eth0"), "is no MAC"),
        (("--mac", "01:00:5e:01:02:03"), "is no MAC"),
        (("--mac", MAC, "--address", "10.99.0.11"), "prefix"),
        (("--mac", MAC, "--name", "a b"), "no host name"),
    ],
)
async def test_an_appliance_that_could_not_be_reached_is_refused(
    lab: Lab, tmp_path: Path, more: tuple[str, ...], message: str
) -> None:
    refused = await rendered(lab, tmp_path, *more)
    assert refused.code == 2 and message in refused.error
    assert not (tmp_path / "seed").exists()
