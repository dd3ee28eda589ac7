"""What a machine must have for real networks, and how it comes by what it lacks."""

import os
import shutil
import subprocess
import sys
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
PROBE = ("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "ip", "link", "set", "lo", "up")
"""Root in a container often may not do this, and only trying tells."""


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
    found = [Lack(program, "make setup as root on Debian or Ubuntu") for program in programs]
    if os.geteuid() != 0:
        found.append(Lack("root", "run it as root"))
    elif not programs and not _may_make_networks():
        found.append(
            Lack("CAP_SYS_ADMIN and CAP_NET_ADMIN", "root that may make namespaces (a privileged container)")
        )
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        found.append(Lack("/dev/net/tun", "modprobe tun, and in a container that device"))
    return found


def left_out() -> str:
    """One line on what is not real here, and what would make it so; empty when everything is."""
    found = lacks()
    if not found:
        return ""
    remedies = "; ".join(dict.fromkeys(lack.remedy for lack in found))
    lacking = ", ".join(lack.what for lack in found)
    return f"Left out: tunnel, ARP and ping, for lack of {lacking}. What brings them in: {remedies}."


def _may_make_networks() -> bool:
    environment = {"PATH": PATH, "LC_ALL": "C"}
    try:
        return (
            subprocess.run(PROBE, env=environment, capture_output=True, timeout=10, check=False).returncode
            == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
