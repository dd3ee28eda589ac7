"""`python -m appliance serve | request | keys | tunnel-up [FOLDER] [RUNTIME]`."""

import json
import logging
import os
import sys
from pathlib import Path

from appliance import vpn
from appliance.command import CommandFailed, run
from appliance.errors import Refusal
from appliance.kernel import NAMESPACE, TUNNEL, TUNNEL_MTU
from appliance.requests import LONGEST_REQUEST, answer
from appliance.serve import Serve
from appliance.state import FOLDER, RUNTIME, State
from appliance.system import System


def main(arguments: list[str]) -> int:
    """The exit status."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    command, *folders = arguments or [""]
    # OpenVPN adds the device, its MTU and more to the arguments of `tunnel-up`; nobody else has any.
    folder, runtime = (Path(folders[0]), Path(folders[1])) if len(folders) >= 2 else (FOLDER, RUNTIME)
    if command not in ("serve", "request", "keys", "tunnel-up"):
        sys.stderr.write(f"{__doc__}\n")
        return 2
    os.umask(0o022)
    state = State(folder, runtime)
    if command == "serve":
        Serve(state).run()
    elif command == "request":
        raw = sys.stdin.buffer.read(LONGEST_REQUEST + 1)
        sys.stdout.write(json.dumps(answer(raw, state, System(state))) + "\n")
    elif command == "keys":
        sys.stdout.write(vpn.make_keys(state) + "\n")
    else:
        _tunnel_up(state)
    return 0


def _tunnel_up(state: State) -> None:
    """OpenVPN's `--up`: the device goes into the data namespace, the process keeps its end of it."""
    run(["ip", "link", "set", "dev", TUNNEL, "netns", NAMESPACE])
    run(
        [
            "ip",
            "-n",
            NAMESPACE,
            "link",
            "set",
            "dev",
            TUNNEL,
            "mtu",
            str(TUNNEL_MTU),
            "txqueuelen",
            "1000",
            "up",
        ]
    )
    try:
        with state.lock():
            System(state).apply()
    except (CommandFailed, Refusal) as error:
        # `serve` tries again; without routes the firewall and the kernel let nothing through.
        logging.getLogger(__name__).error("the tunnel is up but not in use yet: %s", error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
