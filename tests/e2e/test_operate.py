"""What an operator does to appliances while a failover runs through them, by the commands of the manual."""

import re
import time
from pathlib import Path

import asyncssh
import pytest
from temporalio.client import Client

from lab.lab import Lab
from tests.deploy.commands import command, configured, written
from tests.e2e import wire
from tests.e2e.driver import in_failover, undo

DB = "192.168.10.50"


@pytest.mark.root
@wire.needs_root
async def test_keys_are_rotated_while_a_failover_runs(lab: Lab, acme: Client, tmp_path: Path) -> None:
    provider = configured(lab, "provider")
    provider["tenants"] = [t for t in provider["tenants"] if t["namespace"] == "acme"]
    ours, site = written(tmp_path, provider), lab.configs["acme"]
    app = lab.centre.sites["acme"].host("erp-app-01")
    key, public = tmp_path / "new", tmp_path / "new.pub"
    made = asyncssh.generate_private_key("ssh-ed25519")
    made.write_private_key(str(key))
    made.write_public_key(str(public))
    key.chmod(0o600)

    off = await command(lab, "operate", "ssh-keys", ours)
    assert off.code == 1 and "acme: FAILED" in off.out and "run it again when they are on" in off.error

    handle = await in_failover(acme, {"vm": "erp-db-01"})
    assert await wire.pings(lab, app, DB)
    done = await command(lab, "operate", "rotate-vpn-keys", ours, "--site", site, "--tenant", "acme")
    assert done.code == 0, done.error
    down = re.search(r"the tunnel was down for ([0-9.]+) s", done.out)
    assert down is not None and float(down[1]) < 15, "one reconnect"
    assert await wire.pings(lab, app, DB)

    let_in = await command(lab, "operate", "ssh-keys", ours, "--also", public)
    assert (let_in.code, let_in.out) == (0, "acme: done\n")
    (tmp_path / "next").mkdir()
    following = written(tmp_path / "next", {**provider, "appliance_key": str(key)})
    assert (await command(lab, "operate", "ssh-keys", following)).out == "acme: done\n"
    refused = await command(lab, "operate", "ssh-keys", ours)
    assert refused.code == 1 and "acme: FAILED" in refused.out
    old = tmp_path / "old.pub"
    asyncssh.read_private_key(str(provider["appliance_key"])).write_public_key(str(old))
    back = await command(lab, "operate", "ssh-keys", following, "--also", old)
    assert back.code == 0, back.error
    assert (await command(lab, "operate", "ssh-keys", ours)).out == "acme: done\n"
    assert (await undo(handle)).left_over == ()
    assert await wire.silent(lab, app, DB)


@pytest.mark.root
@wire.needs_root
@pytest.mark.parametrize("side", ["provider", "acme"])
async def test_a_failover_that_runs_pins_a_new_vpn_key_by_itself(lab: Lab, acme: Client, side: str) -> None:
    """Nobody carries the fingerprint from one side to the other: the workflow's own steps do."""
    app = lab.centre.sites["acme"].host("erp-app-01")
    handle = await in_failover(acme, {"vm": "erp-db-01"})
    assert await wire.pings(lab, app, DB)
    began = time.monotonic()
    done = await command(lab, "operate", "rotate-vpn-keys", lab.configs[side], "--tenant", "acme")
    assert done.code == 0 and "The tunnel is down until" in done.error
    assert await wire.silent(lab, app, DB)
    assert await wire.pings(lab, app, DB)
    print(f"the tunnel was down for {time.monotonic() - began:.1f} s")
    assert (await undo(handle)).left_over == ()
    assert await wire.silent(lab, app, DB)
