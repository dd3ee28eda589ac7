"""OpenVPN serves one client of its management socket at a time. Who holds it does not cut the tunnel."""

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from temporalio.client import Client

from appliance import vpn
from appliance.model import Role, Vpn
from appliance.state import State
from partial_failover.contracts.replica import ReplicaState
from partial_failover.contracts.step import StepName
from tests.waiting import until
from tests.workflows.runs import in_state, page, report_of, start, workers
from tests.workflows.world import World

ANSWER = b"1700000000,CONNECTED,SUCCESS,100.127.0.2,203.0.113.1\r\nEND\r\n"


@pytest.fixture
def state(tmp_path: Path) -> State:
    """A tenant's appliance whose OpenVPN runs as it was asked for."""
    config = {"role": Role.TENANT, "management": "00:50:56:01:02:01"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    made = State(tmp_path, tmp_path / "run")
    wanted = Vpn(":".join(["AB"] * 32), 6180, "203.0.113.1", True)
    made.set_vpn(wanted)
    (made.runtime / "vpn.conf").write_text(vpn.configuration(made, wanted))
    return made


@contextmanager
def management(state: State) -> Iterator[socket.socket]:
    """OpenVPN's management interface: one client after the other, and a short queue."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(state.runtime / "vpn.sock"))
        listener.listen(1)

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client, suppress(BrokenPipeError):  # of one that did not wait
                    client.sendall(b">INFO:OpenVPN Management Interface\r\n")
                    while client.recv(100):
                        client.sendall(ANSWER)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def test_c3_a_socket_that_is_held_says_nothing_of_the_tunnel(state: State) -> None:
    with management(state):
        assert vpn.tunnel(state).state == "connected"
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(str(state.runtime / "vpn.sock"))
            assert monitor.recv(100)
            assert vpn.tunnel(state).state == "unknown"
        assert vpn.tunnel(state).state == "connected", "asked again, and told"


def test_c3_requests_at_the_same_time_wait_for_each_other(state: State) -> None:
    with management(state), ThreadPoolExecutor(10) as pool:
        for _ in range(20):
            seen = {tunnel.state for tunnel in pool.map(lambda _: vpn.tunnel(state), range(10))}
            assert seen == {"connected"}


def test_c3_a_process_that_is_gone_is_stopped(state: State) -> None:
    assert vpn.tunnel(state).state == "stopped"
    with management(state):
        pass
    assert vpn.tunnel(state).state == "stopped", "a killed process leaves its socket behind"


async def test_c3_what_cannot_be_told_is_said_and_nothing_is_repaired(client: Client) -> None:
    world = World()
    async with workers(client, world):
        handle = await start(client, {"vm": "erp-db-01"})
        await in_state(handle, ReplicaState.FAILOVER)
        await until(lambda: len(world.watches) >= 1)
        world.tunnel_unknown = True
        await until(lambda: len(world.watches) >= 2)
        assert "cannot be told" in await page(handle)
        world.tunnel_unknown = False
        await until(lambda: len(world.watches) >= 3)
        assert "Connected as before" in await page(handle)
        await handle.execute_update("undo")
        report = await report_of(handle)
    assert world.log.count(StepName.START_VPN_CLIENT) == world.log.count(StepName.CONNECT_NETWORKS) == 1
    assert not [warning for warning in report.warnings if "lost the connection" in warning]
