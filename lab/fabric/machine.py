"""The init of one network extension appliance of the lab: process 1 of its own PID and mount namespace.

Its disk holds what the product's own user data puts on the real one, at the same paths; it starts what
systemd starts there, as the units on the disk say.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from lab.fabric import mounts, units

OWN = (Path("/opt/network-extension"), Path("/var/lib/network-extension"))
UNITS = Path("etc/systemd/system")
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
SYSTEM = (
    ["sysctl", "-q", "-e", "-p", "/etc/sysctl.d/60-network-extension.conf"],
    ["/usr/sbin/nft", "-f", "/etc/nftables.conf"],
)
"""What Debian's own units do first. All of this machine's own settings (`sysctl --system`) are not meant."""
RESTART_SECONDS = 0.2


def boot(disk: Path) -> None:
    """Mount, set up the management side, run the services for ever."""
    os.chdir("/")
    services = [units.read(file) for file in sorted((disk / UNITS).glob("*.service"))]
    folders = [os.open(disk / path.relative_to("/"), os.O_PATH) for path in (*OWN, Path("/etc"))]
    # An empty /root: what a developer has in .bashrc would run before each request.
    for hidden in (Path("/run"), Path("/root"), *(path.parent for path in OWN)):
        mounts.tmpfs(hidden)
    for source, target in zip(folders, OWN, strict=False):
        mounts.bind(source, target)
    mounts.over(folders[-1], Path("/etc"))
    for folder in folders:
        os.close(folder)
    Path("/run/netns").mkdir(mode=0o755)
    for command in SYSTEM:
        subprocess.run(command, env=ENVIRONMENT, check=True, stdin=subprocess.DEVNULL)
    _supervise({_start(service).pid: service for service in services})


def _start(service: units.Service) -> subprocess.Popen[bytes]:
    environment = {**ENVIRONMENT, **service.environment}
    for folder in service.folders:
        Path("/run", folder).mkdir(mode=0o755, exist_ok=True)
    for command in service.before:
        subprocess.run(command, env=environment, check=True, stdin=subprocess.DEVNULL)
    return subprocess.Popen(
        service.command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
    )


def _supervise(running: dict[int, units.Service]) -> None:
    """As process 1: collect every process that ends, and start a service again that did."""
    while True:
        ended, _ = os.wait()
        service = running.pop(ended, None)
        if service is None:
            continue
        try:
            os.killpg(ended, signal.SIGKILL)  # as systemd does: nothing of a service outlives it
        except ProcessLookupError:
            pass
        time.sleep(RESTART_SECONDS)
        running[_start(service).pid] = service


if __name__ == "__main__":
    boot(Path(sys.argv[1]))
