"""Where something listens."""

import re
from ipaddress import IPv4Address
from typing import Annotated

from pydantic import AfterValidator, Field

_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9][A-Za-z0-9-]{0,62}(\.[A-Za-z0-9][A-Za-z0-9-]{0,62})*")
_LOOKS_LIKE_AN_ADDRESS = re.compile(r"(.*\.)?[0-9]+")
"""The last part of a name is never a number, so "10.99.0.300" is a mistyped address and no name."""


def _host(value: str) -> str:
    if _LOOKS_LIKE_AN_ADDRESS.fullmatch(value):
        try:
            IPv4Address(value)
        except ValueError:
            raise ValueError("is not an IPv4 address") from None
    elif not _NAME.fullmatch(value):
        raise ValueError("is not a host name or an IPv4 address")
    return value


Port = Annotated[int, Field(ge=1, le=65535)]
HostName = Annotated[str, AfterValidator(_host)]
"""A host name or an IPv4 address, as an appliance takes it."""
