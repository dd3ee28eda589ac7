"""What a machine must have for real networks, and how it comes by what it lacks."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PATH = os.pathsep.join(["/usr/sbin", "/usr/bin", "/sbin", "/bin", os.environ.get("PATH", "")])
PROGRAMS = (
    "unshare",
    "nsenter",
    "ip",
    "nft",
    "sysctl",
    "openssl",
    "openvpn",
    "haproxy",
    "sshd",
    "ping",
    "arping",
)
APART = ("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc")
PROBE = (*APART, "ip", "link", "set", "lo", "up")
"""Root in a container often may not do this, and only trying tells."""
OVERLAY = (*APART, "mount", "-t", "overlay", "overlay", "-o", "lowerdir=/usr:/etc", "/usr")
"""How an appliance gets the files of its seed."""


@dataclass(frozen=True)
class Lack:
    """Something that is missing here, and what brings it in."""

    what: str
    remedy: str


def lacks() -> list[Lack]:
    """What stands in the way of real networks; empty when nothing does."""
    if sys.platform != "linux":
        return [Lack("Linux", "a Linux machine")]
    programs = [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]
    if not Path("/usr/bin/python3").exists():
        programs.append("/usr/bin/python3")
    missing = [Lack(program, "make setup as root on Debian or Ubuntu") for program in programs]
    if os.geteuid() != 0:
        missing.append(Lack("root", "run it as root"))
    elif not programs and not _succeeds(PROBE):
        missing.append(
            Lack("CAP_SYS_ADMIN and CAP_NET_ADMIN", "root that may make namespaces (a privileged container)")
        )
    elif not programs and not _succeeds(OVERLAY):
        missing.append(Lack("overlay file systems", "modprobe overlay"))
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        missing.append(Lack("/dev/net/tun", "modprobe tun, and in a container that device"))
    return missing


def left_out() -> str:
    """One line on what is not real here, and what would make it so; empty when everything is."""
    missing = lacks()
    if not missing:
        return ""
    remedies = "; ".join(dict.fromkeys(lack.remedy for lack in missing))
    lacking = ", ".join(lack.what for lack in missing)
    return f"Left out: tunnel, ARP and ping, for lack of {lacking}. What brings them in: {remedies}."


def _succeeds(argv: Sequence[str]) -> bool:
    environment = {"PATH": PATH, "LC_ALL": "C"}
    try:
        done = subprocess.run(argv, env=environment, capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
