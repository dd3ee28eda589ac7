"""How an appliance comes up on a VM that is not quite what its seed was rendered for."""

import json
from pathlib import Path

import pytest

from partial_failover.contracts.errors import TaskFailed
from tests.fabric.conftest import needs_root
from tests.fabric.site import Site, attempt, booted

pytestmark = [pytest.mark.root, needs_root]


def config(site: Site, vm: str) -> Path:
    """The file on an appliance's disk that names its management NIC."""
    [file] = site.fabric.folder.glob(f"disk-{site.vms[vm].instance_uuid}/**/config.json")
    return file


def nics(site: Site, vm: str) -> str:
    """As the appliance's management side sees them."""
    return site.fabric.exec(site.name(vm), ["ip", "-o", "link", "show"])[1]


async def test_the_management_nic_is_known_by_its_mac_whatever_its_name(site: Site) -> None:
    site.power_on("provider-appliance")
    await booted(site.provider)
    await site.provider.declare_networks(site.networks("provider"), attempt())
    left = nics(site, "provider-appliance")
    assert site.vms["provider-appliance"].nics[0].mac in left and "eth0" not in left
    assert "ens224" not in left and site.inside("provider", "ip", "-o", "link").count("leg") == 2
    site.power_off("provider-appliance")


async def test_an_appliance_without_its_management_nic_touches_none_and_stays_reachable(site: Site) -> None:
    """As on a clone, which has other MACs: a NIC that was taken for an interface would be the way in."""
    file = config(site, "provider-appliance")
    before = file.read_text()
    file.write_text(json.dumps({**json.loads(before), "management": "00:50:56:99:99:99"}))
    site.power_on("provider-appliance")
    await booted(site.provider)
    with pytest.raises(TaskFailed, match="no NIC has the management NIC's MAC 00:50:56:99:99:99"):
        await site.provider.declare_networks(site.networks("provider"), attempt())
    assert nics(site, "provider-appliance").count(": ens") == 3
    await site.provider.status()
    site.power_off("provider-appliance")
    file.write_text(before)
    site.power_on("provider-appliance")
    await booted(site.provider)
    await site.provider.declare_networks(site.networks("provider"), attempt())
    site.power_off("provider-appliance")
