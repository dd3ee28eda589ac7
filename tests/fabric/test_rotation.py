"""New VPN keys while a replica's traffic runs through the tunnel."""

import asyncio
from pathlib import Path

import pytest

from lab.fabric import provision
from partial_failover.cli.appliance_keys import rotate, rotate_one
from partial_failover.connectors.appliance import Appliance, public_key
from partial_failover.contracts.errors import Misconfigured, NoRight, Unavailable
from partial_failover.contracts.plan import CloudGateway
from tests.fabric.conftest import needs_root
from tests.fabric.site import (
    GATEWAY,
    PRODUCTION,
    REPLICA,
    Site,
    attempt,
    booted,
    connect_appliances,
    lease,
)
from tests.waiting import until

pytestmark = [pytest.mark.root, needs_root]
WAY = CloudGateway(host=GATEWAY, port=6180)


def reached(site: Site) -> bool:
    return site.fabric.ping("production", REPLICA, 0.5) is not None


def answers(site: Site, host: str, address: str) -> bool:
    """Whether an SSH server listens; it closes its door for a moment when it reads its keys again."""
    argv = ["timeout", "0.7", "bash", "-c", f"exec 3<>/dev/tcp/{address}/22"]
    return site.fabric.exec(host, argv)[0] == 0


async def test_a_failover_is_cut_for_one_reconnect(site: Site) -> None:
    await connect_appliances(site)
    await site.provider.lease(lease(1), False, False, attempt())
    site.power_on("replica")
    await site.tenant.lease(lease(1), False, False, attempt())
    await until(lambda: reached(site))
    before = await asyncio.gather(site.provider.status(), site.tenant.status())

    cut = await rotate(site.provider, site.tenant, WAY)

    assert cut is not None and cut < 15
    print(f"the tunnel was down for {cut:.1f} s")
    await until(lambda: reached(site))
    after = await asyncio.gather(site.provider.status(), site.tenant.status())
    for was, now in zip(before, after, strict=True):
        assert was.fingerprint != now.fingerprint and now.leases == was.leases
    assert site.fabric.ping("provider-vcenter/erp", PRODUCTION) is not None


async def test_nothing_is_changed_when_one_does_not_answer(site: Site) -> None:
    before = await site.tenant.status()
    site.power_off("provider-appliance")
    with pytest.raises(Unavailable):
        await rotate(site.provider, site.tenant, WAY)
    assert (await site.tenant.status()).fingerprint == before.fingerprint
    site.power_on("provider-appliance")
    await booted(site.provider)


async def test_a_new_ssh_key_is_let_in_and_the_old_one_is_not_any_more(site: Site, tmp_path: Path) -> None:
    old = public_key(site.tenant_access.key_file)
    new = provision.worker_key(tmp_path / "new")
    mine = Appliance(
        site.tenant_access.host, site.tenant_access.port, site.tenant_access.host_key, tmp_path / "new"
    )
    with pytest.raises(NoRight):
        await mine.status()
    assert await site.tenant.authorize([old, new], attempt())
    await mine.status()
    await site.tenant.status()
    assert await mine.authorize([new], attempt())
    with pytest.raises(NoRight):
        await site.tenant.status()
    assert await mine.authorize([old], attempt())


async def test_one_end_makes_a_new_vpn_key_and_the_other_is_told(site: Site) -> None:
    """Where no machine reaches both appliances, people carry the fingerprint."""
    await until(lambda: reached(site))  # the failover of the first test still runs
    for turned, told in ((site.provider, site.tenant), (site.tenant, site.provider)):
        before = (await told.status()).leases
        fingerprint, cut = await rotate_one(turned)
        assert cut and fingerprint == (await turned.status()).fingerprint
        await until(lambda: not reached(site))  # nobody accepts a certificate that is not pinned
        assert await told.pin(fingerprint, attempt())
        assert not await told.pin(fingerprint, attempt())
        await until(lambda: reached(site))
        assert (await told.status()).leases == before


async def test_host_keys_follow_each_other_without_a_moment_in_which_nobody_is_let_in(site: Site) -> None:
    old = site.provider_access
    key = await site.provider.new_host_key(attempt())
    await site.provider.status()

    def pinning(host_key: str, new: str | None = None) -> Appliance:
        return Appliance(old.host, old.port, host_key, old.key_file, new_host_key=new)

    with pytest.raises(Misconfigured):
        await pinning(key).status()
    both = pinning(old.host_key, key)
    await both.status()
    assert await both.use_host_key(key, attempt())
    await until(lambda: answers(site, "provider-worker", "10.99.0.2"))
    await both.status()
    await pinning(key).status()
    with pytest.raises(Misconfigured):
        await site.provider.status()
    assert reached(site), "the tunnel did not notice"
    site.power_off("provider-appliance")
    site.power_on("provider-appliance")
    await booted(pinning(key))
