"""What the configurations for HAProxy have in common."""

import re

from partial_failover.settings import BadSettings

NAME = re.compile(r"[A-Za-z0-9_.:-]+")
"""What HAProxy allows in the name of a section, and reads as one word everywhere."""


def word(namespace: str) -> str:
    """The namespace, as it can stand in the file. Raises `BadSettings` where it cannot."""
    if not NAME.fullmatch(namespace):
        raise BadSettings(f"namespace {namespace!r} cannot be a name in HAProxy's configuration")
    return namespace
