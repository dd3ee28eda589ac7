"""The init of one network extension appliance of the lab: process 1 of its own PID and mount namespace.

Starts what systemd starts on the real appliance, with the same files at the same paths:
`/opt/network-extension` (the program and `deploy/appliance`) and `/var/lib/network-extension` (its disk).
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from lab.fabric import mounts

PROGRAM = Path("/opt/network-extension")
STATE = Path("/var/lib/network-extension")
DEPLOY = PROGRAM / "deploy"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "PYTHONPATH": str(PROGRAM)}
PYTHON = ["/usr/bin/python3", "-m", "appliance"]
SERVICES = (
    ["/usr/sbin/sshd", "-D", "-e", "-f", str(DEPLOY / "sshd_config")],
    [*PYTHON, "serve"],
)
RESTART_SECONDS = 0.2


def boot(disk: Path, repository: Path) -> None:
    """Mount, set up the management side, run the services for ever."""
    os.chdir("/")
    folders = [
        os.open(p, os.O_PATH) for p in (disk, repository / "appliance", repository / "deploy/appliance")
    ]
    # An empty /root: what a developer has in .bashrc would run before each request.
    for hidden in (Path("/run"), Path("/root"), PROGRAM.parent, STATE.parent):
        mounts.tmpfs(hidden)
    for source, target in zip(folders, (STATE, PROGRAM / "appliance", DEPLOY), strict=True):
        mounts.bind(source, target)
        os.close(source)
    for folder in (Path("/run/netns"), Path("/run/sshd")):
        folder.mkdir(mode=0o755)
    for command in (
        ["sysctl", "-q", "-e", "-p", str(DEPLOY / "sysctl.conf")],
        ["nft", "-f", str(DEPLOY / "management.nft")],
        [*PYTHON, "keys"],
    ):
        subprocess.run(command, env=ENVIRONMENT, check=False, stdin=subprocess.DEVNULL)
    _supervise([_start(service) for service in SERVICES])


def _start(service: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(service, env=ENVIRONMENT, stdin=subprocess.DEVNULL, start_new_session=True)


def _supervise(running: list[subprocess.Popen[bytes]]) -> None:
    """As process 1: collect every process that ends, and start a service again that did."""
    while True:
        ended, _ = os.wait()
        for i, service in enumerate(running):
            if service.pid == ended:
                try:
                    os.killpg(ended, signal.SIGKILL)  # as systemd does: nothing of a service outlives it
                except ProcessLookupError:
                    pass
                time.sleep(RESTART_SECONDS)
                running[i] = _start(SERVICES[i])


if __name__ == "__main__":
    boot(Path(sys.argv[1]), Path(sys.argv[2]))
